//! A page with the package loaded, in a browser that all tests share.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::chromium::{Chromium, Tab, files};
use hvym_tunnel_tests::tunnel::Relay;

/// The folder of the package under test: that of `HVYM_TUNNEL_PACKAGE`, or one that is built now.
pub(crate) fn package() -> &'static Path {
    static PACKAGE: OnceLock<PathBuf> = OnceLock::new();
    PACKAGE.get_or_init(|| match std::env::var_os("HVYM_TUNNEL_PACKAGE") {
        Some(path) => PathBuf::from(path),
        None => built(&["wasm"]),
    })
}

/// The folder that `cargo xtask` builds and prints as its last line.
pub(crate) fn built(arguments: &[&str]) -> PathBuf {
    let output = hvym_tunnel_tests::cargo()
        .arg("xtask")
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo xtask {arguments:?}: {}", output.status);
    let text = String::from_utf8(output.stdout).expect("cargo writes text");
    PathBuf::from(text.lines().last().expect("it names the folder"))
}

/// A tab with the package loaded and no connection.
pub(crate) struct Page(Tab);

impl Deref for Page {
    type Target = Tab;

    fn deref(&self) -> &Tab {
        &self.0
    }
}

impl Page {
    /// `None` when there is no browser.
    pub(crate) fn open() -> Option<Self> {
        let chromium = Chromium::shared()?;
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
        let site = files(&[("/package/", package()), ("/", &own)]);
        let tab = chromium.open(&format!("http://127.0.0.1:{}/index.html", site.port));
        assert_eq!(tab.run("window.ready"), true, "{:?}", tab.noise());
        Some(Page(tab))
    }

    /// A page with a connected `tunnel` in its global scope.
    pub(crate) fn connected(relay: &Relay) -> Option<Self> {
        let page = Self::open()?;
        page.connect(relay);
        Some(page)
    }

    /// Connects as a new identity.
    pub(crate) fn connect(&self, relay: &Relay) {
        self.connect_with(relay, "Identity.generate()");
    }

    /// Connects as `key`.
    pub(crate) fn connect_as(&self, relay: &Relay, key: &Key) {
        self.connect_with(relay, &format!("Identity.fromSecret('{}')", key.secret().trim()));
    }

    fn connect_with(&self, relay: &Relay, identity: &str) {
        self.block(&format!(
            "window.tunnel = watch(new Tunnel({{ {}, identity: {identity} }}));
             await next(tunnel, 'up');",
            relay_options(relay),
        ));
    }

    /// The string that a script evaluates to.
    pub(crate) fn text(&self, script: &str) -> String {
        let value = self.run(script);
        value.as_str().unwrap_or_else(|| panic!("{script} gave {value}")).to_owned()
    }
}

/// The members of `TunnelOptions` for `relay`.
pub(crate) fn relay_options(relay: &Relay) -> String {
    format!("relay: '{}', relayAddress: '{}'", relay.url(), relay.address)
}

/// The byte at offset `i` of every large body; `byteAt` in the page.
pub(crate) fn byte_at(i: usize) -> u8 {
    (i.wrapping_mul(31) + (i >> 8) * 17 + (i >> 16) * 7) as u8
}
