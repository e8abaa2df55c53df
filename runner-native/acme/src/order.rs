//! One order of a certificate, from the account to the chain (RFC 8555 section 7): responses and time in, requests out.
//!
//! It knows no socket and no clock. It asks by [`OrderMachine::poll_request`], one request at a time.

mod steps;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_core::time::{Instant, earliest};
use serde_json::{Value, json};
use thiserror::Error;

use crate::account::AccountKey;
use crate::message::{Directory, Order, Problem, printable};
use steps::{Step, Turn};

/// How long an order may take. Validation takes seconds; a certificate authority under load takes a minute.
pub(crate) const ORDER_TIMEOUT: Duration = Duration::from_secs(300);
/// How often in a row a nonce may be refused (section 6.5): half of them in the worst test, none in the field.
const MAX_REFUSED_NONCES: u32 = 30;
/// How much longer each wait for the authority is than the one before, unless it says itself.
const POLL_STEP: Duration = Duration::from_secs(1);
/// The longest of these.
const MAX_POLL: Duration = Duration::from_secs(10);
/// The longest wait that an authority may ask for within an order.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);

/// How a host name is proven.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum ChallengeKind {
    /// By a record of the DNS (section 8.4): the only one for wildcards.
    Dns01,
    /// By a certificate that a TLS handshake shows (RFC 8737).
    TlsAlpn01,
}

impl ChallengeKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            ChallengeKind::Dns01 => "dns-01",
            ChallengeKind::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

/// What is ordered.
#[derive(Clone, Debug)]
pub(crate) struct OrderSpec {
    /// The URL of the authority's directory.
    pub(crate) directory: String,
    /// The operator's e-mail address, to which the authority may write.
    pub(crate) email: String,
    /// The names of the certificate.
    pub(crate) names: Vec<String>,
    /// How they are proven.
    pub(crate) challenge: ChallengeKind,
    /// The request for the certificate (PKCS #10), in DER.
    pub(crate) csr: Vec<u8>,
}

/// What is sent to the authority.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AcmeRequest {
    /// `GET`, `HEAD` or `POST`.
    pub(crate) method: &'static str,
    pub(crate) url: String,
    /// Of a `POST`.
    pub(crate) body: Vec<u8>,
}

/// What matters of its response.
#[derive(Clone, Debug, Default)]
pub(crate) struct AcmeResponse {
    pub(crate) status: u16,
    pub(crate) nonce: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

/// What proves a host name while it is published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Challenge {
    pub(crate) host: String,
    pub(crate) key_authorization: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum OrderEvent {
    /// The names of the authority in CAA records.
    Issuers(Vec<String>),
    /// To be answered by [`OrderMachine::handle_published`] once these can be seen from outside.
    Publish(Vec<Challenge>),
    /// The chain (PEM), leaf first. Nothing comes after it.
    Issued(String),
    /// There is no certificate. Nothing comes after it.
    Failed(OrderError),
}

/// Why there is no certificate. The texts of the authority are escaped.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum OrderError {
    /// It could not be asked.
    #[error("{0}")]
    Unreachable(String),
    /// It refused.
    #[error("{refused}: {reason}")]
    Refused {
        /// What it refused.
        refused: String,
        /// Its reason.
        reason: String,
        /// When to come back, if it said so.
        retry_after: Option<Duration>,
    },
    /// What it said cannot be understood.
    #[error("the certificate authority's answer about {0} cannot be understood")]
    Unreadable(&'static str),
    /// It offers no way to prove a name that this relay has.
    #[error("the certificate authority does not offer {1} for {0}")]
    NoChallenge(String, &'static str),
    /// It serves those alone who have an account there.
    #[error(
        "the certificate authority wants an account that was made there (external account binding), which is not supported"
    )]
    ExternalAccount,
    /// It took longer than five minutes.
    #[error("the certificate authority was not done within {limit} s", limit = ORDER_TIMEOUT.as_secs())]
    Timeout,
    /// The challenge could not be put where the authority looks for it.
    #[error("{0}")]
    Unpublished(String),
    /// What came is no certificate for the names.
    #[error("the certificate authority sent a certificate that cannot be used: {0}")]
    Unusable(String),
}

