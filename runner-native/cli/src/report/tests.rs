//! What scripts and people get to see, byte for byte.

use hvym_tunnel_core::stellar::Address;

use super::*;
use crate::exit::{Exit, ExitError};
use crate::report::Who;

const RELAY: &str = "wss://relay.example";

fn address() -> Address {
    Address::from_public_key([7; 32])
}

fn ready(url: &str) -> Report {
    Report::Ready {
        url: url.to_owned(),
        target: "http://localhost:3000".to_owned(),
        service: "web".to_owned(),
        address: Some(address()),
        relay: RELAY.to_owned(),
        private: false,
        note: None,
    }
}

fn lost(attempt: u32, seconds: u64) -> Report {
    Report::Disconnected {
        reason: "relay closed the connection".to_owned(),
        retry_in: Some(Duration::from_secs(seconds)),
        attempt,
        hint: None,
        is_again: true,
    }
}

fn visit<'a>(method: &'a str, path: &'a str) -> RequestReport<'a> {
    RequestReport {
        method,
        path,
        visitor: None,
        status: 200,
        millis: 4,
        bytes: None,
        service: None,
        note: None,
    }
}

/// Anything that a reporter can tell.
trait Tell {
    fn by(&self, reporter: &Reporter);
}

impl Tell for Report {
    fn by(&self, reporter: &Reporter) {
        reporter.tell(self);
    }
}

impl Tell for RequestReport<'_> {
    fn by(&self, reporter: &Reporter) {
        reporter.tell_request(self);
    }
}

/// A stream that can be read afterwards.
#[derive(Clone, Default)]
pub(super) struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no writer panicked").clone()).expect("reports are UTF-8")
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panicked").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn told(style: Style, reports: &[Report]) -> (String, String) {
    told_all(style, &reports.iter().map(|report| report as &dyn Tell).collect::<Vec<_>>())
}

fn told_all(style: Style, reports: &[&dyn Tell]) -> (String, String) {
    let (out, err) = (Paper::default(), Paper::default());
    let reporter = Reporter::new(style, out.clone(), err.clone()).expect("a thread");
    reports.iter().for_each(|report| report.by(&reporter));
    reporter.finish();
    (out.text(), err.text())
}

/// A terminal.
fn live() -> Style {
    Style { live: true, columns: Some(80), ..Style::default() }
}

fn json() -> Style {
    Style { json: true, ..Style::default() }
}

/// A folder that nobody else uses, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("hvym-tunnel-report-{:016x}", getrandom::u64().expect("randomness"));
        let folder = Folder(std::env::temp_dir().join(name));
        std::fs::create_dir(&folder.0).expect("the temporary folder takes a folder");
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("the folder can be removed");
    }
}

#[test]
fn the_url_stands_alone_on_the_first_line() {
    let created = Report::IdentityCreated { address: address(), path: "/id.key".to_owned() };
    let (out, err) =
        told_all(Style::default(), &[&created, &ready("https://g.relay.example"), &visit("GET", "/")]);
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("https://g.relay.example"));
    let request = lines.next().expect("a line per request");
    assert_eq!(&request[8..], "Z  GET  /                        200    4 ms");
    assert_eq!(lines.next(), None);
    assert!(err.contains(&format!("new identity {}", address())) && err.contains("/id.key"), "{err}");
    assert!(
        err.contains("  http://localhost:3000 is service web of wss://relay.example, ready in "),
        "{err}"
    );
}

#[test]
fn a_connection_of_bytes_is_one_line_when_it_is_over() {
    let connection = |visitor: Option<&str>, note: Option<&str>| Report::Connection {
        visitor: visitor.map(str::to_owned),
        received: 12,
        sent: 3_400,
        lasted: Duration::from_millis(4_200),
        service: None,
        note: note.map(str::to_owned),
    };
    let both = [connection(Some("203.0.113.7:51234"), None), connection(None, Some("cut off"))];
    let (out, _) = told(Style::default(), &both);
    let lines: Vec<_> = out.lines().map(|line| &line[8..]).collect();
    assert_eq!(
        lines,
        [
            "Z  tcp  203.0.113.7:51234        12 B in  3.4 kB out  4.2 s",
            "Z  tcp  somebody                 12 B in  3.4 kB out  4.2 s  cut off"
        ]
    );
    let (out, _) = told(json(), &both[..1]);
    let expected =
        r#"{"event":"connection","visitor":"203.0.113.7:51234","received":12,"sent":3400,"lasted_ms":4200,"#;
    assert!(out.starts_with(expected), "{out}");
}

