//! Source files of the workspace, and their text without what is no code. It knows no rule.

use std::fs;
use std::path::{Path, PathBuf};

/// What is not ours, or made by a tool.
const SKIPPED: [&str; 6] = ["target", ".git", "node_modules", "pkg", "corpus", "mutants.out"];

/// Fails with what was found.
pub(crate) fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the tests lie in the workspace")
}

/// The text of one file.
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below `folder` for which `wanted` holds, as path and text. Files that are no text are left out.
pub(crate) fn files(folder: &str, wanted: fn(&Path) -> bool) -> Vec<(String, String)> {
    let (root, mut found) = (root(), Vec::new());
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if SKIPPED.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if wanted(&path)
                && let Ok(text) = fs::read_to_string(&path)
            {
                let path = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
                found.push((path, text));
            }
        }
    }
    found.sort();
    found
}

/// The Rust files below `folder`.
pub(crate) fn rust(folder: &str) -> Vec<(String, String)> {
    let found = files(folder, |path| path.extension().is_some_and(|extension| extension == "rs"));
    assert!(!found.is_empty(), "no Rust below {folder}: the check would check nothing");
    found
}

/// The Rust files below `folder` that are no tests, with [`bare`] text.
pub(crate) fn product(folder: &str) -> Vec<(String, String)> {
    let is_test = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        path.contains("/tests/") || name == "tests.rs" || name.ends_with("_tests.rs")
    };
    let files = rust(folder).into_iter().filter(|(path, _)| !is_test(path));
    files.map(|(path, text)| (path, without_tests(&bare(&text)))).collect()
}

/// The lines that are code: not empty, and no comment.
pub(crate) fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//") && !line.trim().is_empty())
}

/// The text with spaces in place of comments and of what is inside quotes. Lines stay where they are.
pub(crate) fn bare(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => end_of_line(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => end_of_block(bytes, at),
            b'"' => end_of_string(bytes, at),
            b'r' if !follows_a_word(bytes, at) => end_of_raw_string(bytes, at),
            b'\'' => end_of_character(bytes, at),
            _ => at,
        };
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).expect("whole characters were replaced")
}

fn follows_a_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() && bytes[at - 1] != b'b' || bytes[at - 1] == b'_')
}

fn end_of_line(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

fn end_of_block(bytes: &[u8], at: usize) -> usize {
    bytes[at..].windows(2).position(|pair| pair == b"*/").map_or(bytes.len(), |length| at + length + 2)
}

fn end_of_string(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while end < bytes.len() && bytes[end] != b'"' {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    bytes.len().min(end + 1)
}

/// The end of `r"..."` or `r#"..."#`, or `at` if nothing of that kind begins there.
fn end_of_raw_string(bytes: &[u8], at: usize) -> usize {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    let start = at + 1 + hashes;
    if bytes.get(start) != Some(&b'"') {
        return at;
    }
    let closing = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let rest = &bytes[start + 1..];
    let length = rest.windows(closing.len()).position(|window| window == closing);
    length.map_or(bytes.len(), |length| start + 1 + length + closing.len())
}

/// The end of `'x'` or `'\n'`, or `at` for a lifetime.
fn end_of_character(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at + 1) == Some(&b'\\') {
        let closing = bytes[at + 3..].iter().position(|byte| *byte == b'\'');
        return closing.map_or(bytes.len(), |length| at + 3 + length + 1);
    }
    // A character may have up to four bytes; a lifetime has no closing quote so near.
    let closing = (at + 2..at + 6).find(|end| bytes.get(*end) == Some(&b'\''));
    let one =
        |end: usize| std::str::from_utf8(&bytes[at + 1..end]).is_ok_and(|text| text.chars().count() == 1);
    closing.filter(|end| one(*end)).map_or(at, |end| end + 1)
}

/// Bare text with spaces in place of `#[cfg(test)]` modules.
pub(crate) fn without_tests(bare: &str) -> String {
    let mut out = bare.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let rest = &out[start..];
        let opening = rest.find('{');
        let semicolon = rest.find(';');
        let end = match (opening, semicolon) {
            (Some(opening), semicolon) if semicolon.is_none_or(|semicolon| opening < semicolon) => {
                closing_brace(&out, start + opening) + 1
            }
            (_, Some(semicolon)) => start + semicolon + 1,
            _ => out.len(),
        };
        let blank: String = out[start..end].chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
        out.replace_range(start..end, &blank);
    }
    out
}

/// Where the brace that opens at `at` of a bare text is closed.
pub(crate) fn closing_brace(bare: &str, at: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in bare.bytes().enumerate().skip(at) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return offset;
                }
            }
            _ => {}
        }
    }
    bare.len().saturating_sub(1)
}

/// The words of a bare text and where each begins: identifiers, keywords and numbers.
pub(crate) fn words(bare: &str) -> Vec<(usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in bare.char_indices().chain([(bare.len(), ' ')]) {
        match (is_word(c), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                found.push((from, &bare[from..at]));
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// The number of the line that has the byte `at`, from one.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

#[test]
fn comments_and_quotes_are_no_code() {
    let text = "let a = \"x // y\"; // z\nlet c = '\"'; let d: &'static str = r#\"b \" b\"#; /* e */ f";
    let bare = bare(text);
    let words: Vec<&str> = words(&bare).into_iter().map(|(_, word)| word).collect();
    assert_eq!(words, ["let", "a", "let", "c", "let", "d", "static", "str", "f"]);
    assert_eq!(bare.lines().count(), text.lines().count());
}

#[test]
fn test_modules_are_no_product() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { if c {} } }\n#[cfg(test)]\nmod d;\nfn e() {}";
    let kept = without_tests(text);
    assert_eq!(kept.split_whitespace().collect::<String>(), "fna(){}fne(){}");
    assert_eq!(line_of(&kept, kept.find("fn e").expect("it is kept")), 6);
}
