//! Other tunnels: how each is started, if it is there. None has to be.
//!
//! To compare with one more, write a function that starts it, and its line in [`OTHERS`].

use std::fs;
use std::path::Path as File;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::certificate::{Certificate, PASSWORD};
use super::load::Door;
use super::path::{Path, Services};
use super::process::{Folder, PATIENCE, Process, find, free_ports};

/// A tunnel that copies between one TCP connection of the visitor and one of its agent.
const BORE: &str = "bore";
/// How often an agent is started that found nobody.
const GLANCE: Duration = Duration::from_millis(50);
/// The secret of those that insist on one; their relays listen on this machine alone.
const SECRET: &str = "bench";

/// Where a path is opened.
pub(super) struct Place<'a> {
    pub(super) folder: &'a Folder,
    /// The port to dial for one that a relay listens on: the same, or that of a simulated network in between.
    pub(super) via: &'a dyn Fn(u16) -> Result<u16>,
    /// Whether agents and visitors speak TLS.
    pub(super) tls: Option<&'a Certificate>,
}

impl Place<'_> {
    /// Where visitors of a tunnel that copies knock: with TLS, it is the service's.
    pub(super) fn door(&self, port: u16) -> Door {
        if self.tls.is_some() { Door::plain(port).with_tls() } else { Door::plain(port) }
    }
}

