//! Maps host names to agents: the interface for custom domains, and for several relays that share their agents.

use std::borrow::Cow;

/// The target of a host name.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Route<'a> {
    /// To an agent of this relay, by this name below the relay's domain.
    Here(Cow<'a, str>),
    /// To another relay: the visitor is redirected (307) to the same path below this origin, as in `https://eu.example`.
    Elsewhere(String),
}

/// Maps host names to targets. Called for each request, on a worker thread: it must not block.
pub trait Router: Send + Sync {
    /// The target of requests for `host`, which is lower case and without a port.
    fn route<'a>(&self, host: &'a str) -> Route<'a>;
}

/// The default router: each host name is looked up on this relay as it is.
#[derive(Copy, Clone, Debug, Default)]
pub struct LocalRouter;

impl Router for LocalRouter {
    fn route<'a>(&self, host: &'a str) -> Route<'a> {
        Route::Here(Cow::Borrowed(host))
    }
}
