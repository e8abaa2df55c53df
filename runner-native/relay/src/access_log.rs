//! The access log: one line for each request that visitors were answered, or left.
//!
//! It never waits: a line goes into a bounded queue, which a thread writes, and what does not fit is counted. A line has no query
//! unless that is asked for, and no field that could hold a credential.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::date::http_date;
use hvym_tunnel_net::log_writer::{LogWriter, Output, Priority};

/// Bytes of one text in a line; a stranger chooses them.
const MAX_TEXT_BYTES: usize = 1024;
/// What a visitor's leaving before the head of an answer counts as, as at nginx.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// The months of a `Date` field (RFC 9110 section 5.6.7).
const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";

/// What a line looks like.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum AccessLogFormat {
    /// The combined log format of Apache and nginx, and after it the host and the seconds that it took.
    #[default]
    #[cfg_attr(
        feature = "clap",
        value(help = "The combined log format of Apache and nginx, then host and seconds")
    )]
    Combined,
    /// One JSON object.
    #[cfg_attr(feature = "clap", value(help = "One JSON object a line"))]
    Json,
}

/// An access log.
pub struct AccessLog {
    writer: LogWriter,
    format: AccessLogFormat,
    has_query: bool,
}

/// What is known of a request when it comes.
pub(crate) struct LoggedRequest<'a> {
    pub(crate) visitor: IpAddr,
    pub(crate) method: &'a str,
    /// Path and query.
    pub(crate) target: &'a str,
    /// The version as in a request line.
    pub(crate) version: &'a str,
    pub(crate) host: &'a str,
    pub(crate) referer: Option<&'a [u8]>,
    pub(crate) user_agent: Option<&'a [u8]>,
}

/// One request, which is written when it is dropped.
pub(crate) struct AccessRecord {
    log: Arc<AccessLog>,
    clock: Clock,
    begun: Instant,
    /// What stands before the status, and what after the number of bytes.
    line: [String; 2],
    status: u16,
    bytes: u64,
}