type Start = fn(&Place<'_>, &File, Services) -> Result<Path>;

/// A tunnel with one connection of its agent for each visitor's.
pub(super) const RATHOLE: &str = "rathole";
/// A tunnel with one WebSocket of its agent for each visitor's connection.
pub(super) const WSTUNNEL: &str = "wstunnel";

/// How each is called, and how it is started.
pub(super) const OTHERS: [(&str, Start); 5] =
    [(BORE, bore), ("chisel", chisel), ("frpc", frp), (RATHOLE, rathole), (WSTUNNEL, wstunnel)];

/// Those whose agents can dial through a simulated network, and with TLS.
pub(super) const DIALLING: [(&str, Start); 2] = [(RATHOLE, rathole), (WSTUNNEL, wstunnel)];

/// Its agents carry one service each. Its control port cannot be chosen, so two benches cannot run at once.
fn bore(_: &Place<'_>, program: &File, [files, sink]: Services) -> Result<Path> {
    let relay = Process::start(Command::new(program).args(["server", "--bind-addr", "127.0.0.1"]))?;
    let (files, agent) = bore_agent(program, files)?;
    let (sink, second) = bore_agent(program, sink)?;
    Ok(Path::new(BORE, files, sink, vec![agent, relay]).beside(vec![second]))
}

fn bore_agent(program: &File, service: u16) -> Result<(Door, Process)> {
    let [port] = free_ports()?;
    let (service, public) = (service.to_string(), port.to_string());
    let deadline = Instant::now() + PATIENCE;
    // One that comes before its relay listens gives up at once.
    loop {
        let arguments = ["local", &service, "--to", "127.0.0.1", "--port", &public];
        let mut agent = Process::start(Command::new(program).args(arguments))?;
        match agent.hears(|line| line.contains("listening at").then_some(())) {
            Ok(()) => return Ok((Door::plain(port), agent)),
            Err(error) => ensure!(Instant::now() < deadline, "{error}"),
        }
        thread::sleep(GLANCE);
    }
}

/// SSH over a WebSocket.
fn chisel(place: &Place<'_>, program: &File, services: Services) -> Result<Path> {
    let [listen, files, sink] = free_ports()?;
    let port = listen.to_string();
    let server = ["server", "--host", "127.0.0.1", "--port", &port, "--reverse"];
    let relay = Process::start(Command::new(program).args(server))?;
    let mut agent = Command::new(program);
    agent.args(["client", &format!("http://127.0.0.1:{}", (place.via)(listen)?)]);
    for (port, service) in [files, sink].iter().zip(services) {
        agent.arg(format!("R:127.0.0.1:{port}:127.0.0.1:{service}"));
    }
    let agent = Process::start(&mut agent)?;
    Ok(Path::new("chisel", Door::plain(files), Door::plain(sink), vec![agent, relay]))
}

/// Its relay is a program of its own, `frps`. Yamux over TCP, as it comes.
fn frp(place: &Place<'_>, program: &File, services: Services) -> Result<Path> {
    let server = find("frps").context("there is frpc, but no frps")?;
    let [listen, files, sink] = free_ports()?;
    let mut agent = format!("serverAddr = \"127.0.0.1\"\nserverPort = {}\n", (place.via)(listen)?);
    for (port, service) in [files, sink].iter().zip(services) {
        agent.push_str(&format!(
            "[[proxies]]\nname = \"at{port}\"\ntype = \"tcp\"\nlocalPort = {service}\nremotePort = {port}\n"
        ));
    }
    let relay = format!("bindAddr = \"127.0.0.1\"\nbindPort = {listen}\n");
    let relay = configured(place.folder, "frps.toml", &relay, Command::new(server).arg("-c"))?;
    let agent = configured(place.folder, "frpc.toml", &agent, Command::new(program).arg("-c"))?;
    Ok(Path::new("frp", Door::plain(files), Door::plain(sink), vec![agent, relay]))
}

/// One connection of its agent for each visitor's, made ahead.
fn rathole(place: &Place<'_>, program: &File, services: Services) -> Result<Path> {
    let [listen, files, sink] = free_ports()?;
    let mut relay = format!("[server]\nbind_addr = \"127.0.0.1:{listen}\"\ndefault_token = \"{SECRET}\"\n");
    let dialled = (place.via)(listen)?;
    let mut agent =
        format!("[client]\nremote_addr = \"127.0.0.1:{dialled}\"\ndefault_token = \"{SECRET}\"\n");
    for (port, service) in [files, sink].iter().zip(services) {
        relay.push_str(&format!("[server.services.at{port}]\nbind_addr = \"127.0.0.1:{port}\"\n"));
        agent.push_str(&format!("[client.services.at{port}]\nlocal_addr = \"127.0.0.1:{service}\"\n"));
    }
    if let Some(tls) = place.tls {
        relay.push_str(&format!(
            "[server.transport]\ntype = \"tls\"\n[server.transport.tls]\npkcs12 = \"{}\"\npkcs12_password = \"{PASSWORD}\"\n",
            tls.both.display()
        ));
        agent.push_str(&format!(
            "[client.transport]\ntype = \"tls\"\n[client.transport.tls]\ntrusted_root = \"{}\"\nhostname = \"localhost\"\n",
            tls.authority.display()
        ));
    }
    let relay =
        configured(place.folder, "rathole-relay.toml", &relay, Command::new(program).arg("--server"))?;
    let agent =
        configured(place.folder, "rathole-agent.toml", &agent, Command::new(program).arg("--client"))?;
    Ok(Path::new(RATHOLE, place.door(files), place.door(sink), vec![agent, relay]))
}

/// Its agent asks for both ports, and dials one more WebSocket for each visitor's connection.
fn wstunnel(place: &Place<'_>, program: &File, services: Services) -> Result<Path> {
    let [listen, files, sink] = free_ports()?;
    let scheme = if place.tls.is_some() { "wss" } else { "ws" };
    let mut server = Command::new(program);
    server.arg("server");
    if let Some(tls) = place.tls {
        server.arg("--tls-certificate").arg(&tls.certificate).arg("--tls-private-key").arg(&tls.key);
    }
    server.arg(format!("{scheme}://127.0.0.1:{listen}"));
    let mut relay = Process::start(&mut server)?;
    relay.hears(|line| line.contains("Starting wstunnel server").then_some(()))?;
    let mut agent = Command::new(program);
    agent.arg("client");
    for (port, service) in [files, sink].iter().zip(services) {
        agent.args(["-R", &format!("tcp://127.0.0.1:{port}:127.0.0.1:{service}")]);
    }
    let agent = Process::start(agent.arg(format!("{scheme}://127.0.0.1:{}", (place.via)(listen)?)))?;
    Ok(Path::new(WSTUNNEL, place.door(files), place.door(sink), vec![agent, relay]))
}

/// Starts `command` with one more argument: the file `name` with this text.
fn configured(folder: &Folder, name: &str, text: &str, command: &mut Command) -> Result<Process> {
    let file = folder.path(name);
    fs::write(&file, text).with_context(|| format!("{}", file.display()))?;
    Process::start(command.arg(file))
}
