//! The transition tables: their page is up to date, and they have no dead ends and no unreachable phases.

use std::collections::BTreeSet;
use std::path::Path;

use hvym_tunnel_tests::states::{page, tables};

#[test]
fn the_page_of_states_shows_the_tables_as_they_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/STATES.md");
    let expected = page();
    if std::env::var_os("UPDATE_STATES").is_some() {
        std::fs::write(&path, &expected).expect("the page can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/STATES.md is out of date; write it again with \
         UPDATE_STATES=1 cargo test -p hvym-tunnel-tests --test session states"
    );
}

#[test]
fn every_phase_is_reached_and_only_final_ones_are_never_left() {
    for (title, start, rows) in tables() {
        // The agent's half has two starts: one for each way of logging in.
        let mut reached = BTreeSet::from([start, "AwaitingChallengeOrOk"]);
        for _ in &rows {
            let next: Vec<&str> =
                rows.iter().filter(|row| reached.contains(&*row.from)).map(|row| &*row.to).collect();
            reached.extend(next);
        }
        let phases: BTreeSet<&str> = rows.iter().map(|row| &*row.from).collect();
        assert!(phases.is_subset(&reached), "{title}: {:?} are unreachable", phases.difference(&reached));
        for phase in phases {
            let is_left = rows.iter().any(|row| row.from == phase && row.to != phase);
            let is_final = ["Done", "Failed", "Stopped"].contains(&phase);
            assert_eq!(is_left, !is_final, "{title}: {phase}");
        }
    }
}

#[test]
fn a_login_is_over_only_through_the_one_action_that_grants_it() {
    for (title, _, rows) in tables() {
        for row in rows.iter().filter(|row| row.to == "Done" && row.from != "Done") {
            let granted = ["AcceptGrant", "SendOk"].contains(&&*row.action);
            assert!(granted, "{title}: {row:?}");
        }
        for row in rows.iter().filter(|row| row.action == "Reject") {
            assert_eq!(row.to, "Failed", "{title}: {row:?}");
        }
    }
}
