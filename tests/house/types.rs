//! One name, one type: no two types of the crates that come together in one program are called the same.
//!
//! Types that only their own file sees are not counted: `State` of a private machine confuses nobody.

use std::collections::BTreeMap;

use crate::source::{line_of, product, words};

/// The crates that come together in a program: the native one, and the one in a browser.
const STACKS: [[&str; 2]; 2] = [["core", "runner-native"], ["core", "runner-wasm/src"]];
/// Names that several types may have, with the reason.
const ALLOWED: [(&str, &str); 4] = [
    ("Agent", "the machine in the core, and the same agent with its sockets in the native library"),
    ("AgentEvent", "what the machine says to its runner, and what the native library says to its owner"),
    ("Result", "an alias for the errors of one module, as std has it"),
    ("Error", "the error of one private module"),
];

/// The types that a bare text defines at its top for other files too: line and name.
pub(crate) fn defined(bare: &str) -> Vec<(usize, &str)> {
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
        let is_visible = before.ends_with("pub") || before.ends_with(')');
        let Some((_, name)) = words.get(index + 1) else { break };
        if is_kind && is_visible && depths[*at] == 0 && name.starts_with(char::is_uppercase) {
            found.push((line_of(bare, *at), *name));
        }
    }
    found
}

/// Names with more than one definition, each with the places of these.
fn doubled(files: &[(String, String)]) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (path, bare) in files {
        for (line, name) in defined(bare) {
            places.entry(name).or_default().push(format!("{path}:{line}"));
        }
    }
    let several = places.into_iter().filter(|(_, places)| places.len() > 1);
    let wrong = several.filter(|(name, _)| ALLOWED.iter().all(|(allowed, _)| allowed != name));
    wrong.map(|(name, places)| format!("{name}: {}", places.join(", "))).collect()
}

#[test]
#[ignore = "renames are under way"]
fn no_two_types_have_one_name() {
    for stack in STACKS {
        let files = stack.into_iter().flat_map(product).filter(|(path, _)| !path.contains("/testing/"));
        let files: Vec<_> = files.collect();
        let doubled = doubled(&files);
        assert!(doubled.is_empty(), "\n{}", doubled.join("\n"));
    }
}

#[test]
fn a_doubled_type_is_found() {
    let files = [
        ("a.rs".to_owned(), "pub struct Part(u8);\nimpl X for Part {\n    type Part = u8;\n}\n".to_owned()),
        ("b.rs".to_owned(), "use a::Part;\nstruct Part;\npub enum Other {}\n".to_owned()),
    ];
    assert_eq!(doubled(&files), Vec::<String>::new());
    let third = ("c.rs".to_owned(), "\npub(crate) type Part = u8;\n".to_owned());
    assert_eq!(doubled(&[files.as_slice(), &[third]].concat()), ["Part: a.rs:1, c.rs:2"]);
}
