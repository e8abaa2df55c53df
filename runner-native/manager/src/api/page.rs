//! The dashboard: a page of this API for a person, and the files that it loads. What it shows and does, it asks the API for.

use http::{Method, StatusCode};
use hvym_tunnel_net::embedded_page::{OWN_FILES_POLICY, PageFile, confine};
use hvym_tunnel_net::page_files;

use super::answer::{self, Answer};

static FILES: [PageFile; 4] = page_files!("assets", "dashboard");

/// The file at `path`, if there is one. There is no secret in it: whoever is let in may have it.
pub(super) fn answer(method: &Method, path: &str) -> Option<Answer> {
    let path = path.strip_prefix('/')?;
    let file = FILES.iter().find(|file| file.path == path)?;
    if method != Method::GET && method != Method::HEAD {
        return Some(answer::wrong_method("GET, HEAD"));
    }
    let mut answer = answer::content(StatusCode::OK, file.kind, file.content);
    confine(answer.headers_mut(), OWN_FILES_POLICY);
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
            let path = format!("/{}", file.path);
            assert_eq!(status(Method::GET, &path), Some(200), "{path}");
            assert_eq!(status(Method::POST, &path), Some(405), "{path}");
        }
        for path in ["", "//", "icon.svg", "/index.html", "/assets/", "/assets/../icon.svg"] {
            assert_eq!(status(Method::GET, path), None, "{path}");
        }
        let page = answer(&Method::GET, "/").expect("a page");
        assert_eq!(page.headers()[CONTENT_SECURITY_POLICY], OWN_FILES_POLICY);
    }
}
