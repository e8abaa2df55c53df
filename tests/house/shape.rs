//! How large files, functions and structs may be, and how a file begins.

use crate::source::{assert_none, bare, closing_brace, code, line_of, product, rust, text, words};

/// Lines of code of a file; beyond it, a file is two.
const MAX_LINES: usize = 400;
/// Lines of code of a function, from its name to its closing brace.
const MAX_FUNCTION: usize = 60;
/// Fields of a struct. A comment that begins with `// Fields:`, above it or in it, gives the reason for more.
const MAX_FIELDS: usize = 12;
/// The folders in which functions and structs are held to this.
pub(crate) const FOLDERS: [&str; 5] =
    ["core", "runner-native", "runner-wasm/src", "xtask/src", "tests/harness"];

/// Functions with more than [`MAX_FUNCTION`] lines: line, name and length.
fn long_functions(bare: &str) -> Vec<(usize, &str, usize)> {
    let words = words(bare);
    let mut found = Vec::new();
    for pair in words.windows(2) {
        let [(at, "fn"), (_, name)] = *pair else { continue };
        let rest = &bare[at..];
        // `fn(u8)` is a type, and a function of a trait may have no body.
        let Some(opening) = rest.find('{') else { continue };
        if rest[..opening].contains(';') && !rest[..opening].contains('[') {
            continue;
        }
        let body = &bare[at..=closing_brace(bare, at + opening)];
        let length = code(body).count();
        if length > MAX_FUNCTION {
            found.push((line_of(bare, at), name, length));
        }
    }
    found
}

/// Structs with more than [`MAX_FIELDS`] fields and no reason: line, name and how many.
fn wide_structs<'a>(text: &str, bare: &'a str) -> Vec<(usize, &'a str, usize)> {
    let words = words(bare);
    let mut found = Vec::new();
    for pair in words.windows(2) {
        let [(at, "struct"), (_, name)] = *pair else { continue };
        let rest = &bare[at..];
        let Some(opening) = rest.find(['{', ';', '(']).filter(|opening| rest[*opening..].starts_with('{'))
        else {
            continue;
        };
        let closing = closing_brace(bare, at + opening);
        let count = fields(&bare[at + opening + 1..closing]);
        let (first, last) = (line_of(bare, at), line_of(bare, closing));
        // Attributes and documentation stand between the reason and the struct.
        let around = text.lines().skip(first.saturating_sub(12)).take(last - first.saturating_sub(12));
        let reason = around.map(str::trim_start).any(|line| line.starts_with("// Fields:"));
        if count > MAX_FIELDS && !reason {
            found.push((first, name, count));
        }
    }
    found
}

/// How many colons of a struct's body stand between a name and a type: not in paths, and not inside other brackets.
fn fields(body: &str) -> usize {
    let bytes = body.as_bytes();
    let (mut depth, mut count) = (0_usize, 0);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'(' | b'[' | b'{' | b'<' => depth += 1,
            // Not of an arrow.
            b'>' if at > 0 && bytes[at - 1] == b'-' => {}
            b')' | b']' | b'}' | b'>' => depth = depth.saturating_sub(1),
            b':' if depth == 0 && bytes.get(at + 1) != Some(&b':') && at > 0 && bytes[at - 1] != b':' => {
                count += 1
            }
            _ => {}
        }
    }
    count
}

#[test]
fn no_file_is_two_files() {
    let lengths = rust("").into_iter().map(|(path, text)| (code(&text).count(), path));
    let long: Vec<_> = lengths.filter(|(lines, _)| *lines > MAX_LINES).collect();
    assert_eq!(long, []);
}

#[test]
fn no_function_is_longer_than_a_screen() {
    let mut long = Vec::new();
    for (path, bare) in FOLDERS.into_iter().flat_map(product) {
        let functions = long_functions(&bare).into_iter();
        long.extend(
            functions.map(|(line, name, length)| format!("{path}:{line}: {name} has {length} lines")),
        );
    }
    assert_none(&long);
}

#[test]
fn no_struct_has_many_fields_without_a_reason() {
    let mut wide = Vec::new();
    for (path, bare) in FOLDERS.into_iter().flat_map(product) {
        let structs = wide_structs(&text(&path), &bare)
            .into_iter()
            .map(|(line, name, count)| format!("{path}:{line}: {name} has {count} fields"));
        wide.extend(structs);
    }
    assert_none(&wide);
}

#[test]
fn every_source_file_says_what_it_is() {
    for (path, text) in rust("") {
        let first = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
        assert!(first.starts_with("//!"), "{path} begins with {first:?}");
    }
}

#[test]
fn a_long_function_is_found() {
    let long =
        format!("fn short() {{}}\nfn long(a: [u8; 2]) -> u8 {{\n{}}}\n", "    a();\n".repeat(MAX_FUNCTION));
    assert_eq!(long_functions(&long), [(2, "long", MAX_FUNCTION + 2)]);
    let short = format!(
        "trait A {{ fn none(); }}\nfn b(c: fn(u8)) {{\n{}}}\n",
        "    c();\n\n".repeat(MAX_FUNCTION - 2)
    );
    assert_eq!(long_functions(&short), []);
}

#[test]
fn a_struct_with_many_fields_is_found() {
    let body: String =
        (0..=MAX_FIELDS).map(|n| format!("    f{n}: std::Map<K, fn(a: u8) -> b::C>,\n")).collect();
    let wide = format!("struct Tuple(u8);\nstruct Wide {{\n{body}}}\n");
    assert_eq!(wide_structs(&wide, &bare(&wide)), [(2, "Wide", MAX_FIELDS + 1)]);
    let reasoned =
        wide.replace("struct Wide", "// Fields: one for each metric.\n#[derive(Debug)]\nstruct Wide");
    assert_eq!(wide_structs(&reasoned, &bare(&reasoned)), []);
    let narrow = wide.replace("    f0:", "    // f0:");
    assert_eq!(wide_structs(&narrow, &bare(&narrow)), []);
}
