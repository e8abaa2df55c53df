//! CORS for the relay's API (the Fetch standard).
//!
//! The API uses no cookies, so a page needs a credential of its own, and may read the response to it. If the operator
//! named origins, only their pages may.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderValue, Method, Request, StatusCode};

use super::{SERVES, credential};
use crate::http1::auth;
use crate::upstream::response_body::{self, Answer};

/// `Access-Control-Allow-Headers`.
const FIELDS: HeaderValue = HeaderValue::from_static("authorization, content-type, x-api-key");
/// `Access-Control-Max-Age`, seconds, as in HVYM's relay.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// The origin that may read the response to one request, if any.
pub(super) struct Grant {
    origin: Option<HeaderValue>,
    is_preflight: bool,
}

impl Grant {
    /// For a request; an empty `origins` allows every origin.
    pub(super) fn new<B>(request: &Request<B>, origins: &[String]) -> Self {
        let fields = request.headers();
        let is_preflight =
            request.method() == Method::OPTIONS && fields.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let shows = credential::shows_key(fields) || credential::bearer(fields).is_some();
        let named = fields.get(ORIGIN).filter(|_| is_preflight || shows);
        let origin = named.filter(|_| auth::is_allowed_origin(fields, origins));
        let origin = origin
            .map(|origin| if origins.is_empty() { HeaderValue::from_static("*") } else { origin.clone() });
        Self { origin, is_preflight: is_preflight && fields.contains_key(ORIGIN) }
    }

    /// The response to a preflight request; `None` if it is none.
    pub(super) fn preflight(&self) -> Option<Answer> {
        self.is_preflight.then(|| {
            let mut answer = response_body::empty(StatusCode::NO_CONTENT);
            if self.origin.is_some() {
                let fields = answer.headers_mut();
                fields.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(SERVES));
                fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, FIELDS);
                fields.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
            }
            self.mark(answer)
        })
    }

    /// Sets the CORS fields of `answer`. A service's `Access-Control-Allow-Credentials` is removed: it is about the
    /// service's own origin.
    pub(super) fn mark(&self, mut answer: Answer) -> Answer {
        if let Some(origin) = &self.origin {
            let fields = answer.headers_mut();
            fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            fields.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
            if origin != "*" {
                fields.append(VARY, HeaderValue::from_static("Origin"));
            }
        }
        answer
    }
}
