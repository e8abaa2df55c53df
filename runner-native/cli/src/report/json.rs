//! A report as one line of JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::human;

/// One line of JSON, ASCII only: what a visitor or a relay sent cannot steer a terminal that shows it.
pub(super) fn line(report: &impl Serialize, now: Duration) -> String {
    #[derive(Serialize)]
    struct Timed<'a, R> {
        #[serde(flatten)]
        report: &'a R,
        unix_ms: u64,
    }
    let timed = Timed { report, unix_ms: whole_millis(now) };
    ascii(serde_json::to_string(&timed).expect("numbers and texts always have a JSON form"))
}

/// JSON in which every other character is an escape.
pub(super) fn ascii(text: String) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text;
    }
    let mut ascii = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            ' '..='~' => ascii.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(ascii, "\\u{unit:04x}").expect("a string takes every write");
                }
            }
        }
    }
    ascii
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn path_alone<S: Serializer>(path: &&str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(human::without_query(path))
}

pub(super) fn millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(whole_millis(*duration))
}

pub(super) fn optional_millis<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(whole_millis).serialize(serializer)
}
