//! Why the body of a visitor's request is incomplete.

use std::time::Duration;

use thiserror::Error;

/// Why a body is incomplete.
#[derive(Debug, Error)]
pub(crate) enum RequestBodyError {
    /// No byte of it arrived for the timeout.
    #[error("nothing of the body came for {0:?}")]
    Late(Duration),
    /// It came more slowly than it may.
    #[error("the body came too slowly")]
    Slow,
    /// It ended too early, or is not what its head announced.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// The same, of a visitor of HTTP/1.1.
    #[error("the body ended too early, or is malformed")]
    Aborted,
}
