//! What an exchange tells its runner.

use alloc::boxed::Box;

use hvym_http1::RequestView;
use thiserror::Error;

use crate::downstream::{Closing, HeadRefusal};
use crate::history::Choice;
use crate::upstream::{Upstream, UpstreamFailure};

/// A connection to a service that the exchange does not need any more.
#[derive(Debug)]
pub struct Released {
    /// Its state.
    pub upstream: Box<Upstream>,
    /// Whether it can carry another request.
    pub is_reusable: bool,
    /// Whether the visitor broke off what it carried.
    pub is_abandoned: bool,
}

/// Why a request is answered with an error of the proxy.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum ExchangeError {
    /// The service sent no valid response.
    #[error("the service gave no proper answer")]
    BadResponse,
    /// The link to the service was lost.
    #[error("the link to the service was lost")]
    SessionLost,
    /// The service did not begin its response in time.
    #[error("the service did not answer in time")]
    ResponseTimeout,
    /// The request's body did not come in time.
    #[error("the body of the request did not come in time")]
    BodyTimeout,
    /// The request's body is malformed, or ended too early.
    #[error("the body of the request is broken")]
    BodyBroken,
}

/// What becomes of a request whose connection was lost.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum RetryAction {
    /// It is sent again over a new connection of the same session.
    Again,
    /// It may be sent again by the session that replaced the lost one, if there is one:
    /// [`Exchange::retry_elsewhere`](crate::Exchange::retry_elsewhere). Otherwise it is [`ExchangeError::SessionLost`].
    Elsewhere,
    /// It is answered with an error.
    No(ExchangeError),
}

/// What happened, or is wanted of the runner.
#[derive(Debug)]
pub enum ExchangeEvent<'a> {
    /// A request: the runner calls [`forward`](crate::Exchange::forward), [`take_over`](crate::Exchange::take_over) or
    /// [`respond`](crate::Exchange::respond).
    Request(RequestView<'a>),
    /// A request that the runner answers with an error.
    Refused {
        /// Why.
        reason: HeadRefusal,
        /// What came of its head.
        head: &'a [u8],
    },
    /// A connection to the service is wanted: the runner calls [`handle_connected`](crate::Exchange::handle_connected), or
    /// answers the request with an error.
    Connect(Choice),
    /// The connection was lost, or brought no response: the runner calls [`resolve_loss`](crate::Exchange::resolve_loss).
    Lost(UpstreamFailure),
    /// The runner answers the request with this error.
    Failed(ExchangeError),
    /// The response of the service has begun, with this status.
    Answered(u16),
    /// The connection to the service is free.
    Released(Released),
    /// Request and response are complete, or were given up.
    Finished,
    /// Both sides speak another protocol from now on: the runner calls [`into_tunnel`](crate::Exchange::into_tunnel).
    Upgraded,
    /// The visitor's connection ends, and everything was sent.
    Closed(Closing),
}
