//! One line of a log file: for people, `TIME LEVEL WORD KEY=VALUE ..`, or a JSON object.
//!
//! Pure. What strangers sent is escaped: a line is one line, and steers no terminal that shows it.

use std::fmt::Write as _;
use std::time::Duration;

use hvym_tunnel_core::stellar::delegation::Timestamp;
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_settings::LogFormat;
use serde_json::{Map, Value};
use tracing::Level;

use super::json;
use super::line::escaped;

/// A line that is not finished.
pub(super) struct LogLine {
    format: LogFormat,
    text: String,
}

impl LogLine {
    /// Of something that happened at `now` since 1970.
    pub(super) fn new(format: LogFormat, now: Duration, level: Level) -> Self {
        let time = time(now);
        let text = match format {
            LogFormat::Text => format!("{time} {level:>5}"),
            LogFormat::Json => format!("{{\"time\":\"{time}\",\"level\":\"{level}\""),
        };
        Self { format, text }
    }

    /// What a line is about: `name` is its key in JSON.
    pub(super) fn word(mut self, name: &str, word: &str) -> Self {
        match self.format {
            LogFormat::Text => {
                self.text.push(' ');
                self.text.push_str(word);
            }
            LogFormat::Json => self.put(name, &Value::from(word)),
        }
        self
    }

    /// More about it.
    pub(super) fn fields(mut self, fields: &Map<String, Value>) -> Self {
        fields.iter().for_each(|(name, value)| self.put(name, value));
        self
    }

    fn put(&mut self, name: &str, value: &Value) {
        let written = match self.format {
            LogFormat::Text => write!(self.text, " {name}={value}"),
            LogFormat::Json => write!(self.text, ",{}:{value}", Value::from(name)),
        };
        written.expect("a string takes every write");
    }

    /// The line with its end.
    pub(super) fn finish(self) -> String {
        match self.format {
            LogFormat::Text => format!("{}\n", escaped(&self.text)),
            LogFormat::Json => format!("{}}}\n", json::ascii(self.text)),
        }
    }
}

/// When a line was written, if it is one of a log file: texts that are compared as times are.
pub(crate) fn time_of(line: &str) -> Option<&str> {
    let time = line.strip_prefix("{\"time\":\"").unwrap_or(line).get(..TIME_BYTES)?;
    let is_time = time.ends_with('Z') && time.as_bytes()[10] == b'T';
    is_time.then_some(time)
}

/// The length of a time.
const TIME_BYTES: usize = "2026-01-01T00:00:00.000Z".len();

/// RFC 3339, UTC, milliseconds.
pub(crate) fn time(now: Duration) -> String {
    let seconds = Timestamp(UnixTime::from_secs(now.as_secs())).to_string();
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), now.subsec_millis())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Duration = Duration::from_millis(1_795_254_613_007);

    fn line(format: LogFormat) -> String {
        let Value::Object(fields) = json!({ "code": 200, "path": "/a b\u{1b}[2J\n\u{202e}" }) else {
            return String::new();
        };
        LogLine::new(format, NOW, Level::INFO).word("event", "request").fields(&fields).finish()
    }

    #[test]
    fn a_line_is_one_line_whatever_strangers_sent() {
        let text = line(LogFormat::Text);
        assert!(
            text.starts_with("2026-11-21T09:50:13.007Z  INFO request code=200 path=\"/a b\\u001b[2J\\n"),
            "{text}"
        );
        let object: Value = serde_json::from_str(&line(LogFormat::Json)).expect("JSON");
        assert_eq!(
            object,
            json!({ "time": "2026-11-21T09:50:13.007Z", "level": "INFO", "event": "request", "code": 200, "path": "/a b\u{1b}[2J\n\u{202e}" })
        );
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = line(format);
            assert_eq!(line.lines().count(), 1);
            assert!(!line.trim_end().contains(['\u{1b}', '\n', '\u{202e}']), "{line}");
            assert_eq!(time_of(&line), Some("2026-11-21T09:50:13.007Z"));
        }
        assert_eq!(time_of("a line of something else"), None);
    }
}
