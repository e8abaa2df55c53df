//! One name, one type: no two types of the crates that come together in one program are called the same.
//!
//! Only names that can meet are counted: types that other files of one crate see, and the public types of several
//! crates. `State` of a private machine confuses nobody.

use std::collections::BTreeMap;

use crate::source::{assert_none, line_of, product, words};

/// The crates that come together in a program: the native one, and the one in a browser.
const STACKS: [[&str; 2]; 2] = [["core", "runner-native"], ["core", "runner-wasm/src"]];
/// Names that several types may have, with the reason.
const ALLOWED: [(&str, &str); 12] = [
    ("Agent", "the machine in the core, and the same agent with its sockets in the native library"),
    ("AgentEvent", "what the machine says to its runner, and what the native library says to its owner"),
    ("HostEvents", "of each system the same; one of them is built"),
    ("PollEvents", "of each system the same; one of them is built"),
    ("Poller", "of each system the same; one of them is built"),
    (
        "ReadmeExample",
        "carries the page of a crate to the tests of its examples, and is built for nothing else",
    ),
    ("Predecessor", "of each system the same; one of them is built"),
    ("Registration", "of each system the same; one of them is built"),
    ("Successor", "of each system the same; one of them is built"),
    ("Stream", "a stream of a session in the multiplexer, and one of a link above it"),
    ("Result", "an alias for the errors of one module, as std has it"),
    ("Error", "the error of one private module"),
];

/// The types that a bare text defines at its top for other files too: line, name, and whether other crates see it too.
fn defined(bare: &str) -> Vec<(usize, &str, bool)> {
    let depths = bare.bytes().scan(0_usize, |depth, byte| {
        match byte {
            b'{' => *depth += 1,
            b'}' => *depth = depth.saturating_sub(1),
            _ => {}
        }
        Some(*depth)
    });
    let depths: Vec<usize> = depths.collect();
    let words = words(bare);
    let mut found = Vec::new();
    for (index, (at, kind)) in words.iter().enumerate() {
        let is_kind = matches!(*kind, "struct" | "enum" | "trait" | "type" | "union");
        // `pub`, or `pub(crate)`, `pub(super)` and the like.
        let before = bare[..*at].trim_end();
        let is_public = before.ends_with("pub");
        let is_visible = is_public || before.ends_with(')');
        let Some((_, name)) = words.get(index + 1) else { break };
        if is_kind && is_visible && depths[*at] == 0 && name.starts_with(char::is_uppercase) {
            found.push((line_of(bare, *at), *name, is_public));
        }
    }
    found
}

/// Names with more than one definition, each with the places of these.
fn doubled(files: &[(String, String)]) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<(&str, bool, String)>> = BTreeMap::new();
    for (path, bare) in files {
        let package = path.split_once("/src/").map_or("", |(package, _)| package);
        for (line, name, is_public) in defined(bare) {
            places.entry(name).or_default().push((package, is_public, format!("{path}:{line}")));
        }
    }
    let meets = |one: &(&str, bool, String), other: &(&str, bool, String)| {
        one.2 != other.2 && (one.0 == other.0 || (one.1 && other.1))
    };
    let mut found = Vec::new();
    for (name, places) in places {
        let met = places.iter().filter(|one| places.iter().any(|other| meets(one, other)));
        let met: Vec<&str> = met.map(|(.., place)| place.as_str()).collect();
        if !met.is_empty() && ALLOWED.iter().all(|(allowed, _)| *allowed != name) {
            found.push(format!("{name}: {}", met.join(", ")));
        }
    }
    found
}

#[test]
fn no_two_types_have_one_name() {
    for stack in STACKS {
        let files = stack.into_iter().flat_map(product).filter(|(path, _)| !path.contains("/testing/"));
        let files: Vec<_> = files.collect();
        assert_none(&doubled(&files));
    }
}

#[test]
fn a_doubled_type_is_found() {
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let fine = [
        file("one/src/a.rs", "pub struct Part(u8);\nimpl X for Part {\n    type Part = u8;\n}\n"),
        file("one/src/b.rs", "use a::Part;\nstruct Part;\npub enum Other {}\n"),
        file("two/src/c.rs", "pub(crate) struct Part;\n"),
    ];
    assert_eq!(doubled(&fine), Vec::<String>::new());
    let within = [fine.as_slice(), &[file("one/src/d.rs", "\npub(crate) type Part = u8;\n")]].concat();
    assert_eq!(doubled(&within), ["Part: one/src/a.rs:1, one/src/d.rs:2"]);
    let across = [fine.as_slice(), &[file("two/src/e.rs", "pub trait Other {}\n")]].concat();
    assert_eq!(doubled(&across), ["Other: one/src/b.rs:3, two/src/e.rs:1"]);
}
