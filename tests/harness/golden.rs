//! Recorded facts: what other programs really wrote. Read only; knows no protocol.

use std::path::Path;

use serde_json::Value;

/// The recording `path` below `tests/golden/`, in the order in which it was written.
///
/// # Panics
/// When there is no such recording, which is a fault of the test.
pub fn golden(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The list `member` of a recording.
///
/// # Panics
/// When there is none, or it is empty: a test over nothing proves nothing.
pub fn list<'a>(recording: &'a Value, member: &str) -> &'a [Value] {
    match recording[member].as_array() {
        Some(list) if !list.is_empty() => list,
        _ => panic!("the recording has no list {member}"),
    }
}

/// The text `member` of a recorded object.
///
/// # Panics
/// When there is none.
pub fn text<'a>(record: &'a Value, member: &str) -> &'a str {
    record[member].as_str().unwrap_or_else(|| panic!("{member} is no text in {record}"))
}

/// The bytes that `member` of a recorded object spells in hex.
///
/// # Panics
/// When it does not.
pub fn hex<const N: usize>(record: &Value, member: &str) -> [u8; N] {
    let bytes = data_encoding::HEXLOWER.decode(text(record, member).as_bytes()).expect("hex");
    bytes.try_into().unwrap_or_else(|_| panic!("{member} has not {N} bytes"))
}
