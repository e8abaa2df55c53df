//! The rules of the house: what may import what, what things are called, how large they may be, and what no file says.

mod circles;
mod crates;
mod security;
mod shape;
mod source;
mod types;
mod words;

use source::{code, files, rust, text};

#[test]
fn runners_do_not_know_the_wire() {
    let words = [
        "auth_challenge",
        "auth_response",
        "\"auth_ok",
        "\"auth_failed",
        "challenge_id",
        "\"bind_ok",
        "\"bind_failed",
        "Signal::Auth",
        "Signal::Bind",
        "Signal::Ping",
        "Dialect::",
        "Frame::Mux",
        "INITIAL_WINDOW",
        "WindowUpdate",
        "GoAway",
        "HEADER_BYTES",
    ];
    for (path, text) in [rust("runner-native"), rust("runner-wasm/src")].concat() {
        let named = code(&text).flat_map(|line| words.into_iter().filter(move |word| line.contains(word)));
        assert_eq!(named.collect::<Vec<_>>(), Vec::<&str>::new(), "{path}");
    }
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    // Put together here, so that this file does not name them either.
    let words =
        [concat!("/wo", "rk/"), concat!("/tmp/", "wt-"), concat!("/tmp/", "target-"), concat!("/ro", "ot/")];
    for (path, text) in files("", |_| true) {
        for word in words {
            assert!(!text.contains(word), "{path} names {word}");
        }
    }
    for line in text("Cargo.lock").lines().filter(|line| line.starts_with("source = ")) {
        assert_eq!(line, r#"source = "registry+https://github.com/rust-lang/crates.io-index""#);
    }
    for (path, text) in files(".cargo", |_| true) {
        for word in ["replace-with", "[source", "[registries", "proxy"] {
            assert!(!text.contains(word), "{path} sets {word}");
        }
    }
}
