//! Whatever strangers send, each log line and each report is one line of text, and steers no terminal.

use proptest::prelude::*;
use tracing::subscriber::with_default;

use hvym_tunnel_core::stellar::Address;

use super::tests::Paper;
use super::*;
use crate::args::logs;
use crate::report::Who;

/// Texts that strangers would choose: line ends, escape sequences, marks that turn the reading direction.
fn text() -> impl Strategy<Value = String> {
    let hostile = prop::sample::select(vec![
        "\r\n",
        "\n",
        "\x1b[2J",
        "\x1b]0;title\x07",
        "\u{9b}31m",
        "\u{202e}",
        "\u{2028}",
        "\0",
        "\x7f",
        "audit: ",
    ]);
    prop::collection::vec(prop_oneof![hostile.prop_map(str::to_owned), any::<String>()], 0..4)
        .prop_map(|parts| parts.concat())
}

/// The characters that no line may contain.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{200f}')
}

/// The lines on this paper, each without anything that steers.
fn harmless_lines(paper: &Paper) -> Result<Vec<String>, TestCaseError> {
    let text = paper.text();
    let lines: Vec<String> =
        text.strip_suffix('\n').into_iter().flat_map(|text| text.split('\n')).map(str::to_owned).collect();
    prop_assert!(text.is_empty() || text.ends_with('\n'));
    for line in &lines {
        prop_assert!(!line.contains(steers), "{line:?}");
    }
    Ok(lines)
}

fn lost(reason: String, retry_in: Option<Duration>, hint: Option<String>) -> Report {
    Report::Disconnected { reason, retry_in, attempt: 1, hint, is_again: true }
}

/// Reports with this text wherever a stranger, a relay or a service may have a say.
fn all_with(text: &str) -> Vec<Report> {
    let text = || text.to_owned();
    let hint = || Some(text());
    let from = Address::from_public_key([7; 32]);
    let who = || Who::Name(text());
    vec![
        Report::Bound { service: text(), url: text(), target: text() },
        Report::BindFailed { service: text(), code: text(), message: text() },
        Report::Reached { service: text(), from, key: None },
        Report::NotReached { service: text(), code: text(), message: text(), hint: hint() },
        Report::Connection {
            visitor: hint(),
            received: 1,
            sent: 2,
            lasted: Duration::ZERO,
            service: hint(),
            note: hint(),
        },
        Report::UpstreamUnreachable { service: text(), target: text(), message: text() },
        lost(text(), Some(Duration::ZERO), hint()),
        lost(text(), None, hint()),
        Report::RequestOngoing {
            method: text(),
            path: text(),
            visitor: None,
            status: Some(200),
            elapsed: Duration::ZERO,
            service: hint(),
        },
        Report::UpstreamReachable { service: text(), target: text() },
        Report::Reconnected { url: text(), after: Duration::ZERO },
        Report::Notice { code: text(), message: text(), hint: hint() },
        Report::AgentJoined { who: who(), key: None, url: text(), peer: text() },
        Report::AgentLeft { who: who(), key: None, reason: text() },
        Report::Audit {
            action: "login_refused",
            who: Some(who()),
            peer: hint(),
            detail: text(),
            suppressed: 3,
        },
        Report::DatabaseLost { message: text() },
        Report::ClusterLost { message: text() },
        Report::KeysKept { message: text() },
        Report::ConfigKept { message: text() },
        Report::LinkFailed { link: text(), message: text(), hint: hint() },
        Report::UpgradeFailed { message: text() },
        Report::Draining { reason: text(), deadline: Duration::ZERO },
        Report::Stopped { reason: text() },
        Report::Error { code: "refused", exit: 4, message: text(), more: vec![text()], hint: hint() },
    ]
}

#[test]
fn whoever_asks_for_no_log_reads_what_is_wrong_as_a_sentence() {
    let logged = |verbose, asked: Option<&str>| {
        let paper = Paper::default();
        let reporter = Reporter::new(Style::default(), std::io::sink(), paper.clone()).expect("a thread");
        with_default(logs::subscriber(verbose, asked.map(str::to_owned), None, &reporter), || {
            let error = std::io::Error::other("no such file");
            tracing::warn!(%error, link = "main", "the token stays as it was");
        });
        reporter.finish();
        paper.text()
    };
    assert_eq!(logged(0, None), "warning: the token stays as it was: no such file (link main)\n");
    assert_eq!(logged(0, Some("")), logged(0, None), "an empty variable asks for nothing");
    for line in [logged(1, None), logged(0, Some("warn"))] {
        assert!(line.contains(" WARN hvym_tunnel::report") && line.contains("link=\"main\""), "{line}");
    }
}

proptest! {
    #[test]
    fn a_log_line_is_one_line_at_every_level(text in text(), verbose in 0_u8..4) {
        let paper = Paper::default();
        let reporter = Reporter::new(Style::default(), std::io::sink(), paper.clone()).expect("a thread");
        with_default(logs::subscriber(verbose, None, None, &reporter), || {
            let error = std::io::Error::other(text.clone());
            tracing::error!(peer = %text, "{text}");
            tracing::warn!(peer = %text, reason = ?text, "as text and quoted");
            tracing::info!(%error, text, "as an error and a value");
            tracing::debug!(?error, "quoted");
            let span = tracing::info_span!("agent", name = %text);
            span.in_scope(|| tracing::trace!("in a span"));
            reporter.panic_log()(&text);
        });
        reporter.finish();
        // One of each level that shows, and the panic.
        let expected = [3, 4, 5, 6][usize::from(verbose)];
        prop_assert_eq!(harmless_lines(&paper)?.len(), expected);
    }

    #[test]
    fn a_request_steers_no_terminal(text in text(), json in any::<bool>(), colour in any::<bool>()) {
        let out = Paper::default();
        let style = Style { json, colour: colour && !json, ..Style::default() };
        let reporter = Reporter::new(style, out.clone(), std::io::sink()).expect("a thread");
        let some = Some(text.as_str());
        let request = RequestReport {
            method: &text,
            path: &text,
            visitor: None,
            status: 200,
            millis: 1,
            bytes: None,
            service: some,
            note: some,
        };
        reporter.tell_request(&request);
        reporter.finish();
        let written = out.text();
        // Colours are ours.
        let plain = ["0", "1", "2", "31", "32", "33", "36"]
            .iter()
            .fold(written, |text, ink| text.replace(&format!("\x1b[{ink}m"), ""));
        prop_assert_eq!(plain.lines().count(), 1);
        prop_assert!(!plain.trim_end_matches('\n').contains(steers), "{plain:?}");
    }

    #[test]
    fn a_report_steers_no_terminal(text in text(), json in any::<bool>()) {
        for report in all_with(&text) {
            let (out, err) = (Paper::default(), Paper::default());
            let reporter = Reporter::new(Style { json, ..Style::default() }, out.clone(), err.clone()).expect("a thread");
            reporter.tell(&report);
            reporter.finish();
            harmless_lines(&err)?;
            let lines = harmless_lines(&out)?;
            if json {
                prop_assert_eq!(lines.len(), 1);
                prop_assert!(lines[0].is_ascii());
                prop_assert!(serde_json::from_str::<serde_json::Value>(&lines[0]).is_ok());
            }
        }
    }
}
