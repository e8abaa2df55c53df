//! How a report reads to a person: its lines, and their colours.
//!
//! Pure: no stream, no clock. Times are UTC and end in `Z`.

use std::fmt;
use std::time::Duration;

use hvym_tunnel_core::stellar::Address;

use super::Report;
use super::line::{Ink, Line, MAX_PATH, shortened};

/// When a report is told.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Moment {
    /// Since 1970-01-01T00:00:00Z.
    pub now: Duration,
    /// Since the program started.
    pub running: Duration,
}

/// The lines that tell `report`, in order; none for what is about certificates.
pub(crate) fn lines(report: &Report, moment: Moment) -> Vec<Line> {
    use Ink::{Dim, Plain, Yellow};
    match report {
        Report::IdentityCreated { address, path } => vec![
            err().with(Plain, format!("new identity {address}")),
            err().with(Dim, format!("{} (0600; whoever has this file is you)", path)),
        ],
        Report::Draining { reason, deadline } => vec![err().with(
            Yellow,
            format!("{reason}: finishing what is under way (at most {}; again to stop now)", span(*deadline)),
        )],
        Report::Upgraded { pid } => vec![err().with(Ink::Green, format!("process {pid} has taken over"))],
        Report::UpgradeFailed { message } => {
            vec![err().with(Yellow, format!("there is no next process, and this one goes on: {message}"))]
        }
        Report::Stopped { reason } => vec![err().with(Plain, format!("stopped: {reason}"))],
        Report::Error { message, more, hint, .. } => error(message, more, hint.as_deref()),
        Report::OwnRelay { .. }
        | Report::Ready { .. }
        | Report::Forwarding { .. }
        | Report::Bound { .. }
        | Report::BindFailed { .. }
        | Report::ServiceChosen { .. }
        | Report::Unbound { .. }
        | Report::Named { .. }
        | Report::NameRefused { .. }
        | Report::Inspecting { .. } => services(report, moment),
        Report::Disconnected { .. } | Report::Reconnected { .. } | Report::Notice { .. } => link(report),
        Report::Listening { .. }
        | Report::AgentJoined { .. }
        | Report::AgentLeft { .. }
        | Report::DelegationRevoked { .. }
        | Report::DatabaseLost { .. }
        | Report::DatabaseBack
        | Report::ClusterLost { .. }
        | Report::ClusterCutOff
        | Report::ClusterBack
        | Report::KeysLoaded
        | Report::KeysKept { .. } => relay(report, moment),
        Report::CertificateLoaded
        | Report::CertificateKept { .. }
        | Report::CertificateIssued { .. }
        | Report::CertificateFailed { .. }
        | Report::StateFailed { .. }
        | Report::ConfigLoaded { .. }
        | Report::ConfigKept { .. }
        | Report::LinkFailed { .. } => Vec::new(),
        Report::Audit { .. } => vec![audit(report)],
        Report::Connection { .. } => vec![connection(report, moment.now)],
        Report::RequestOngoing { .. }
        | Report::UpstreamUnreachable { .. }
        | Report::UpstreamReachable { .. }
        | Report::Reached { .. }
        | Report::Refused { .. }
        | Report::NotReached { .. } => local(report, moment),
    }
}

fn error(message: &str, more: &[String], hint: Option<&str>) -> Vec<Line> {
    let mut lines = vec![Line::err().with(Ink::Red, "error: ").with(Ink::Plain, message)];
    lines.extend(more.iter().map(|mistake| Line::err().with(Ink::Plain, mistake)));
    lines.extend(hint.map(|hint| Line::err().with(Ink::Bold, "hint: ").with(Ink::Plain, hint)));
    lines
}

/// What local services do, who reaches them, and which of others this machine does not reach.
fn local(report: &Report, moment: Moment) -> Vec<Line> {
    match report {
        Report::RequestOngoing { .. } => vec![ongoing(report, moment.now)],
        Report::UpstreamUnreachable { message, .. } => vec![err().with(Ink::Yellow, message)],
        Report::UpstreamReachable { target, .. } => {
            vec![err().with(Ink::Green, format!("{target} answers again"))]
        }
        Report::NotReached { service, code, message, hint } => {
            let mut lines =
                vec![err().with(Ink::Yellow, format!("{service} was not reached: {message} ({code})"))];
            lines.extend(hint.as_ref().map(|hint| err().with(Ink::Plain, hint)));
            lines
        }
        Report::Reached { service, from, key } => {
            vec![peer(moment.now, &acting(from, *key), "reached", Ink::Green, service)]
        }
        Report::Refused { service, from, key } => {
            vec![peer(moment.now, &acting(from, *key), "was refused", Ink::Yellow, service)]
        }
        _ => Vec::new(),
    }
}

