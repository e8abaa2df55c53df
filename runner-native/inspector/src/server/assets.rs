//! The files of the page, as `web` was built.

/// One file.
pub(super) struct Asset {
    pub(super) path: &'static str,
    pub(super) kind: &'static str,
    pub(super) content: &'static [u8],
}

/// The page itself, and what it loads.
pub(super) const ASSETS: [Asset; 4] = [
    Asset {
        path: "/",
        kind: "text/html; charset=utf-8",
        content: include_bytes!("../../assets/inspector.html"),
    },
    Asset {
        path: "/assets/inspector.js",
        kind: "text/javascript; charset=utf-8",
        content: include_bytes!("../../assets/assets/inspector.js"),
    },
    Asset {
        path: "/assets/inspector.css",
        kind: "text/css; charset=utf-8",
        content: include_bytes!("../../assets/assets/inspector.css"),
    },
    Asset { path: "/icon.svg", kind: "image/svg+xml", content: include_bytes!("../../assets/icon.svg") },
];
