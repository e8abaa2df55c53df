//! Drives one order: sends what it asks for, and publishes its challenges while they are needed.

use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use futures_util::future::{Either, select};
use hvym_dns::Zone;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;
use hvym_tunnel_net::tls::Trust;
use ring::digest::{SHA256, digest};

use crate::account::AccountKey;
use crate::authority::Authority;
use crate::certificate::{CertificateRequest, IssuedCertificate, challenge_certificate};
use crate::order::{
    Challenge, ChallengeKind, ORDER_TIMEOUT, OrderError, OrderEvent, OrderMachine, OrderSpec,
};
use crate::table::CertificateTable;
use zeroize::Zeroizing;

/// How much longer than the order itself takes its last request.
const GRACE: Duration = Duration::from_secs(60);

/// Where challenges are published.
#[derive(Clone)]
pub(crate) struct Publisher {
    pub(crate) table: Arc<CertificateTable>,
    /// The zone of the domain, if the relay is its DNS server.
    pub(crate) zone: Option<Arc<RwLock<Zone>>>,
}

/// What all orders have in common.
#[derive(Clone)]
pub(crate) struct OrderTerms {
    pub(crate) directory: String,
    pub(crate) email: String,
    pub(crate) trust: Trust,
    pub(crate) key: Arc<AccountKey>,
    pub(crate) publisher: Publisher,
}

/// A certificate that was issued, and its key and chain as they are kept.
pub(crate) struct Issue {
    pub(crate) certificate: IssuedCertificate,
    pub(crate) pem: Zeroizing<String>,
}

/// Orders a certificate for `names`.
///
/// # Errors
/// Why there is none.
pub(crate) async fn issue(
    terms: OrderTerms,
    names: Vec<String>,
    challenge: ChallengeKind,
) -> Result<Issue, OrderError> {
    let wanted = names.clone();
    let request = smol::unblock(move || CertificateRequest::new(&wanted)).await;
    let request = request.map_err(OrderError::Unusable)?;
    let (directory, email) = (terms.directory.clone(), terms.email.clone());
    let spec = OrderSpec { directory, email, names: names.clone(), challenge, csr: request.csr };
    let chain =
        within(ORDER_TIMEOUT + GRACE, order(&terms, spec)).await.unwrap_or(Err(OrderError::Timeout))?;
    let mut pem = Zeroizing::new(String::with_capacity(request.key.len() + chain.len()));
    pem.push_str(&request.key);
    // A private key in the answer must not come before our own.
    pem.push_str(&chain);
    let certificate = IssuedCertificate::from_pem(&pem, &names).map_err(OrderError::Unusable)?;
    Ok(Issue { certificate, pem })
}

async fn order(terms: &OrderTerms, spec: OrderSpec) -> Result<String, OrderError> {
    let clock = Clock::new();
    let mut authority = Authority::new(terms.trust.clone());
    let kind = spec.challenge;
    let mut machine = OrderMachine::new(spec, Arc::clone(&terms.key), clock.now());
    let mut published = None;
    loop {
        while let Some(event) = machine.poll_event() {
            match event {
                OrderEvent::Issuers(issuers) => terms.publisher.set_issuers(issuers),
                OrderEvent::Publish(challenges) => {
                    let publication = terms.publisher.publish(kind, challenges);
                    machine.handle_published(publication.map(|publication| published = Some(publication)));
                }
                OrderEvent::Issued(chain) => return Ok(chain),
                OrderEvent::Failed(error) => return Err(error),
            }
        }
        if let Some(request) = machine.poll_request() {
            let due = machine.poll_timeout().map_or_else(|| Timer::after(ORDER_TIMEOUT), Timer::at);
            let sent = authority.send(request);
            match select(pin!(sent), due).await {
                Either::Left((response, _)) => machine.handle_response(response, clock.now()),
                Either::Right(_) => machine.handle_timeout(clock.now()),
            }
        } else if let Some(at) = machine.poll_timeout() {
            Timer::at(at).await;
            machine.handle_timeout(clock.now());
        }
    }
}

impl Publisher {
    fn set_issuers(&self, issuers: Vec<String>) {
        if let Some(zone) = &self.zone {
            zone.write().unwrap_or_else(PoisonError::into_inner).set_issuers(issuers);
        }
    }

    /// Publishes challenges until the result is dropped.
    fn publish(&self, kind: ChallengeKind, challenges: Vec<Challenge>) -> Result<Publication, String> {
        let mut publication = Publication { publisher: self.clone(), hosts: Vec::new(), texts: Vec::new() };
        for Challenge { host, key_authorization } in challenges {
            match (kind, &self.zone) {
                (ChallengeKind::TlsAlpn01, _) => {
                    let host = host.to_ascii_lowercase();
                    let certified = challenge_certificate(&host, &key_authorization)?;
                    publication.hosts.push(host.clone());
                    self.table.insert_challenge(host, certified);
                }
                (ChallengeKind::Dns01, Some(zone)) => {
                    let value =
                        BASE64URL_NOPAD.encode(digest(&SHA256, key_authorization.as_bytes()).as_ref());
                    let added =
                        zone.write().unwrap_or_else(PoisonError::into_inner).add_challenge(value.clone());
                    if !added {
                        return Err("too many challenges are published at once".to_owned());
                    }
                    publication.texts.push(value);
                }
                (ChallengeKind::Dns01, None) => return Err("this relay is no DNS server".to_owned()),
            }
        }
        Ok(publication)
    }
}

/// Challenges that are published as long as this is not dropped.
struct Publication {
    publisher: Publisher,
    hosts: Vec<String>,
    texts: Vec<String>,
}

impl Drop for Publication {
    fn drop(&mut self) {
        self.hosts.iter().for_each(|host| self.publisher.table.remove_challenge(host));
        if let Some(zone) = &self.publisher.zone {
            let mut zone = zone.write().unwrap_or_else(PoisonError::into_inner);
            self.texts.iter().for_each(|value| zone.remove_challenge(value));
        }
    }
}