/// Something that is no report.
pub(crate) fn note(text: &str) -> Line {
    err().with(Ink::Dim, text)
}

/// A line of standard error, indented like all that is no error.
pub(super) fn err() -> Line {
    Line::err().with(Ink::Plain, "  ")
}

/// Services that can be reached now, or cannot.
fn services(report: &Report, moment: Moment) -> Vec<Line> {
    use Ink::{Bold, Dim, Plain, Red, Yellow};
    match report {
        Report::Ready { url, target, service, relay, private, note, .. } => {
            let ready = format!(" is service {service} of {relay}, ready in {}", span(moment.running));
            let mut lines = vec![err().with(Plain, target).with(Dim, ready)];
            if *private {
                let command = format!("hvym-tunnel forward {url} --relay {relay}");
                lines.push(err().with(Plain, format!("private: those you allow reach it by {command}")));
            }
            lines.extend(note.map(|note| err().with(Plain, note)));
            // Last, so that it is still there when a person looks.
            lines.push(Line::out().with(Bold, url));
            lines
        }
        Report::Forwarding { service, listen, address, relay } => vec![
            err()
                .with(Plain, service)
                .with(Dim, format!(" as {address} by {relay}, ready in {}", span(moment.running))),
            Line::out().with(Bold, listen),
        ],
        Report::Bound { service, url, target } => vec![
            err().with(Plain, target).with(Dim, format!(" is service {service}")),
            Line::out().with(Bold, url),
        ],
        Report::ServiceChosen { service, refused } => {
            let text = format!(
                "this server takes no service {refused}: exposed as {service}, the first that it lists"
            );
            vec![err().with(Plain, text), err().with(Dim, "--service NAME chooses another")]
        }
        Report::Unbound { service, by, .. } => {
            let by = by.as_ref().map(|by| format!(" ({by})")).unwrap_or_default();
            vec![err().with(Yellow, format!("another agent of this identity serves {service} now{by}"))]
        }
        Report::OwnRelay { lan: true, .. } => {
            vec![err().with(Dim, "whoever is in the local network can visit; --relay HOST makes it public")]
        }
        Report::OwnRelay { .. } => vec![
            err().with(Dim, "without --relay, only this machine can visit (--relay HOST makes it public)"),
        ],
        Report::Inspecting { url } => vec![err().with(Dim, format!("requests are shown at {url}"))],
        Report::Named { name, url } => vec![err().with(Dim, format!("the name {name} is yours: {url}"))],
        Report::NameRefused { name, code, message } => {
            vec![err().with(Red, format!("the name {name} was not given: {message} ({code})"))]
        }
        Report::BindFailed { service, code, message } => {
            vec![err().with(Red, format!("service {service} was not bound: {message} ({code})"))]
        }
        _ => Vec::new(),
    }
}

/// The link of an agent.
fn link(report: &Report) -> Vec<Line> {
    use Ink::{Dim, Green, Plain, Red, Yellow};
    match report {
        Report::Disconnected { reason, retry_in, attempt, hint, is_again } => {
            let verb = if *is_again { "reconnecting" } else { "connecting" };
            let mut lines = vec![match retry_in {
                Some(wait) => {
                    let text = format!("{verb} in {} (attempt {attempt}): {reason}", span(*wait));
                    err().with(Yellow, text)
                }
                None => err().with(Red, format!("disconnected: {reason}")),
            }];
            lines.extend(hint.as_ref().map(|hint| err().with(Dim, hint)));
            lines
        }
        Report::Reconnected { after, url } => {
            vec![
                err()
                    .with(Green, format!("connected again after {}", span(*after)))
                    .with(Dim, format!("  {url}")),
            ]
        }
        Report::Notice { code, message, hint } => {
            let mut lines = vec![err().with(Yellow, format!("the relay says: {message} ({code})"))];
            lines.extend(hint.as_ref().map(|hint| err().with(Plain, hint)));
            lines
        }
        _ => Vec::new(),
    }
}

