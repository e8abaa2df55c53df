//! The tests that `docs/SECURITY.md` names exist.

use std::collections::BTreeSet;

use crate::source::{assert_none, rust, text};

/// The code spans of a table whose cells are whole names of functions.
fn named(text: &str) -> BTreeSet<&str> {
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let cells =
        rows.filter_map(|row| row.trim_end_matches(['|', ' ']).rsplit_once(" | ").map(|(_, cell)| cell));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

/// The names of functions that are tests.
fn tests(source: &str) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = source.lines().map(str::trim_start).collect();
    let is_test =
        |at: &usize| lines[at.saturating_sub(3)..*at].iter().any(|line| line.starts_with("#[test]"));
    let at: Vec<usize> =
        (0..lines.len()).filter(|at| lines[*at].starts_with("fn ")).filter(is_test).collect();
    at.into_iter().filter_map(move |at| lines[at].strip_prefix("fn ")?.split('(').next())
}

#[test]
fn every_test_that_is_named_exists() {
    let document = text("docs/SECURITY.md");
    let sources: Vec<(String, String)> =
        ["core", "runner-native", "tests"].into_iter().flat_map(rust).collect();
    let known: BTreeSet<&str> = sources.iter().flat_map(|(_, source)| tests(source)).collect();
    let named = named(&document);
    assert!(named.len() > 20, "the table was not read: {named:?}");
    let missing: Vec<String> = named.difference(&known).map(|name| (*name).to_owned()).collect();
    assert_none(&missing);
}

#[test]
fn a_name_without_a_test_is_found() {
    let table = "| who | could | test |\n|---|---|---|\n| a | b `c` | `there`, `gone` |\n";
    let source = "    #[test]\n    #[cfg(unix)]\n    fn there() {}\n\n    fn gone() {}\n";
    let known: BTreeSet<&str> = tests(source).collect();
    assert_eq!(named(table).difference(&known).collect::<Vec<_>>(), [&"gone"]);
}
