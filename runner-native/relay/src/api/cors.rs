//! Pages of other origins that ask the relay something (the CORS protocol of the Fetch standard).
//!
//! No cookie counts here, so a page can do nothing with what its reader is logged in to: it has to show a credential of
//! its own, and whoever has that may be told. Where the operator named origins, the others may not.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderValue, Method, Request, StatusCode};

use super::{SERVES, credential};
use crate::http1::auth;
use crate::upstream::response_body::{self, Answer};

/// What pages send beside what they may always send.
const FIELDS: HeaderValue = HeaderValue::from_static("authorization, content-type, x-api-key");
/// How long a page need not ask again, seconds; HVYM's relay says as much.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Which origin may read the answer to one request, if any.
pub(super) struct Grant {
    origin: Option<HeaderValue>,
    is_preflight: bool,
}

impl Grant {
    /// Of a request; `origins` are those that the operator named, and none is all.
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

    /// What a page is told that asks whether it may ask; `None` if it asked something else.
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

    /// Says in `answer` who may read it. What the service behind it says of that is about its own address.
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