#[test]
fn a_long_request_is_told_before_its_end_and_a_service_when_it_is_back() {
    let ongoing = Report::RequestOngoing {
        method: "POST".to_owned(),
        path: "/chat".to_owned(),
        visitor: Some(std::net::IpAddr::from([203, 0, 113, 7])),
        status: Some(200),
        elapsed: Duration::from_millis(2_100),
        service: None,
    };
    let target = "http://localhost:3000".to_owned();
    let back = Report::UpstreamReachable { service: "web".to_owned(), target };
    let (out, err) = told(Style::default(), &[ongoing, back]);
    assert_eq!(&out[8..], "Z  POST /chat                    200  for 2.1 s so far  203.0.113.7\n");
    assert_eq!(err, "  http://localhost:3000 answers again\n");
}

#[test]
fn a_visitor_cannot_steer_the_terminal() {
    let url = "https://x\x1b[2J";
    let hostile: [&dyn Tell; 4] = [
        &ready(url),
        &visit("GET\x1b[1A", "/\u{9b}2J\r\u{202e}"),
        &Report::Notice { code: "x\n".to_owned(), message: "\x07".to_owned(), hint: Some("\x1b".to_owned()) },
        &Report::Disconnected {
            reason: "\x1b]0;".to_owned(),
            retry_in: None,
            attempt: 1,
            hint: Some("\x1b[A".to_owned()),
            is_again: false,
        },
    ];
    for style in [Style::default(), json()] {
        let (out, err) = told_all(style, &hostile);
        let steers = |text: &str| text.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}'));
        assert!(!steers(&out) && !steers(&err), "{out:?} {err:?}");
        assert!(out.contains("u{1b}[2J") || out.contains("u001b[2J"), "{out}");
    }
}

#[test]
fn a_query_is_never_told() {
    for style in [Style::default(), json()] {
        let (out, err) = told_all(style, &[&visit("GET", "/login?token=hunter2")]);
        assert!(out.contains("/login") && !out.contains("hunter2") && !err.contains("hunter2"), "{out}");
    }
}

