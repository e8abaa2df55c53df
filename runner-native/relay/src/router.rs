//! Where a request leads by its host name: the seam for custom domains, and for relays that share their agents.

use std::borrow::Cow;

/// Where a host name leads.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Route<'a> {
    /// To an agent of this relay, by this name below the relay's domain.
    Here(Cow<'a, str>),
    /// To another relay: the visitor is redirected (307) to the same path below this origin, as in `https://eu.example`.
    Elsewhere(String),
}

/// Finds where a host name leads. Called for each request, on a worker thread: it must not block.
pub trait Router: Send + Sync {
    /// Where a request for `host` leads; it is lower case and without a port.
    fn route<'a>(&self, host: &'a str) -> Route<'a>;
}

/// The local router: a host name means what it says.
#[derive(Copy, Clone, Debug, Default)]
pub struct LocalRouter;

impl Router for LocalRouter {
    fn route<'a>(&self, host: &'a str) -> Route<'a> {
        Route::Here(Cow::Borrowed(host))
    }
}