/// What a relay reports.
fn relay(report: &Report, moment: Moment) -> Vec<Line> {
    use Ink::{Dim, Green, Plain, Yellow};
    match report {
        Report::Listening { .. } => listening(report),
        Report::AgentJoined { who, key, url, peer } => vec![
            Line::out().with(Dim, clock(moment.now)).with(Green, "  joined  ").with(Plain, url),
            err().with(Dim, format!("agent {} from {peer}", acting(who, *key))),
        ],
        Report::AgentLeft { who, key, reason } => vec![
            Line::out()
                .with(Dim, clock(moment.now))
                .with(Plain, format!("  left    {}", acting(who, *key)))
                .with(Dim, format!("  {reason}")),
        ],
        Report::DelegationRevoked { address, id, persisted } => {
            let kept = if *persisted { "" } else { ", until this relay is started again" };
            let text = format!("  revoked {id} of {address}{kept}");
            vec![Line::out().with(Dim, clock(moment.now)).with(if *persisted { Plain } else { Yellow }, text)]
        }
        Report::KeysLoaded => {
            vec![Line::out().with(Dim, clock(moment.now)).with(Plain, "  the keys of guests were read")]
        }
        Report::KeysKept { message } => vec![
            err().with(Yellow, format!("the new keys cannot be used: {message}")),
            err().with(Dim, "those from before stay in use; correct the file, then send SIGHUP"),
        ],
        _ => stores(report, moment),
    }
}

/// What becomes of the database and of the other relays.
fn stores(report: &Report, moment: Moment) -> Vec<Line> {
    use Ink::{Dim, Plain, Yellow};
    match report {
        Report::DatabaseLost { message } => vec![
            err().with(Yellow, message),
            err().with(Dim, "agents stay and are let in as before; nothing can be changed until it is back"),
        ],
        Report::DatabaseBack => {
            vec![Line::out().with(Dim, clock(moment.now)).with(Plain, "  the database of tunnels is back")]
        }
        Report::ClusterLost { message } => vec![
            err().with(Yellow, format!("the other relays cannot be told or heard of: {message}")),
            err().with(
                Dim,
                "everything that is connected stays; services are registered again when the store is back",
            ),
        ],
        Report::ClusterCutOff => vec![
            err().with(
                Yellow,
                "nor can another relay be reached, which may serve the same names: visitors get 503",
            ),
            err().with(
                Dim,
                "it ends by itself when the store is back; --cluster-cut-off serve goes on all the same",
            ),
        ],
        Report::ClusterBack => {
            vec![
                Line::out()
                    .with(Dim, clock(moment.now))
                    .with(Plain, "  the other relays are told and heard of again"),
            ]
        }
        _ => Vec::new(),
    }
}

/// An identity that opened a stream to a service: `12:01:07Z  G... reached db`.
fn peer(now: Duration, from: &str, what: &str, ink: Ink, service: &str) -> Line {
    Line::out()
        .with(Ink::Dim, clock(now))
        .with(Ink::Plain, format!("  {from} "))
        .with(ink, what)
        .with(Ink::Plain, format!(" {}", shortened(service, MAX_PATH)))
}

/// A record of a relay's audit log: `audit: login refused: G... from 192.0.2.1: why`.
fn audit(report: &Report) -> Line {
    let Report::Audit { action, who, peer, detail, suppressed } = report else { return err() };
    let who = who.as_ref().map(|who| format!(": {who}")).unwrap_or_default();
    let peer = peer.as_ref().map(|peer| format!(" from {peer}")).unwrap_or_default();
    let text = format!("{}{who}{peer}: {detail}", action.replace('_', " "));
    let line = err().with(Ink::Dim, "audit: ").with(Ink::Yellow, text);
    if *suppressed == 0 {
        return line;
    }
    line.with(Ink::Dim, format!(" ({suppressed} more like this were left out)"))
}

