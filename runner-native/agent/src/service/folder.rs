//! Serves the files below a folder.
//!
//! It never writes. Hidden files, and links that leave the folder, do not exist for visitors.

mod conditions;
mod content;
mod listing;
mod locate;
mod visible;

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, LOCATION,
};
use http::{HeaderValue, Method, Response, StatusCode, request};
use http_body_util::{BodyExt, Full};
use hvym_tunnel_pages::{Format, Page};
use smol::unblock;

use super::body::{ResponseBody, full};
use super::upstream::expanded;
use crate::error::FolderError;
use conditions::Extent;
use content::FileContent;
use locate::{Found, FoundFile};

/// A folder whose files are served.
pub(super) struct Folder {
    /// Absolute, so that it means the same for as long as the program runs.
    root: PathBuf,
}

impl Folder {
    /// The folder at `path`, as a person wrote it.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn open(path: &Path) -> Result<Self, FolderError> {
        let (folder, reason) = (|| path.to_owned(), |error: io::Error| error.to_string());
        let root = std::path::absolute(expanded(path))
            .map_err(|error| FolderError::NoPath { path: folder(), reason: reason(error) })?;
        match std::fs::metadata(&root) {
            Ok(meta) if meta.is_dir() => Ok(Self { root }),
            Ok(_) => Err(FolderError::NotFolder(folder())),
            Err(error) => Err(FolderError::Missing { path: folder(), reason: reason(error) }),
        }
    }

    /// The response to a request, whose body is ignored.
    pub(super) async fn answer(&self, head: &request::Parts, format: Format) -> Response<ResponseBody> {
        if head.method != Method::GET && head.method != Method::HEAD {
            let mut answer =
                page(405, "method", "Files can only be read", "Here are files, for GET and HEAD.", format);
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        let (root, path) = (self.root.clone(), head.uri.path().to_owned());
        match unblock(move || locate::locate(&root, &path)).await {
            Ok(Found::File(file)) => deliver(head, file, format).await,
            Ok(Found::Listing(html)) => listed(html),
            Ok(Found::Redirect(location)) => redirect(location, head.uri.query()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => page(
                403,
                "unreadable",
                "This cannot be read",
                "The tunnel may not read what is there.",
                format,
            ),
            Err(error) => {
                tracing::debug!(%error, "nothing to serve");
                page(404, "file", "There is no such file", "Nothing is there under this name.", format)
            }
        }
    }
}

async fn deliver(head: &request::Parts, file: FoundFile, format: Format) -> Response<ResponseBody> {
    let FoundFile { file, length, media_type, validators } = file;
    if validators.are_known(&head.headers) {
        let mut answer = Response::new(full(Full::default()));
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        validators.write(answer.headers_mut());
        answer.headers_mut().insert(CACHE_CONTROL, ASK_AGAIN);
        return answer;
    }
    // For other methods a range means nothing (RFC 9110 section 14.2).
    let extent = match head.method {
        Method::GET => validators.extent(&head.headers, length),
        _ => Extent::Whole,
    };
    let (first, count, status, range) = match extent {
        Extent::Whole => (0, length, StatusCode::OK, None),
        Extent::Part { first, last } => {
            let range = format!("bytes {first}-{last}/{length}");
            (first, last - first + 1, StatusCode::PARTIAL_CONTENT, Some(range))
        }
        Extent::Beyond => {
            let mut answer =
                page(416, "range", "The file is not that long", "No byte of it was asked for.", format);
            insert(&mut answer, CONTENT_RANGE, &format!("bytes */{length}"));
            return answer;
        }
    };
    let content = match head.method {
        Method::GET => FileContent::new(file, first, count).await.map(BodyExt::boxed_unsync),
        _ => Ok(full(Full::default())),
    };
    let Ok(content) = content else {
        return page(
            500,
            "disk",
            "The file cannot be read",
            "The tunnel works, but the disk does not.",
            format,
        );
    };
    let mut answer = Response::new(content);
    *answer.status_mut() = status;
    validators.write(answer.headers_mut());
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, ASK_AGAIN);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(count));
    insert(&mut answer, CONTENT_TYPE, &media_type);
    if let Some(range) = range {
        insert(&mut answer, CONTENT_RANGE, &range);
    }
    answer
}

/// The author of a site wants to see its current state; an unchanged file is answered with 304.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

fn listed(html: String) -> Response<ResponseBody> {
    let length = html.len();
    let mut answer = Response::new(full(Full::from(Bytes::from(html))));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let nothing_runs = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    headers.insert(CONTENT_SECURITY_POLICY, nothing_runs);
    answer
}

fn redirect(mut location: String, query: Option<&str>) -> Response<ResponseBody> {
    if let Some(query) = query {
        location.push('?');
        location.push_str(query);
    }
    let mut answer = Response::new(full(Full::default()));
    *answer.status_mut() = StatusCode::MOVED_PERMANENTLY;
    insert(&mut answer, LOCATION, &location);
    // Folders become files and the other way round while somebody works on them.
    answer.headers_mut().insert(CACHE_CONTROL, ASK_AGAIN);
    answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
    answer
}

fn page(
    status: u16,
    reason: &'static str,
    title: &str,
    text: &str,
    format: Format,
) -> Response<ResponseBody> {
    let (title, text, hint) = (title.to_owned(), text.to_owned(), String::new());
    let page = Page { status, reason, title, text, hint, retry_after: None, is_away: false };
    hvym_tunnel_net::hyper::page(&page, format).map(full)
}

fn insert(answer: &mut Response<ResponseBody>, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        answer.headers_mut().insert(name, value);
    }
}
