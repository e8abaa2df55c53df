//! The line about one request for a person. Written piece by piece, because there may be thousands a second.
//!
//! How the parts of a line read and are escaped is in `human.rs`.

use std::net::IpAddr;
use std::time::Duration;

use super::RequestReport;
use super::human::{clock, size, span, without_query};
use super::line::{Ink, MAX_PATH, escaped, is_plain, shortened};

/// The clock's text, which is the same for all lines of one second.
#[derive(Default)]
pub(super) struct ClockText {
    second: Option<u64>,
    text: String,
}

impl ClockText {
    /// At this time.
    pub(super) fn at(&mut self, now: Duration) -> &str {
        if self.second != Some(now.as_secs()) {
            (self.second, self.text) = (Some(now.as_secs()), clock(now));
        }
        &self.text
    }
}

/// One line per request: `12:01:07Z  GET  /  200  4 ms`, appended to `out` without its end.
pub(super) fn request(report: &RequestReport<'_>, clock: &str, colour: bool, out: &mut String) {
    let RequestReport { method, path, visitor, status, millis, bytes, service, note } = *report;
    let ink = match status {
        0..300 => Ink::Green,
        300..400 => Ink::Cyan,
        400..500 => Ink::Yellow,
        _ => Ink::Red,
    };
    let begin = |ink: Ink, out: &mut String| {
        if colour {
            out.push_str("\x1b[");
            push_number(ink.parameter().into(), out);
            out.push('m');
        }
    };
    let end = |out: &mut String| out.push_str(if colour { "\x1b[0m" } else { "" });
    begin(Ink::Dim, out);
    out.push_str(clock);
    end(out);
    out.push_str("  ");
    push_padded(method, 16, 4, out);
    out.push(' ');
    push_padded(without_query(path), MAX_PATH, 24, out);
    out.push(' ');
    begin(ink, out);
    push_number(status.into(), out);
    end(out);
    out.push_str("  ");
    push_span(millis, out);
    if let Some(bytes) = bytes {
        begin(Ink::Dim, out);
        out.push_str("  ");
        push_size(bytes, out);
        end(out);
    }
    if let Some(visitor) = visitor {
        begin(Ink::Dim, out);
        out.push_str("  ");
        push_address(visitor, out);
        end(out);
    }
    if let Some(service) = service {
        begin(Ink::Dim, out);
        out.extend(["  [", &escaped(service), "]"]);
        end(out);
    }
    if let Some(note) = note {
        begin(ink, out);
        out.extend(["  ", &escaped(note)]);
        end(out);
    }
}

/// `text`, shortened to `limit` characters and filled up to `width`.
fn push_padded(text: &str, limit: usize, width: usize, out: &mut String) {
    let count = if is_plain(text) && text.len() <= limit {
        out.push_str(text);
        text.len()
    } else {
        let text = shortened(text, limit);
        out.push_str(&text);
        text.chars().count()
    };
    (count..width).for_each(|_| out.push(' '));
}

/// A duration, at least six characters wide.
fn push_span(millis: u64, out: &mut String) {
    if millis >= 1000 {
        return out.push_str(&format!("{:>6}", span(Duration::from_millis(millis))));
    }
    out.push_str(if millis < 10 {
        "  "
    } else if millis < 100 {
        " "
    } else {
        ""
    });
    push_number(millis, out);
    out.push_str(" ms");
}

fn push_size(bytes: u64, out: &mut String) {
    if bytes >= 1000 {
        return out.push_str(&size(bytes));
    }
    push_number(bytes, out);
    out.push_str(" B");
}

/// As [`IpAddr`] is written, without the machinery that writes it for most visitors.
fn push_address(address: IpAddr, out: &mut String) {
    match address {
        IpAddr::V4(address) => {
            for (index, byte) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push('.');
                }
                push_number(byte.into(), out);
            }
        }
        IpAddr::V6(address) => out.push_str(&address.to_string()),
    }
}

fn push_number(number: u64, out: &mut String) {
    if number >= 10 {
        push_number(number / 10, out);
    }
    out.push(char::from(b'0' + u8::try_from(number % 10).unwrap_or(0)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_about_a_request_is_aligned_and_escaped() {
        let report = |path, millis| RequestReport {
            method: "GET",
            path,
            visitor: Some(IpAddr::from([203, 0, 113, 7])),
            status: 404,
            millis,
            bytes: Some(1250),
            service: Some("we\u{1b}b"),
            note: Some("a\nb"),
        };
        let line = |path, millis, colour| {
            let mut out = String::new();
            request(&report(path, millis), "12:01:07Z", colour, &mut out);
            out
        };
        let end = "1.2 kB  203.0.113.7  [we\\u{1b}b]  a\\nb";
        for (millis, took) in
            [(4, "  4 ms"), (40, " 40 ms"), (400, "400 ms"), (1_400, " 1.4 s"), (61_000, "1 min 1 s")]
        {
            let expected = format!("12:01:07Z  GET  /a\\u{{1b}}                 404  {took}  {end}");
            assert_eq!(line("/a\u{1b}?secret", millis, false), expected);
        }
        let coloured = line("/", 4, true);
        assert!(coloured.starts_with("\u{1b}[2m12:01:07Z\u{1b}[0m  GET  /"), "{coloured:?}");
        assert!(
            coloured.contains("\u{1b}[33m404\u{1b}[0m    4 ms\u{1b}[2m  1.2 kB\u{1b}[0m"),
            "{coloured:?}"
        );
    }
}