impl OrderError {
    /// When the authority wants to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            OrderError::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// What is known of the authority, and of the account there.
#[derive(Default)]
struct AccountState {
    directory: Option<Directory>,
    /// The URL of the account.
    url: Option<String>,
    /// For the next request.
    nonce: Option<String>,
    refused_nonces: u32,
}

/// The order as the authority has it.
#[derive(Default)]
struct PlacedOrder {
    url: String,
    order: Option<Order>,
    /// What is published, each with the URL that says so.
    challenges: Vec<(String, Challenge)>,
    /// How often in a row it was not ready.
    polls: u32,
}

/// What a response is awaited for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum InFlight {
    Directory,
    Nonce,
    Step,
}

/// One order.
pub(crate) struct OrderMachine {
    spec: OrderSpec,
    key: Arc<AccountKey>,
    account: AccountState,
    placed: PlacedOrder,
    step: Step,
    in_flight: Option<InFlight>,
    /// When the authority is asked again.
    poll_at: Option<Instant>,
    deadline: Instant,
    events: VecDeque<OrderEvent>,
}

impl OrderMachine {
    pub(crate) fn new(spec: OrderSpec, key: Arc<AccountKey>, now: Instant) -> Self {
        Self {
            spec,
            key,
            account: AccountState::default(),
            placed: PlacedOrder::default(),
            step: Step::Account,
            in_flight: None,
            poll_at: None,
            deadline: now + ORDER_TIMEOUT,
            events: VecDeque::new(),
        }
    }

    /// The next request; `None` while a response or a moment is awaited.
    pub(crate) fn poll_request(&mut self) -> Option<AcmeRequest> {
        if self.in_flight.is_some() || self.poll_at.is_some() || self.step.is_passive() {
            return None;
        }
        let get = |method, url: &str| AcmeRequest { method, url: url.to_owned(), body: Vec::new() };
        let Some(directory) = &self.account.directory else {
            self.in_flight = Some(InFlight::Directory);
            return Some(get("GET", &self.spec.directory));
        };
        let Some(nonce) = self.account.nonce.take() else {
            self.in_flight = Some(InFlight::Nonce);
            return Some(get("HEAD", &directory.new_nonce));
        };
        let (url, payload) = self.payload(directory);
        let body = self.key.sign(&url, &nonce, self.account.url.as_deref(), payload.as_ref());
        self.in_flight = Some(InFlight::Step);
        Some(AcmeRequest { method: "POST", url, body })
    }

    pub(crate) fn poll_event(&mut self) -> Option<OrderEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is wanted.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self.step {
            Step::Ended => None,
            _ => earliest(self.poll_at, Some(self.deadline)),
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.poll_at.is_some_and(|at| at <= now) {
            self.poll_at = None;
        }
        if self.deadline <= now {
            self.fail(OrderError::Timeout);
        }
    }

    /// The challenges can be seen from outside, or not.
    pub(crate) fn handle_published(&mut self, published: Result<(), String>) {
        if matches!(self.step, Step::Publishing) {
            match published {
                Ok(()) => self.step = Step::Respond(0),
                Err(reason) => self.fail(OrderError::Unpublished(reason)),
            }
        }
    }

    /// The response to the last request, or why there is none.
    pub(crate) fn handle_response(&mut self, response: Result<AcmeResponse, String>, now: Instant) {
        let Some(awaited) = self.in_flight.take() else { return };
        if matches!(self.step, Step::Ended) {
            return;
        }
        let mut response = match response {
            Ok(response) => response,
            Err(reason) => return self.fail(OrderError::Unreachable(reason)),
        };
        if let Some(nonce) = response.nonce.take() {
            self.account.nonce = Some(nonce);
        }
        if response.status >= 400 {
            return self.on_problem(&response);
        }
        match awaited {
            InFlight::Directory => match serde_json::from_slice::<Directory>(&response.body) {
                Ok(directory) => self.on_directory(directory),
                Err(_) => self.fail(OrderError::Unreadable("its directory")),
            },
            InFlight::Nonce if self.account.nonce.is_none() => self.fail(OrderError::Unreadable("a nonce")),
            InFlight::Nonce => {}
            InFlight::Step => {
                self.account.refused_nonces = 0;
                self.on_response(&response, now);
            }
        }
    }

