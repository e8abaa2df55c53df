//! The package as Tunely's client for Node.js: on our relay, and on Tunely's own servers.

use std::path::{Path, PathBuf};
use std::process::Command;

use hvym_tunnel_tests::http::{Conversation, Origin, ok};
use hvym_tunnel_tests::installed::required_tool;
use hvym_tunnel_tests::matrix::clients::TunelyAgent;
use hvym_tunnel_tests::matrix::run;
use hvym_tunnel_tests::matrix::servers::TunelyServer;
use hvym_tunnel_tests::program::Program;
use hvym_tunnel_tests::tunely::{Mode, NAME, NEW, Server};
use rustix::process::Signal;

use super::installed;

/// The program of the package, as npm installs it.
fn program() -> Option<PathBuf> {
    required_tool("node")?;
    Some(installed::folder()?.join("node_modules/.bin/hvym-tunnel"))
}

#[test]
fn the_program_of_the_package_does_on_our_relay_what_tunelys_does() {
    let Some(program) = program() else { return };
    run(8, &TunelyAgent::package(program));
}

#[test]
fn the_program_of_the_package_is_served_by_tunely_0_12_with_bytes() {
    let (Some(program), Some(server)) = (program(), TunelyServer::installed(NEW, Mode::Tcp)) else { return };
    run(9, &server.with_package(program));
}

#[test]
fn the_program_of_the_package_is_served_by_tunely_0_12_with_messages() {
    let (Some(program), Some(server)) = (program(), TunelyServer::installed(NEW, Mode::Http)) else { return };
    run(10, &server.with_package(program));
}

/// A script of the folder of installed packages.
fn script(folder: &Path, name: &str, arguments: &[&str]) -> Option<Command> {
    let mut command = Command::new(required_tool("node")?);
    command.arg(name).args(arguments).current_dir(folder);
    Some(command)
}

#[test]
fn the_example_of_tunelys_readme_runs_with_another_import() {
    let (Some(folder), Some(server)) = (installed::folder(), Server::start(NEW)) else { return };
    let token = server.tunnel(Mode::Tcp);
    let origin = Origin::start(|mut connection: Conversation| {
        loop {
            let head = connection.head()?;
            let body = connection.body(&head)?;
            connection.send(ok(&body))?;
        }
    });
    let (url, target) = (format!("{}/ws/tunnel", server.url()), format!("http://localhost:{}", origin.port));
    let Some(example) = script(folder, "tunely.mjs", &[&url, &token, &target]) else { return };
    let mut example = Program::start(example);
    assert_eq!(example.line(), format!("已连接: {NAME}"));
    let (head, body) = server.ask(Mode::Tcp, "POST", "/x?y=1", &[], b"hello").expect("an answer");
    assert_eq!((head.status(), &body[..]), (200, &b"hello"[..]));
    assert_eq!(example.line(), "request POST /x?y=1");
    let server = server.restart();
    assert_eq!(example.line(), "连接断开");
    assert_eq!(example.line(), format!("已连接: {NAME}"));
    let (head, body) = server.ask(Mode::Tcp, "POST", "/", &[], b"again").expect("an answer");
    assert_eq!((head.status(), &body[..]), (200, &b"again"[..]));
    assert_eq!(example.line(), "request POST /");
    example.signal(Signal::INT);
    assert_eq!(example.line(), "连接断开");
    // Nothing keeps the process once `run` is over.
    assert_eq!(example.line(), "stopped false null");
    assert_eq!(example.code(), 0);
}

#[test]
fn what_is_told_and_when_bytes_are_sent_does_not_depend_on_how_they_come() {
    let Some(folder) = installed::folder() else { return };
    let Some(script) = script(folder, "tunely-parts.mjs", &[]) else { return };
    installed::run(script).unwrap_or_else(|said| panic!("{said}"));
}