#[test]
fn json_is_one_ascii_object_per_line_on_standard_output_alone() {
    let request = RequestReport {
        method: "POST",
        path: "/hé😀",
        visitor: Some(std::net::IpAddr::from([203, 0, 113, 7])),
        status: 502,
        millis: 12,
        bytes: Some(9),
        service: None,
        note: Some("nothing is listening"),
    };
    let failure = ExitError::new(Exit::NameConflict, "taken").with_hint("wait");
    let again = Report::Reconnected { url: "https://g".to_owned(), after: Duration::from_millis(2500) };
    let failure = Report::from(&failure);
    let reports: [&dyn Tell; 6] = [&ready("https://g"), &request, &lost(1, 2), &lost(1, 1), &again, &failure];
    let (out, err) = told_all(json(), &reports);
    assert_eq!(err, "error: taken\nhint: wait\n");
    assert!(out.is_ascii());
    let address = address();
    let expected = [
        format!(
            r#"{{"event":"ready","url":"https://g","target":"http://localhost:3000","service":"web","address":"{address}","relay":"{RELAY}""#
        ),
        r#"{"event":"request","method":"POST","path":"/h\u00e9\ud83d\ude00","visitor":"203.0.113.7","status":502,"millis":12,"bytes":9,"note":"nothing is listening""#.to_owned(),
        r#"{"event":"disconnected","reason":"relay closed the connection","retry_in_ms":2000,"attempt":1"#.to_owned(),
        r#"{"event":"reconnected","url":"https://g","after_ms":2500"#.to_owned(),
        r#"{"event":"error","code":"name_conflict","exit":5,"message":"taken","hint":"wait""#.to_owned(),
    ];
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{out}");
    for (line, expected) in lines.iter().zip(&expected) {
        let (head, time) = line.rsplit_once(",\"unix_ms\":").expect("every line has a time");
        assert_eq!(head, expected);
        assert!(time.ends_with('}'), "{line}");
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn on_a_terminal_reconnecting_is_one_line_that_changes() {
    let style = live();
    let back = Report::Reconnected { url: "https://g".to_owned(), after: Duration::from_secs(3) };
    let (_, err) = told(style, &[lost(1, 2), lost(1, 1), lost(2, 2), back]);
    assert_eq!(
        err.replace("\x1b[?7l", "").replace("\x1b[?7h", ""),
        "  reconnecting in 2 s (attempt 1): relay closed the connection\
         \r\x1b[K  reconnecting in 1 s (attempt 1): relay closed the connection\
         \r\x1b[K  reconnecting in 2 s (attempt 2): relay closed the connection\
         \r\x1b[K  connected again after 3 s  https://g\n"
    );
}

#[test]
fn on_a_narrow_terminal_reason_and_hint_are_whole_and_wiped_as_a_whole() {
    let first = |attempt, seconds| match lost(attempt, seconds) {
        Report::Disconnected { retry_in, attempt, .. } => Report::Disconnected {
            reason: "the name nowhere.example does not resolve".to_owned(),
            retry_in,
            attempt,
            hint: Some("check its spelling, and the network of this machine".to_owned()),
            is_again: false,
        },
        other => other,
    };
    let style = Style { columns: Some(40), ..live() };
    let (_, err) = told(style, &[first(1, 2), first(1, 1), ready("https://g")]);
    let shown = |seconds: u32| {
        format!(
            "\x1b[?7l  connecting in {seconds} s (attempt 1): the\n  name nowhere.example does not resolve\n  check its spelling, and the network of\n  this machine\x1b[?7h"
        )
    };
    let wiped = "\r\x1b[K\x1b[A\x1b[K\x1b[A\x1b[K\x1b[A\x1b[K";
    assert!(err.starts_with(&[&shown(2), wiped, &shown(1), wiped].concat()), "{err:?}");
    let (_, err) = told(Style::default(), &[first(1, 2), first(2, 2)]);
    assert_eq!(err.matches("check its spelling").count(), 1, "{err}");
    assert_eq!(err.matches("connecting in 2 s").count(), 2, "{err}");
}

#[test]
fn elsewhere_every_attempt_is_one_line() {
    let (_, err) = told(Style::default(), &[lost(1, 2), lost(1, 1), lost(2, 2)]);
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(
        lines,
        [
            "  reconnecting in 2 s (attempt 1): relay closed the connection",
            "  reconnecting in 2 s (attempt 2): relay closed the connection",
        ]
    );
}

#[test]
fn a_log_line_does_not_run_into_the_line_that_changes() {
    let (out, err) = (Paper::default(), Paper::default());
    let reporter = Reporter::new(live(), out, err.clone()).expect("a thread");
    reporter.tell(&lost(1, 2));
    reporter.log().write_all(b"a log line\n").expect("paper takes every write");
    reporter.finish();
    assert!(err.text().ends_with("connection\x1b[?7h\r\x1b[Ka log line\n"), "{:?}", err.text());
}

#[test]
fn colours_come_only_when_asked() {
    let reports: [&dyn Tell; 3] = [&ready("https://g"), &visit("GET", "/"), &lost(1, 1)];
    let (plain_out, plain_err) = told_all(Style::default(), &reports);
    assert!(!plain_out.contains('\x1b') && !plain_err.contains('\x1b'));
    let (out, err) = told_all(Style { colour: true, ..Style::default() }, &reports);
    assert!(out.starts_with("\x1b[1mhttps://g\x1b[0m\n"), "{out:?}");
    assert!(out.contains("\x1b[32m200\x1b[0m") && err.contains("\x1b[33m"), "{out:?} {err:?}");
}

#[test]
fn the_url_file_holds_the_url_while_there_is_one() {
    let folder = Folder::new();
    let path = folder.0.join("url");
    let style = Style { url_file: Some(path.clone()), ..Style::default() };
    std::fs::write(&path, "https://of-one-that-was-killed\n").expect("the file can be written");
    let reporter = Reporter::new(style, io::sink(), io::sink()).expect("a thread");
    reporter.tell(&lost(1, 1));
    assert!(!path.exists());
    reporter.tell(&ready("https://g"));
    assert_eq!(std::fs::read_to_string(&path).ok().as_deref(), Some("https://g\n"));
    let moved = Report::Reconnected { url: "https://h".to_owned(), after: Duration::ZERO };
    reporter.tell(&moved);
    assert_eq!(std::fs::read_to_string(&path).ok().as_deref(), Some("https://h\n"));
    reporter.finish();
    assert!(!path.exists());
}

#[test]
#[cfg(unix)]
fn what_is_no_file_is_neither_removed_nor_replaced() {
    let folder = Folder::new();
    let path = folder.0.join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&path).expect("a folder takes a socket");
    let (style, err) = (Style { url_file: Some(path.clone()), ..Style::default() }, Paper::default());
    let reporter = Reporter::new(style, io::sink(), err.clone()).expect("a thread");
    reporter.tell(&ready("https://g"));
    reporter.finish();
    assert!(std::fs::metadata(&path).is_ok_and(|data| !data.is_file()), "it was replaced");
    assert!(err.text().contains("it is no file"), "{}", err.text());
}

#[test]
fn a_url_file_that_another_process_took_over_stays() {
    let folder = Folder::new();
    let path = folder.0.join("url");
    let style = Style { url_file: Some(path.clone()), ..Style::default() };
    let reporter = Reporter::new(style, io::sink(), io::sink()).expect("a thread");
    reporter.tell(&ready("https://g"));
    std::fs::write(&path, "https://other\n").expect("the file can be written");
    reporter.finish();
    assert_eq!(std::fs::read_to_string(&path).ok().as_deref(), Some("https://other\n"));
}

#[test]
fn threads_do_not_tear_each_others_lines() {
    let out = Paper::default();
    let reporter = Reporter::new(Style::default(), out.clone(), io::sink()).expect("a thread");
    std::thread::scope(|scope| {
        for letter in ["A", "B", "C"] {
            let reporter = reporter.clone();
            scope.spawn(move || (0..50).for_each(|_| reporter.tell_request(&visit(letter, "/"))));
        }
    });
    reporter.finish();
    let text = out.text();
    assert_eq!(text.lines().count(), 150);
    assert!(
        text.lines().all(|line| line.ends_with("200    4 ms") && line.len() == text.find('\n').unwrap_or(0))
    );
}

#[test]
fn an_agent_is_told_by_its_address_and_a_guest_by_its_name() {
    let joined = |who| Report::AgentJoined {
        who,
        key: None,
        url: "http://h/".to_owned(),
        peer: "192.0.2.1:9".to_owned(),
    };
    let left = |who| Report::AgentLeft { who, key: None, reason: "closed".to_owned() };
    let (guest, agent) = (Who::Name("app".to_owned()), Who::Address(address()));
    let reports = [joined(guest.clone()), joined(agent.clone()), left(guest), left(agent)];
    let (out, _) = told(json(), &reports);
    for (line, member) in out.lines().zip([r#""name":"app""#, r#""address":"G"#].into_iter().cycle()) {
        assert!(line.contains(member), "{line}");
        assert_ne!(line.contains("\"name\""), line.contains("\"address\""), "{line}");
    }
    let (out, err) = told(Style::default(), &reports);
    assert!(err.contains("agent app from 192.0.2.1:9"), "{err}");
    assert!(out.contains("left    app  closed") && out.contains(&format!("left    {}", address())), "{out}");
}
