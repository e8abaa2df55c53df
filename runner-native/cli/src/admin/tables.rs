//! The answers of a relay as tables, for a terminal. What strangers sent is escaped.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::args::admin::AdminCommand;
use crate::report::escaped;

/// A column: its title, and the member of a row that it shows.
type Column = (&'static str, &'static str);

const AGENTS: [Column; 6] = [
    ("AGENT", "agent"),
    ("SYSTEM", "system"),
    ("SESSIONS", "sessions"),
    ("SINCE", "since"),
    ("SERVICES", "services"),
    ("URL", "url"),
];
const SESSIONS: [Column; 10] = [
    ("ID", "id"),
    ("AGENT", "agent"),
    ("FROM", "from"),
    ("SINCE", "since"),
    ("LINKS", "links"),
    ("STREAMS", "streams"),
    ("REQUESTS", "requests"),
    ("IN", "bytes_in"),
    ("OUT", "bytes_out"),
    ("SERVICES", "services"),
];
const SERVICES: [Column; 6] = [
    ("AGENT", "agent"),
    ("SERVICE", "service"),
    ("PROTOCOL", "protocol"),
    ("PUBLIC", "public"),
    ("SESSIONS", "sessions"),
    ("URL", "url"),
];
const NAMES: [Column; 4] =
    [("NAME", "name"), ("ORIGIN", "origin"), ("CONNECTED", "connected"), ("AGENT", "agent")];
const RELAYS: [Column; 4] = [("RELAY", "url"), ("OWN", "own"), ("LINKED", "linked"), ("AGENTS", "agents")];
const BANS: [Column; 3] = [("SUBJECT", "subject"), ("UNTIL", "until"), ("REASON", "reason")];
const AUDIT: [Column; 5] =
    [("AT", "at"), ("ACTION", "action"), ("AGENT", "agent"), ("PEER", "peer"), ("DETAIL", "detail")];
const LIMITS: [Column; 3] = [("LIMIT", "limit"), ("MAX", "max"), ("USED", "used")];
/// Members that are times, seconds since 1970.
const TIMES: [&str; 4] = ["since", "until", "at", "started"];

/// The answer to `command`.
pub(super) fn text(command: &AdminCommand, answer: &Value) -> String {
    match command {
        AdminCommand::Agents => table(&AGENTS, rows(&answer["agents"])),
        AdminCommand::Sessions => table(&SESSIONS, rows(&answer["sessions"])),
        AdminCommand::Services => table(&SERVICES, rows(&answer["services"])),
        AdminCommand::Names => table(&NAMES, rows(&answer["names"])),
        AdminCommand::Relays => table(&RELAYS, rows(&answer["relays"])),
        AdminCommand::Bans => table(&BANS, rows(&answer["bans"])),
        AdminCommand::Audit { .. } => table(&AUDIT, rows(&answer["records"])),
        AdminCommand::Limits => table(&LIMITS, limits(&answer["limits"])),
        AdminCommand::Config => members(&answer["options"], ""),
        AdminCommand::Kick { .. } | AdminCommand::Ban { .. } => {
            let ended = answer["ended"].as_u64().unwrap_or_default();
            format!("ended: {ended} session{}\n", if ended == 1 { "" } else { "s" })
        }
        AdminCommand::Unban { .. } | AdminCommand::Reload | AdminCommand::Drain { .. } => {
            format!("{}\n", cell("done", &answer["done"]))
        }
        AdminCommand::Status | AdminCommand::Metrics => members(answer, ""),
    }
}

fn rows(list: &Value) -> Vec<Value> {
    list.as_array().cloned().unwrap_or_default()
}

/// A row for each limit, which are members of an object.
fn limits(limits: &Value) -> Vec<Value> {
    let row = |(name, limit): (&String, &Value)| {
        let mut row = limit.clone();
        row["limit"] = name.clone().into();
        row
    };
    limits.as_object().into_iter().flatten().map(row).collect()
}

/// One line for each member; those of an object in it follow with its name before theirs.
fn members(object: &Value, prefix: &str) -> String {
    let mut text = String::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => text.push_str(&members(value, &format!("{prefix}{name}."))),
            value => text.push_str(&format!("{:<32} {}\n", format!("{prefix}{name}"), cell(name, value))),
        }
    }
    text
}

/// The rows below the titles, each column as wide as its widest cell.
fn table(columns: &[Column], rows: Vec<Value>) -> String {
    let titles = columns.iter().map(|(title, _)| (*title).to_owned()).collect();
    let cells =
        rows.iter().map(|row| columns.iter().map(|(_, member)| cell(member, &row[*member])).collect());
    let lines: Vec<Vec<String>> = std::iter::once(titles).chain(cells).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let padded = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cell(member: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(is_so) => if *is_so { "yes" } else { "no" }.to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => escaped(text).into_owned(),
        Value::Number(number) if TIMES.contains(&member) => time(number.as_u64().unwrap_or_default()),
        Value::Number(number) => match number.as_f64() {
            Some(whole) if whole.fract() == 0.0 => format!("{whole:.0}"),
            _ => number.to_string(),
        },
        Value::Array(list) if list.is_empty() => "-".to_owned(),
        Value::Array(list) => list.iter().map(|item| cell(member, item)).collect::<Vec<_>>().join(","),
        Value::Object(_) => escaped(&value.to_string()).into_owned(),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn time(seconds: u64) -> String {
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    // Years that no date has room for.
    let at = at.filter(|_| seconds < 253_402_300_800);
    at.map_or_else(|| seconds.to_string(), httpdate::fmt_http_date)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_has_titles_and_columns_as_wide_as_they_must_be() {
        let answer = json!({ "bans": [
            { "subject": "192.0.2.0/24", "until": 784_111_777, "reason": "spam\u{1b}[2J" },
            { "subject": "G", "reason": "" },
        ] });
        let shown = text(&AdminCommand::Bans, &answer);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "SUBJECT       UNTIL                          REASON");
        assert!(lines[1].starts_with("192.0.2.0/24  Sun, 06 Nov 1994 08:49:37 GMT  spam"), "{shown}");
        assert_eq!(lines[2], "G             -                              -");
        assert!(!shown.contains('\u{1b}'), "{shown:?}");
        assert_eq!(time(u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn members_of_members_have_both_names() {
        let answer = json!({ "options": { "state": { "control": null, "list": [1, 2.5] }, "x": true } });
        let shown = text(&AdminCommand::Config, &answer);
        let words: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words, [["state.control", "-"], ["state.list", "1,2.5"], ["x", "yes"]]);
        let limits = json!({ "limits": { "max_agents": { "max": 5.0, "used": null } } });
        assert_eq!(text(&AdminCommand::Limits, &limits).lines().nth(1), Some("max_agents  5    -"));
    }
}
