//! The page of the console, and the files that it loads. There is no secret in them.

use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use hvym_tunnel_net::embedded_page::{PageFile, confine};
use hvym_tunnel_net::page_files;

use super::super::{READ, is_read, json};
use super::{PAGE, PREFIX};
use crate::upstream::response_body::{self, Answer, ResponseBody};

/// Nothing that is not served here, no text that becomes a script, and no page around it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
);
/// Behind `/console/`.
static FILES: [PageFile; 4] = page_files!("console", "console");

/// The file at `path`, if there is one.
pub(super) fn answer(method: &Method, path: &str) -> Option<Answer> {
    if path == PREFIX {
        let mut answer = response_body::empty(StatusCode::PERMANENT_REDIRECT);
        answer.headers_mut().insert(LOCATION, HeaderValue::from_static(PAGE));
        return Some(answer);
    }
    let name = path.strip_prefix(PAGE)?;
    let file = FILES.iter().find(|file| file.path == name)?;
    if !is_read(method) {
        return Some(json::wrong_method(READ));
    }
    let mut answer = Response::new(ResponseBody::Whole(Full::from(file.content)));
    let fields = answer.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(file.kind));
    confine(fields, POLICY);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_SECURITY_POLICY;

    use super::*;

    #[test]
    fn the_page_and_its_files_are_read_and_nothing_else() {
        let status =
            |method: Method, path: &str| answer(&method, path).map(|answer| answer.status().as_u16());
        for file in &FILES {
            let path = format!("{PAGE}{}", file.path);
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