impl AccessLog {
    /// One that writes to `out`, by a thread of its own, which ends with the last clone.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn new(
        out: impl Write + Send + 'static,
        format: AccessLogFormat,
        has_query: bool,
    ) -> io::Result<Self> {
        let dropped = move |lines: u64| {
            let line = match format {
                AccessLogFormat::Combined => {
                    format!(
                        "# {lines} lines were left out: they came too fast, or the disk did not take them\n"
                    )
                }
                AccessLogFormat::Json => format!("{{\"dropped\":{lines}}}\n"),
            };
            (Output::Out, line.into_bytes())
        };
        Ok(Self { writer: LogWriter::new(out, io::sink(), dropped)?, format, has_query })
    }

    /// How many lines were left out so far, because they came too fast.
    pub fn dropped(&self) -> u64 {
        self.writer.dropped()
    }

    /// Waits until everything is written, for at most `limit`.
    pub fn finish(&self, limit: Duration) -> bool {
        self.writer.flush(limit)
    }

    /// Begins the line of a request.
    pub(crate) fn begin(self: &Arc<Self>, request: &LoggedRequest<'_>, clock: Clock) -> AccessRecord {
        let begun = clock.now();
        let line = match self.format {
            AccessLogFormat::Combined => self.combined(request, begun),
            AccessLogFormat::Json => self.json(request, begun),
        };
        AccessRecord { log: Arc::clone(self), clock, begun, line, status: CLIENT_CLOSED_REQUEST, bytes: 0 }
    }

    fn target<'a>(&self, target: &'a str) -> &'a str {
        if self.has_query { target } else { target.split('?').next().unwrap_or_default() }
    }

    fn combined(&self, request: &LoggedRequest<'_>, now: Instant) -> [String; 2] {
        let date = http_date(now);
        let date = std::str::from_utf8(&date).unwrap_or_default();
        let (mut before, mut after) = (String::with_capacity(160), String::with_capacity(160));
        let part = |range: std::ops::Range<usize>| date.get(range).unwrap_or_default();
        // `Sun, 06 Nov 1994 08:49:37 GMT` as `06/Nov/1994:08:49:37 +0000`.
        let (day, month, year, time) = (part(5..7), part(8..11), part(12..16), part(17..25));
        let _in_memory = write!(before, "{} - - [{day}/{month}/{year}:{time} +0000] \"", request.visitor);
        escape(&mut before, request.method.as_bytes(), false);
        before.push(' ');
        escape(&mut before, self.target(request.target).as_bytes(), false);
        before.push(' ');
        escape(&mut before, request.version.as_bytes(), false);
        before.push_str("\" ");
        for text in [request.referer.map(without_query), request.user_agent] {
            after.push_str(" \"");
            escape(&mut after, text.unwrap_or(b"-"), false);
            after.push('"');
        }
        after.push_str(" \"");
        escape(&mut after, request.host.as_bytes(), false);
        after.push_str("\" ");
        [before, after]
    }

    fn json(&self, request: &LoggedRequest<'_>, now: Instant) -> [String; 2] {
        let date = http_date(now);
        let date = std::str::from_utf8(&date).unwrap_or_default();
        let part = |range: std::ops::Range<usize>| date.get(range).unwrap_or_default();
        let month = MONTHS.find(part(8..11)).map_or(1, |at| at / 3 + 1);
        let mut before = String::with_capacity(320);
        let (year, day, time) = (part(12..16), part(5..7), part(17..25));
        let _in_memory = write!(
            before,
            "{{\"time\":\"{year}-{month:02}-{day}T{time}Z\",\"visitor\":\"{}\"",
            request.visitor
        );
        let texts = [
            ("method", Some(request.method.as_bytes())),
            ("path", Some(self.target(request.target).as_bytes())),
            ("version", Some(request.version.as_bytes())),
            ("host", Some(request.host.as_bytes())),
            ("referer", request.referer.map(without_query)),
            ("user_agent", request.user_agent),
        ];
        for (name, text) in texts {
            let Some(text) = text else { continue };
            let _in_memory = write!(before, ",\"{name}\":\"");
            escape(&mut before, text, true);
            before.push('"');
        }
        [before, String::new()]
    }
}

/// A URL without its query, which may be the only thing that keeps somebody out.
fn without_query(url: &[u8]) -> &[u8] {
    let place = url.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default();
    // A user and a password may stand before it; browsers send neither (RFC 9110 section 10.1.3).
    if place.contains(&b'@') { b"" } else { place }
}

/// Adds text of a stranger that ends no line and no quotation, at most [`MAX_TEXT_BYTES`] of it.
fn escape(out: &mut String, text: &[u8], is_json: bool) {
    for byte in &text[..text.len().min(MAX_TEXT_BYTES)] {
        match byte {
            b'"' | b'\\' if is_json => out.extend(['\\', char::from(*byte)]),
            b' '..=b'~' if !matches!(byte, b'"' | b'\\') => out.push(char::from(*byte)),
            byte => {
                let prefix = if is_json { "\\u00" } else { "\\x" };
                let _in_memory = write!(out, "{prefix}{byte:02x}");
            }
        }
    }
}

impl AccessRecord {
    /// The status that the visitor is answered.
    pub(crate) const fn set_status(&mut self, status: u16) {
        self.status = status;
    }

    /// So many bytes more went to the visitor.
    pub(crate) const fn add_bytes(&mut self, count: u64) {
        self.bytes += count;
    }
}

