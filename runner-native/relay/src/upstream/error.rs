//! Why a request got no response from its service.

use std::error::Error;

use http::Request;

use super::request_upload::{RequestUpload, UploadFailure};

/// Why no response head came.
pub(crate) enum UpstreamError {
    /// Nothing of the request was sent; it is given back.
    Unsent(Box<Request<RequestUpload>>),
    /// The connection ended before a byte of the response.
    Lost(Box<dyn Error + Send + Sync>),
    /// The body of the request did not arrive completely.
    Upload(UploadFailure),
    /// The visitor's `Host` is no authority (RFC 9113 section 8.3.1).
    BadHost,
    /// The service sent no valid response head.
    Bad(Box<dyn Error + Send + Sync>),
    /// Neither request nor response progressed within the limit.
    TooLate,
}
