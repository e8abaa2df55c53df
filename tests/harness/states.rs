//! The transition tables of the core as a page with diagrams.

use std::collections::BTreeMap;
use std::fmt::Write;

use hvym_tunnel_core::agent::Agent;
use hvym_tunnel_core::handshake::{AgentHandshake, RelayHandshake};
use hvym_tunnel_core::machine::TransitionRow;

/// Each table, with its title and the phase it starts in.
pub fn tables() -> [(&'static str, &'static str, Vec<TransitionRow>); 3] {
    [
        ("The agent", "Initial", Agent::transitions()),
        ("The agent's half of the login", "AwaitingChallenge", AgentHandshake::transitions()),
        ("The relay's half of the login", "Initial", RelayHandshake::transitions()),
    ]
}

/// The page: for each table a diagram of what it does, and every pair of a phase and an input.
pub fn page() -> String {
    let mut page = String::from(
        "# State machines\n\nGenerated from the transition tables of `hvym-tunnel-core`; do not edit. To write it again:\n\n\
         ```sh\nUPDATE_STATES=1 cargo test -p hvym-tunnel-tests --test session states\n```\n\n\
         An edge is `Input / Action`. What is ignored is not drawn. An action that finds a fault in the content of its \
         input fails the login,\nwhatever phase the table names. `Reject` marks what is illegal in a phase.\n",
    );
    for (title, start, rows) in tables() {
        write!(page, "\n## {title}\n\n").expect("a string takes every write");
        diagram(&mut page, start, &rows);
        matrix(&mut page, &rows);
    }
    page
}

fn diagram(page: &mut String, start: &str, rows: &[TransitionRow]) {
    let mut lines =
        vec![String::from("```mermaid"), String::from("stateDiagram-v2"), format!("    [*] --> {start}")];
    let mut edges: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.action != "Ignore") {
        edges.entry((&row.from, &row.to)).or_default().push(format!("{} / {}", row.input, row.action));
    }
    for ((from, to), labels) in edges {
        lines.push(format!("    {from} --> {to}: {}", labels.join("<br>")));
    }
    lines.push(String::from("```\n\n"));
    page.push_str(&lines.join("\n"));
}

fn matrix(page: &mut String, rows: &[TransitionRow]) {
    let phases = distinct(rows.iter().map(|row| row.from.as_str()));
    let mut lines =
        vec![format!("| input | {} |", phases.join(" | ")), format!("|---|{}", "---|".repeat(phases.len()))];
    for input in distinct(rows.iter().map(|row| row.input.as_str())) {
        let cells: Vec<String> = phases.iter().map(|phase| cell(rows, phase, input)).collect();
        lines.push(format!("| {input} | {} |", cells.join(" | ")));
    }
    page.push_str(&lines.join("\n"));
    page.push('\n');
}

fn cell(rows: &[TransitionRow], phase: &str, input: &str) -> String {
    let row = rows.iter().find(|row| row.from == phase && row.input == input);
    match row {
        Some(row) if row.action == "Ignore" => String::from("-"),
        Some(row) if row.to == row.from => row.action.clone(),
        Some(row) => format!("{}, {}", row.action, row.to),
        None => panic!("no row for {phase} and {input}"),
    }
}

/// Each text once, in the order of first appearance.
fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = Vec::new();
    for text in texts {
        if !seen.contains(&text) {
            seen.push(text);
        }
    }
    seen
}