/// Somebody, and the key that acts for them if it is another one.
fn acting(who: impl fmt::Display, key: Option<Address>) -> String {
    key.map_or_else(|| who.to_string(), |key| format!("{who} (by the key {key})"))
}

/// The relay's first lines: its URL, and the command that somebody types on another machine.
fn listening(report: &Report) -> Vec<Line> {
    let Report::Listening { url, relay, address, listen, admin } = report else { return Vec::new() };
    let mut lines = vec![
        Line::out().with(Ink::Bold, url),
        err().with(Ink::Dim, format!("listening on {listen}; on the machine of a service:")),
        // Alone, so that it can be copied as a line.
        Line::out()
            .with(Ink::Plain, format!("hvym-tunnel expose 3000 --relay {relay} --relay-address {address}")),
    ];
    lines.extend(
        admin.as_ref().map(|admin| err().with(Ink::Dim, format!("for its operator: http://{admin}/metrics"))),
    );
    lines
}

/// One line per connection of bytes: `12:01:07Z  tcp  203.0.113.7:51234  12 B in  1.2 kB out  4 s`.
fn connection(report: &Report, now: Duration) -> Line {
    let Report::Connection { visitor, received, sent, lasted, service, note } = report else {
        return Line::out();
    };
    let visitor = visitor.as_deref().unwrap_or("somebody");
    let mut line = Line::out()
        .with(Ink::Dim, clock(now))
        .with(Ink::Plain, format!("  {:<4} {:<24} ", "tcp", shortened(visitor, MAX_PATH)))
        .with(Ink::Plain, format!("{} in  {} out  {}", size(*received), size(*sent), span(*lasted)));
    if let Some(service) = service {
        line = line.with(Ink::Dim, format!("  [{service}]"));
    }
    match note {
        Some(note) => line.with(Ink::Yellow, format!("  {note}")),
        None => line,
    }
}

/// A request that is under way: `12:01:07Z  GET  /answer  200  for 3 s so far`.
fn ongoing(report: &Report, now: Duration) -> Line {
    let Report::RequestOngoing { method, path, visitor, status, elapsed, service } = report else {
        return Line::out();
    };
    let status = status.map_or_else(|| "...".to_owned(), |status| status.to_string());
    let mut line = Line::out()
        .with(Ink::Dim, clock(now))
        .with(Ink::Plain, format!("  {:<4} {:<24} ", shortened(method, 16), shortened(path, MAX_PATH)))
        .with(Ink::Cyan, format!("{status}  for {} so far", span(*elapsed)));
    if let Some(visitor) = visitor {
        line = line.with(Ink::Dim, format!("  {visitor}"));
    }
    match service {
        Some(service) => line.with(Ink::Dim, format!("  [{service}]")),
        None => line,
    }
}

/// What a person may know of a path: parameters often are tokens and passwords.
pub(crate) fn without_query(path: &str) -> &str {
    path.split_once('?').map_or(path, |(path, _)| path)
}

/// Hours, minutes and seconds of the day, UTC.
pub(super) fn clock(now: Duration) -> String {
    let second = now.as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

pub(super) fn span(duration: Duration) -> String {
    match duration.as_millis() {
        millis @ 0..1_000 => format!("{millis} ms"),
        millis @ 1_000..60_000 => match (millis / 1000, millis % 1000 / 100) {
            (seconds, 0) => format!("{seconds} s"),
            (seconds, tenths) => format!("{seconds}.{tenths} s"),
        },
        _ => format!("{} min {} s", duration.as_secs() / 60, duration.as_secs() % 60),
    }
}

/// Decimal units, as disks and network rates are counted.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_utc_and_says_so() {
        assert_eq!(clock(Duration::from_secs(86_400 * 20_000 + 43_267)), "12:01:07Z");
        assert_eq!(clock(Duration::from_secs(86_399)), "23:59:59Z");
    }

    #[test]
    fn spans_and_sizes_are_short() {
        for (millis, text) in
            [(0, "0 ms"), (999, "999 ms"), (1_000, "1 s"), (1_450, "1.4 s"), (61_000, "1 min 1 s")]
        {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
        for (bytes, text) in [(0, "0 B"), (999, "999 B"), (1_250, "1.2 kB"), (3_990_000, "3.9 MB")] {
            assert_eq!(size(bytes), text);
        }
    }
}
