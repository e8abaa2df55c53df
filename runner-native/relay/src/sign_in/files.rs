//! The files of the page, compressed (gzip). Written by `cargo xtask wasm --embed`.

/// Names and contents.
pub(super) const FILES: &[(&str, &[u8])] = &[
    ("bridge-html.js", include_bytes!("../../sign-in/bridge-html.js.gz")),
    ("bridge-page.js", include_bytes!("../../sign-in/bridge-page.js.gz")),
    ("bridge-request.js", include_bytes!("../../sign-in/bridge-request.js.gz")),
    ("bridge-socket.js", include_bytes!("../../sign-in/bridge-socket.js.gz")),
    ("bridge-worker.js", include_bytes!("../../sign-in/bridge-worker.js.gz")),
    ("bridge.js", include_bytes!("../../sign-in/bridge.js.gz")),
    ("browser-key.js", include_bytes!("../../sign-in/browser-key.js.gz")),
    ("cookies.js", include_bytes!("../../sign-in/cookies.js.gz")),
    ("error.js", include_bytes!("../../sign-in/error.js.gz")),
    ("fetch.js", include_bytes!("../../sign-in/fetch.js.gz")),
    ("freighter.js", include_bytes!("../../sign-in/freighter.js.gz")),
    ("http.js", include_bytes!("../../sign-in/http.js.gz")),
    ("identity.js", include_bytes!("../../sign-in/identity.js.gz")),
    ("load.js", include_bytes!("../../sign-in/load.js.gz")),
    ("runner.js", include_bytes!("../../sign-in/runner.js.gz")),
    ("runner_bg.wasm", include_bytes!("../../sign-in/runner_bg.wasm.gz")),
    ("serve.js", include_bytes!("../../sign-in/serve.js.gz")),
    ("shared-port.js", include_bytes!("../../sign-in/shared-port.js.gz")),
    ("shared.js", include_bytes!("../../sign-in/shared.js.gz")),
    ("sign-in.css", include_bytes!("../../sign-in/sign-in.css.gz")),
    ("sign-in.js", include_bytes!("../../sign-in/sign-in.js.gz")),
    ("store.js", include_bytes!("../../sign-in/store.js.gz")),
    ("tunnel.js", include_bytes!("../../sign-in/tunnel.js.gz")),
    ("wallet.js", include_bytes!("../../sign-in/wallet.js.gz")),
];
