//! The page of the console, and the files that it loads. There is no secret in them.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;

use super::super::{READ, is_read, json};
use super::{PAGE, PREFIX};
use crate::upstream::response_body::{self, Answer, ResponseBody};

/// Nothing that is not served here, no text that becomes a script, and no page around it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);
/// No other site loads the files or reaches into the page.
const SAME_ORIGIN: [HeaderName; 2] = [
    HeaderName::from_static("cross-origin-opener-policy"),
    HeaderName::from_static("cross-origin-resource-policy"),
];

/// The names behind `/console/`, types and contents, as `web` was built.
const FILES: [(&str, &str, &[u8]); 4] = [
    ("", "text/html; charset=utf-8", include_bytes!("../../../console/console.html")),
    (
        "assets/console.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../../console/assets/console.js"),
    ),
    ("assets/console.css", "text/css; charset=utf-8", include_bytes!("../../../console/assets/console.css")),
    ("icon.svg", "image/svg+xml", include_bytes!("../../../console/icon.svg")),
];

/// The file at `path`, if there is one.
pub(super) fn answer(method: &Method, path: &str) -> Option<Answer> {
    if path == PREFIX {
        let mut answer = response_body::empty(StatusCode::PERMANENT_REDIRECT);
        answer.headers_mut().insert(LOCATION, HeaderValue::from_static(PAGE));
        return Some(answer);
    }
    let name = path.strip_prefix(PAGE)?;
    let (_, kind, content) = FILES.iter().find(|(known, ..)| *known == name)?;
    if !is_read(method) {
        return Some(json::wrong_method(READ));
    }
    let mut answer = Response::new(ResponseBody::Whole(Full::from(*content)));
    let fields = answer.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // Asked for each time: the page and the relay must fit.
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(CONTENT_SECURITY_POLICY, POLICY);
    fields.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    for name in SAME_ORIGIN {
        fields.insert(name, HeaderValue::from_static("same-origin"));
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_and_its_files_are_read_and_nothing_else() {
        let status =
            |method: Method, path: &str| answer(&method, path).map(|answer| answer.status().as_u16());
        for (name, ..) in FILES {
            let path = format!("{PAGE}{name}");
            assert_eq!(status(Method::GET, &path), Some(200), "{path}");
            assert_eq!(status(Method::POST, &path), Some(405), "{path}");
        }
        assert_eq!(status(Method::GET, "/console"), Some(308));
        for path in ["/console/index.html", "/console/assets/", "/console/assets/../icon.svg", "/consoles/"] {
            assert_eq!(status(Method::GET, path), None, "{path}");
        }
        let page = answer(&Method::GET, PAGE).expect("a page");
        assert_eq!(page.headers()[CONTENT_SECURITY_POLICY], POLICY);
    }
}