impl Drop for AccessRecord {
    fn drop(&mut self) {
        let seconds = (self.clock.now() - self.begun).as_secs_f64();
        let Self { line: [before, after], status, bytes, .. } = self;
        let _in_memory = match self.log.format {
            AccessLogFormat::Combined => writeln!(before, "{status} {bytes}{after}{seconds:.3}"),
            AccessLogFormat::Json => {
                writeln!(before, ",\"status\":{status},\"bytes\":{bytes},\"seconds\":{seconds:.6}}}")
            }
        };
        self.log.writer.write(Output::Out, Priority::Droppable, before.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const REQUEST: LoggedRequest<'_> = LoggedRequest {
        visitor: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
        method: "GET",
        target: "/a\"b\\c?token=secret",
        version: "HTTP/1.1",
        host: "web--x.tunnel.example",
        referer: Some(b"https://a.example/x?code=secret"),
        user_agent: Some(b"curl/8\r\n\x1b\xff"),
    };

    fn line(format: AccessLogFormat, has_query: bool) -> String {
        let written = Written::default();
        let log = Arc::new(AccessLog::new(written.clone(), format, has_query).expect("a thread"));
        let mut record = log.begin(&REQUEST, Clock::new());
        record.set_status(200);
        record.add_bytes(12);
        record.add_bytes(5);
        drop(record);
        assert!(log.finish(Duration::from_secs(60)));
        let text = String::from_utf8(written.0.lock().expect("no panic").clone()).expect("text");
        assert!(text.ends_with('\n') && text.lines().count() == 1, "{text:?}");
        text
    }

    #[test]
    fn a_combined_line_is_as_nginx_writes_it_and_has_no_query() {
        let line = line(AccessLogFormat::Combined, false);
        let (before, rest) = line.split_once('[').expect("a date");
        let (date, rest) = rest.split_once(']').expect("its end");
        assert_eq!(before, "192.0.2.7 - - ");
        assert!(date.len() == 26 && date.ends_with(" +0000") && date[2..3] == *"/", "{date}");
        let expected = " \"GET /a\\x22b\\x5cc HTTP/1.1\" 200 17 \"https://a.example/x\" \
            \"curl/8\\x0d\\x0a\\x1b\\xff\" \"web--x.tunnel.example\" ";
        let seconds = rest.strip_prefix(expected).unwrap_or_else(|| panic!("{rest}"));
        assert!(seconds.trim_end().parse::<f64>().is_ok(), "{seconds}");
    }

    #[test]
    fn a_json_line_is_one_object_and_has_the_query_only_if_that_is_wanted() {
        let value: serde_json::Value =
            serde_json::from_str(&line(AccessLogFormat::Json, true)).expect("JSON");
        assert_eq!(value["path"], "/a\"b\\c?token=secret");
        assert_eq!((&value["status"], &value["bytes"]), (&200.into(), &17.into()));
        assert_eq!(
            (&value["host"], &value["visitor"]),
            (&"web--x.tunnel.example".into(), &"192.0.2.7".into())
        );
        assert_eq!(value["user_agent"], "curl/8\r\n\u{1b}\u{ff}");
        assert!(
            value["time"].as_str().is_some_and(|time| time.len() == 20 && time.ends_with('Z')),
            "{value}"
        );
        assert!(!line(AccessLogFormat::Json, false).contains("secret"));
    }

    #[test]
    fn a_request_whose_visitor_leaves_is_499_and_a_long_text_is_cut() {
        let written = Written::default();
        let log =
            Arc::new(AccessLog::new(written.clone(), AccessLogFormat::Combined, false).expect("a thread"));
        let longest = format!("/{}", "x".repeat(MAX_TEXT_BYTES - 1));
        for target in [&longest, &format!("{longest}y")] {
            drop(log.begin(&LoggedRequest { target, ..REQUEST }, Clock::new()));
        }
        assert!(log.finish(Duration::from_secs(60)));
        let text = String::from_utf8(written.0.lock().expect("no panic").clone()).expect("text");
        assert_eq!(text.matches(&format!("GET {longest} HTTP/1.1\" 499 0 ")).count(), 2, "{text}");
    }
}
