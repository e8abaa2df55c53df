//! The content of a request, read within a bound of size and time.

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::answer::{self, Answer};

/// The largest content of most requests: a service with a long list of identities.
const MAX_CONTENT_BYTES: usize = 64 * 1024;
/// How long content may take to arrive.
const CONTENT_TIMEOUT: Duration = Duration::from_secs(10);

/// The content of a request; `None` if there is none.
///
/// # Errors
/// The response to one that is not understood.
pub(super) async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<Option<T>, Answer> {
    read_up_to(request, MAX_CONTENT_BYTES).await
}

async fn read_up_to<T: DeserializeOwned>(
    request: Request<Incoming>,
    limit: usize,
) -> Result<Option<T>, Answer> {
    let body = Limited::new(request.into_body(), limit).collect();
    let content = match hvym_tunnel_net::timeout::within(CONTENT_TIMEOUT, body).await {
        Some(Ok(content)) => content.to_bytes(),
        Some(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let what = format!("The content is larger than {limit} bytes");
            return Err(answer::error(StatusCode::PAYLOAD_TOO_LARGE, what));
        }
        Some(Err(error)) => return Err(answer::error(StatusCode::BAD_REQUEST, error.to_string())),
        None => return Err(answer::error(StatusCode::REQUEST_TIMEOUT, "The content did not arrive in time")),
    };
    if content.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    // An array would pass for an object without names.
    let object = serde_json::from_slice::<Map<String, Value>>(&content);
    let parsed = object.and_then(|object| serde_json::from_value(Value::Object(object)).map(Some));
    parsed.map_err(|error| {
        answer::error(StatusCode::BAD_REQUEST, format!("The content is not understood: {error}"))
    })
}

/// The content of a request that must have one.
///
/// # Errors
/// The response to one that has none, or is not understood.
pub(super) async fn read_required<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Answer> {
    read_required_up_to(request, MAX_CONTENT_BYTES).await
}

/// The same, of at most `limit` bytes.
///
/// # Errors
/// As for [`read_required`].
pub(super) async fn read_required_up_to<T: DeserializeOwned>(
    request: Request<Incoming>,
    limit: usize,
) -> Result<T, Answer> {
    let content = read_up_to(request, limit).await?;
    content.ok_or_else(|| answer::error(StatusCode::BAD_REQUEST, "The content is missing"))
}
