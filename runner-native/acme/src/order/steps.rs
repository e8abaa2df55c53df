//! What follows from each successful response of an order.

use serde::de::DeserializeOwned;

use super::{AcmeResponse, Challenge, OrderError, OrderEvent, OrderMachine, refused_proof};
use crate::message::{Authorization, Order, Problem, Status};

/// Authorizations of one order: one for each name, and there are two names at most.
const MAX_AUTHORIZATIONS: usize = 8;

/// How far an order is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The account is made, or found by its key (section 7.3).
    Account,
    NewOrder,
    /// This one of the authorizations is looked at (section 7.5).
    Authorization(usize),
    /// The owner of the machine publishes the challenges.
    Publishing,
    /// The authority is told that this one of the challenges can be looked at (section 7.5.1).
    Respond(usize),
    /// The authority verifies the names.
    Ready,
    /// The order is finalized (section 7.4).
    Finalize,
    /// The authority makes the certificate.
    Valid,
    Certificate(String),
    /// Verification failed, and this one of the authorizations is asked why.
    Blame(usize),
    Ended,
}

impl Step {
    /// Whether nothing is asked of the authority.
    pub(super) fn is_passive(&self) -> bool {
        matches!(self, Step::Publishing | Step::Ended)
    }

    /// What is asked for, for a person.
    pub(super) fn text(&self) -> &'static str {
        match self {
            Step::Account => "the account",
            Step::NewOrder => "the order",
            Step::Authorization(_) | Step::Blame(_) => "to say how a name is verified",
            Step::Publishing | Step::Respond(_) => "to verify a name",
            Step::Ready | Step::Valid => "to say how far the order is",
            Step::Finalize => "the request for the certificate",
            Step::Certificate(_) | Step::Ended => "the certificate",
        }
    }
}

/// What an order does next.
pub(super) enum Turn {
    Next(Step),
    /// The same request, later.
    Again,
}

impl OrderMachine {
    /// What follows from the response to the request of the current step.
    pub(super) fn advance(&mut self, response: &AcmeResponse) -> Result<Turn, OrderError> {
        let next = match self.step.clone() {
            Step::Account => {
                self.account.url =
                    Some(response.location.clone().ok_or(OrderError::Unreadable("the account"))?);
                Step::NewOrder
            }
            Step::NewOrder => {
                self.placed.url = response.location.clone().ok_or(OrderError::Unreadable("the order"))?;
                let order: Order = read(response, "the order")?;
                if !(1..=MAX_AUTHORIZATIONS).contains(&order.authorizations.len()) {
                    return Err(OrderError::Unreadable("the order"));
                }
                let status = order.status;
                self.placed.order = Some(order);
                match status {
                    // Names that were verified a while ago need not be again.
                    Status::Ready => Step::Finalize,
                    Status::Processing | Status::Valid => Step::Valid,
                    _ => Step::Authorization(0),
                }
            }
            Step::Authorization(at) => self.on_authorization(at, &read(response, "an authorization")?)?,
            Step::Respond(at) if at + 1 < self.placed.challenges.len() => Step::Respond(at + 1),
            Step::Respond(_) => Step::Ready,
            Step::Ready | Step::Finalize | Step::Valid => return self.on_order(read(response, "the order")?),
            Step::Certificate(_) => {
                let chain = String::from_utf8(response.body.clone());
                let chain = chain.map_err(|_| OrderError::Unreadable("the certificate"))?;
                self.events.push_back(OrderEvent::Issued(chain));
                Step::Ended
            }
            Step::Blame(at) => self.on_blame(at, &read(response, "an authorization")?)?,
            Step::Publishing | Step::Ended => return Ok(Turn::Again),
        };
        Ok(Turn::Next(next))
    }

    fn authorizations(&self) -> usize {
        self.placed.order.as_ref().map_or(0, |order| order.authorizations.len())
    }

    fn on_authorization(&mut self, at: usize, authorization: &Authorization) -> Result<Step, OrderError> {
        if authorization.status != Status::Valid {
            let (host, kind) = (authorization.identifier.value.clone(), self.spec.challenge.name());
            let offered = authorization.challenges.iter().find(|offered| offered.kind == kind);
            let offered = offered.ok_or_else(|| OrderError::NoChallenge(host.clone(), kind))?;
            let key_authorization = self.key.key_authorization(&offered.token);
            self.placed.challenges.push((offered.url.clone(), Challenge { host, key_authorization }));
        }
        if at + 1 < self.authorizations() {
            return Ok(Step::Authorization(at + 1));
        }
        if self.placed.challenges.is_empty() {
            return Ok(Step::Ready);
        }
        let challenges = self.placed.challenges.iter().map(|(_, challenge)| challenge.clone());
        self.events.push_back(OrderEvent::Publish(challenges.collect()));
        Ok(Step::Publishing)
    }

    fn on_order(&mut self, order: Order) -> Result<Turn, OrderError> {
        let is_finalized = matches!(self.step, Step::Finalize | Step::Valid);
        let turn = match (order.status, &order.certificate) {
            (Status::Valid, Some(certificate)) => Turn::Next(Step::Certificate(certificate.clone())),
            (Status::Ready, _) if !is_finalized => Turn::Next(Step::Finalize),
            (Status::Invalid, _) if !is_finalized => Turn::Next(Step::Blame(0)),
            (Status::Invalid | Status::Ended, _) => return Err(refused_order(order.error)),
            _ if self.step == Step::Finalize => Turn::Next(Step::Valid),
            _ => Turn::Again,
        };
        self.placed.order = Some(Order { authorizations: self.kept_authorizations(), ..order });
        Ok(turn)
    }

    /// Those that the order began with: an authority need not repeat them.
    fn kept_authorizations(&mut self) -> Vec<String> {
        self.placed.order.take().map(|order| order.authorizations).unwrap_or_default()
    }

    fn on_blame(&self, at: usize, authorization: &Authorization) -> Result<Step, OrderError> {
        let host = &authorization.identifier.value;
        let problem = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let (Status::Invalid, Some(problem)) = (authorization.status, problem) {
            return Err(refused_proof(host, problem));
        }
        if at + 1 < self.authorizations() {
            return Ok(Step::Blame(at + 1));
        }
        Err(refused_order(self.placed.order.as_ref().and_then(|order| order.error.clone())))
    }
}

fn refused_order(problem: Option<Problem>) -> OrderError {
    OrderError::Refused {
        refused: "the certificate authority ended the order".to_owned(),
        reason: problem.unwrap_or_default().text(),
        retry_after: None,
    }
}

fn read<T: DeserializeOwned>(response: &AcmeResponse, what: &'static str) -> Result<T, OrderError> {
    serde_json::from_slice(&response.body).map_err(|_| OrderError::Unreadable(what))
}