    fn on_directory(&mut self, directory: Directory) {
        if directory.meta.external_account_required {
            return self.fail(OrderError::ExternalAccount);
        }
        self.events.push_back(OrderEvent::Issuers(directory.meta.caa_identities.clone()));
        self.account.directory = Some(directory);
    }

    fn on_problem(&mut self, response: &AcmeResponse) {
        let problem: Problem = serde_json::from_slice(&response.body).unwrap_or_default();
        if problem.code() == "badNonce" && self.account.refused_nonces < MAX_REFUSED_NONCES {
            // The same again, with the nonce that came along (section 6.5).
            self.account.refused_nonces += 1;
            return;
        }
        let reason = match problem {
            Problem { kind, detail } if kind.is_empty() && detail.is_empty() => {
                format!("HTTP {}", response.status)
            }
            problem => problem.text(),
        };
        let refused = format!("the certificate authority refused {}", self.step.text());
        self.fail(OrderError::Refused { refused, reason, retry_after: response.retry_after });
    }

    fn on_response(&mut self, response: &AcmeResponse, now: Instant) {
        match self.advance(response) {
            Ok(Turn::Next(step)) => {
                self.placed.polls = 0;
                self.step = step;
            }
            Ok(Turn::Again) => {
                self.placed.polls += 1;
                let wait = POLL_STEP.saturating_mul(self.placed.polls).min(MAX_POLL);
                let wait = response.retry_after.map_or(wait, |asked| asked.clamp(POLL_STEP, MAX_RETRY_AFTER));
                self.poll_at = Some(now + wait);
            }
            Err(error) => self.fail(error),
        }
    }

    /// Where the next request of the order goes, and what it says.
    fn payload(&self, directory: &Directory) -> (String, Option<Value>) {
        let order = self.placed.order.as_ref();
        let ask = |url: &str| (url.to_owned(), None);
        let authorization = |at: usize| order.and_then(|order| order.authorizations.get(at).cloned());
        match &self.step {
            Step::Account => {
                let contact = format!("mailto:{}", self.spec.email);
                let account = json!({ "termsOfServiceAgreed": true, "contact": [contact] });
                (directory.new_account.clone(), Some(account))
            }
            Step::NewOrder => {
                let names = self.spec.names.iter().map(|name| json!({ "type": "dns", "value": name }));
                let order = json!({ "identifiers": names.collect::<Vec<_>>() });
                (directory.new_order.clone(), Some(order))
            }
            Step::Authorization(at) | Step::Blame(at) => (authorization(*at).unwrap_or_default(), None),
            Step::Respond(at) => {
                let url = self.placed.challenges.get(*at).map(|(url, _)| url.clone());
                (url.unwrap_or_default(), Some(json!({})))
            }
            Step::Finalize => {
                let csr = data_encoding::BASE64URL_NOPAD.encode(&self.spec.csr);
                let url = order.map(|order| order.finalize.clone());
                (url.unwrap_or_default(), Some(json!({ "csr": csr })))
            }
            Step::Certificate(url) => ask(url),
            Step::Ready | Step::Valid | Step::Publishing | Step::Ended => ask(&self.placed.url),
        }
    }

    fn fail(&mut self, error: OrderError) {
        if !matches!(self.step, Step::Ended) {
            self.step = Step::Ended;
            self.poll_at = None;
            self.events.push_back(OrderEvent::Failed(error));
        }
    }
}

/// What the authority says of a host name, for a person.
fn refused_proof(host: &str, problem: &Problem) -> OrderError {
    let refused = format!("the certificate authority could not verify {}", printable(host));
    OrderError::Refused { refused, reason: problem.text(), retry_after: None }
}
