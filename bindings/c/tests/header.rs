//! The header that is committed is that of the sources.

use std::path::Path;

/// The files that define what the header names.
const SOURCES: [&str; 5] = ["ffi.rs", "outcome.rs", "identity.rs", "agent.rs", "relay.rs"];

fn header(folder: &Path) -> String {
    let config =
        cbindgen::Config::from_file(folder.join("cbindgen.toml")).expect("the configuration is right");
    let builder = cbindgen::Builder::new().with_config(config);
    let sources = SOURCES.map(|name| folder.join("src").join(name));
    let builder = sources.into_iter().fold(builder, cbindgen::Builder::with_src);
    let mut written = Vec::new();
    builder.generate().expect("the sources are understood").write(&mut written);
    String::from_utf8(written).expect("it is text")
}

#[test]
fn the_header_that_is_committed_is_that_of_the_sources() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = folder.join("include/hvym_tunnel.h");
    let made = header(folder);
    if std::env::var_os("HVYM_TUNNEL_WRITE").is_some() {
        std::fs::write(&path, &made).expect("the file takes the header");
    }
    let committed = std::fs::read_to_string(&path).expect("the committed header");
    assert!(committed == made, "run this test with HVYM_TUNNEL_WRITE=1, and commit include/hvym_tunnel.h");
}
