//! The real programs of older systems against ours, all that people do with them. `cargo xtask matrix` shows it as a
//! table.
#![cfg(unix)]

use hvym_tunnel_tests::matrix::clients::{HvymAgent, TunelyAgent};
use hvym_tunnel_tests::matrix::run;

#[test]
fn the_python_client_0_12_is_served() {
    let Some(agent) = TunelyAgent::python("0.12.0") else { return };
    run(1, &agent);
}

#[test]
fn the_python_client_0_2_is_served() {
    let Some(agent) = TunelyAgent::python("0.2.1") else { return };
    run(2, &agent);
}

#[test]
fn the_node_client_0_2_is_served() {
    let Some(agent) = TunelyAgent::node() else { return };
    run(3, &agent);
}

#[test]
fn the_json_agent_of_hvym_is_served() {
    let Some(agent) = HvymAgent::installed() else { return };
    run(4, &agent);
}
