//! The dashboard: a page of this API for a person, and the files that it loads. What it shows and does, it asks the API for.

use http::header::{CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY};
use http::{HeaderValue, Method, StatusCode};

use super::answer::{self, Answer};

/// Nothing that is not served here, and no page around it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// No other site loads the files.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The paths, types and contents, as `web` was built.
const FILES: [(&str, &str, &[u8]); 4] = [
    ("/", "text/html; charset=utf-8", include_bytes!("../../assets/dashboard.html")),
    (
        "/assets/dashboard.js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../assets/assets/dashboard.js"),
    ),
    ("/assets/dashboard.css", "text/css; charset=utf-8", include_bytes!("../../assets/assets/dashboard.css")),
    ("/icon.svg", "image/svg+xml", include_bytes!("../../assets/icon.svg")),
];

/// The file at `path`, if there is one. There is no secret in it: whoever is let in may have it.
pub(super) fn answer(method: &Method, path: &str) -> Option<Answer> {
    let (_, kind, content) = FILES.iter().find(|(known, ..)| *known == path)?;
    if method != Method::GET && method != Method::HEAD {
        return Some(answer::wrong_method("GET, HEAD"));
    }
    let mut answer = answer::content(StatusCode::OK, kind, *content);
    let fields = answer.headers_mut();
    fields.insert(CONTENT_SECURITY_POLICY, POLICY);
    fields.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    fields.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_and_its_files_are_read_and_nothing_else() {
        let status =
            |method: Method, path: &str| answer(&method, path).map(|answer| answer.status().as_u16());
        for (path, ..) in FILES {
            assert_eq!(status(Method::GET, path), Some(200), "{path}");
            assert_eq!(status(Method::POST, path), Some(405), "{path}");
        }
        for path in ["", "/index.html", "/assets/", "/assets/../icon.svg"] {
            assert_eq!(status(Method::GET, path), None, "{path}");
        }
        let page = answer(&Method::GET, "/").expect("a page");
        assert_eq!(page.headers()[CONTENT_SECURITY_POLICY], POLICY);
    }
}
