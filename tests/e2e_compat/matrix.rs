//! The real programs of older systems against ours, all that people do with them. `cargo xtask matrix` shows it as a
//! table.
#![cfg(unix)]

use hvym_tunnel_tests::matrix::clients::{HvymAgent, TunelyAgent};
use hvym_tunnel_tests::matrix::run;
use hvym_tunnel_tests::matrix::servers::TunelyServer;
use hvym_tunnel_tests::tunely::{Mode, NEW, OLD};

#[test]
fn the_python_client_0_12_is_served() {
    let Some(agent) = TunelyAgent::python(NEW) else { return };
    run(1, &agent);
}

#[test]
fn the_python_client_0_2_is_served() {
    let Some(agent) = TunelyAgent::python(OLD) else { return };
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

#[test]
fn our_agent_is_served_by_the_server_0_12_with_bytes() {
    let Some(server) = TunelyServer::installed(NEW, Mode::Tcp) else { return };
    run(5, &server);
}

#[test]
fn our_agent_is_served_by_the_server_0_12_with_messages() {
    let Some(server) = TunelyServer::installed(NEW, Mode::Http) else { return };
    run(6, &server);
}

#[test]
fn our_agent_is_served_by_the_server_0_2() {
    let Some(server) = TunelyServer::installed(OLD, Mode::Http) else { return };
    run(7, &server);
}
