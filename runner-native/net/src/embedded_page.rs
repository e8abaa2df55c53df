//! Pages that are part of a program: the files of each, as `web` builds them, and the fields that confine them in a browser.
//!
//! It knows neither what a page shows nor who may have it.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

/// Nothing that the page's own server does not serve, and no page around it.
pub const OWN_FILES_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// No other site loads the files or reaches into the page.
const SAME_ORIGIN: [HeaderName; 2] = [
    HeaderName::from_static("cross-origin-opener-policy"),
    HeaderName::from_static("cross-origin-resource-policy"),
];

/// One file of a page.
#[derive(Debug)]
pub struct PageFile {
    /// Where it is from the page on; the page's own is empty.
    pub path: &'static str,
    /// Its media type.
    pub kind: &'static str,
    /// Its bytes.
    pub content: &'static [u8],
}

/// The files of the page `$name` in the folder `$folder` of the crate, the page first.
#[macro_export]
macro_rules! page_files {
    ($folder:literal, $name:literal) => {{
        macro_rules! file {
            ($path:expr, $kind:literal, $file:expr) => {
                $crate::embedded_page::PageFile {
                    path: $path,
                    kind: $kind,
                    content: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $folder, "/", $file)),
                }
            };
        }
        [
            file!("", "text/html; charset=utf-8", concat!($name, ".html")),
            file!(
                concat!("assets/", $name, ".js"),
                "text/javascript; charset=utf-8",
                concat!("assets/", $name, ".js")
            ),
            file!(
                concat!("assets/", $name, ".css"),
                "text/css; charset=utf-8",
                concat!("assets/", $name, ".css")
            ),
            file!("icon.svg", "image/svg+xml", "icon.svg"),
        ]
    }};
}

/// Sets what every response of a page's server has; `policy` is what the page may load.
pub fn confine(fields: &mut HeaderMap, policy: HeaderValue) {
    fields.insert(CONTENT_SECURITY_POLICY, policy);
    // The page and its server must fit, and another build may stand at the same address a minute later.
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for name in SAME_ORIGIN {
        fields.insert(name, HeaderValue::from_static("same-origin"));
    }
}
