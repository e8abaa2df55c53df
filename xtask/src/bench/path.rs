//! The ways from a visitor to the service: straight, ours, through two proxies, and through others that are found here.

use std::path::Path as File;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::load::{self, Door};
use super::nginx::Chain;
use super::others::OTHERS;
use super::process::{Folder, Memory, PATIENCE, Process, find};

/// What the goals compare with.
pub(super) const DIRECT: &str = "direct";
/// Our relay and agent, as two processes.
pub(super) const OURS: &str = "ours";
/// Two nginx, one behind the other.
pub(super) const NGINX: &str = "nginx × 2";
/// How often a path is tried until it carries a request.
const GLANCE: Duration = Duration::from_millis(50);

/// One way to the service, open.
pub(super) struct Path {
    pub(super) name: &'static str,
    /// The way to the service with the two files.
    pub(super) files: Door,
    /// The way to the sink.
    pub(super) sink: Door,
    /// The processes whose memory counts: one for each side.
    weighed: Vec<Process>,
    /// Those that are only there because two services are measured.
    _unweighed: Vec<Process>,
}

impl Path {
    pub(super) fn new(name: &'static str, files: Door, sink: Door, weighed: Vec<Process>) -> Self {
        Path { name, files, sink, weighed, _unweighed: Vec::new() }
    }

    /// The same, with processes beside it that do not count.
    pub(super) fn beside(self, unweighed: Vec<Process>) -> Self {
        Path { _unweighed: unweighed, ..self }
    }

    /// The memory that all its processes hold, bytes: each by itself, as on a machine of its own, and all on this one,
    /// where what they share is there once.
    pub(super) fn memory(&self) -> [u64; 2] {
        let all: Vec<Memory> = self.weighed.iter().map(Process::memory).collect();
        let own: u64 = all.iter().map(|memory| memory.own).sum();
        let apart = all.iter().map(|memory| memory.shared).sum::<u64>();
        let once = all.iter().map(|memory| memory.shared).max().unwrap_or(0);
        [own + apart, own + once]
    }

    /// Waits until it carries a request.
    fn proven(self) -> Result<Self> {
        let deadline = Instant::now() + PATIENCE;
        while !load::reachable(&self.files) {
            ensure!(Instant::now() < deadline, "{}: nothing comes through", self.name);
            thread::sleep(GLANCE);
        }
        Ok(self)
    }
}

/// The two services: that with the files, and the sink.
pub(super) type Services = [u16; 2];

/// Opens every path there is; the names of those whose program was not found come second.
pub(super) fn open(
    folder: &Folder,
    program: &File,
    services: Services,
) -> Result<(Vec<Path>, Vec<&'static str>)> {
    let [files, sink] = services.map(Door::plain);
    let mut paths = vec![
        Path::new(DIRECT, files, sink, Vec::new()),
        ours(folder, program, services)?,
        embedded(folder, program, services)?,
    ];
    let chain = Chain::start(folder, services)?;
    let [files, sink] = chain.ports.map(Door::plain);
    // What its masters and workers hold is nothing to compare with.
    paths.push(Path::new(NGINX, files, sink, Vec::new()).beside(chain.processes));
    let mut absent = Vec::new();
    for (name, start) in OTHERS {
        match find(name) {
            Some(other) => paths.push(start(folder, &other, services).with_context(|| name.to_owned())?),
            None => absent.push(name),
        }
    }
    let paths = paths.into_iter().map(Path::proven).collect::<Result<_>>()?;
    Ok((paths, absent))
}

/// A relay and an agent, each in a process and a home of its own.
fn ours(folder: &Folder, program: &File, services: Services) -> Result<Path> {
    let mut relay = hvym(folder, "relay", program, &["relay", "--listen", "0", "--json"])?;
    let listen = event(&mut relay, "listening", "listen")?;
    let url = format!("ws://{listen}");
    let (agent, [files, sink]) = expose(folder, "agent", program, services, &["--relay", &url])?;
    Ok(Path::new(OURS, files, sink, vec![agent, relay]))
}

/// An agent that is its own relay.
fn embedded(folder: &Folder, program: &File, services: Services) -> Result<Path> {
    let (agent, [files, sink]) = expose(folder, "embedded", program, services, &[])?;
    Ok(Path::new("ours, one process", files, sink, vec![agent]))
}

fn expose(
    folder: &Folder,
    home: &str,
    program: &File,
    [files, sink]: Services,
    more: &[&str],
) -> Result<(Process, [Door; 2])> {
    let (files, sink) = (files.to_string(), format!("sink={sink}"));
    let arguments = [&["expose", &files, "--bind", &sink, "--json"], more].concat();
    let mut agent = hvym(folder, home, program, &arguments)?;
    let url = event(&mut agent, "ready", "url")?;
    let host = url.strip_prefix("http://").unwrap_or(&url).trim_end_matches('/');
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let port = port.with_context(|| format!("no port in {url}"))?;
    let doors = [host.to_owned(), format!("sink.{host}")].map(|host| Door { port, host: Some(host) });
    Ok((agent, doors))
}

fn hvym(folder: &Folder, home: &str, program: &File, arguments: &[&str]) -> Result<Process> {
    let home = folder.folder(home)?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("HOME", &home).env("XDG_CONFIG_HOME", &home);
    Process::start(&mut command)
}

/// The text `field` of the event called `name`.
fn event(program: &mut Process, name: &str, field: &str) -> Result<String> {
    program.hears(|line| {
        let event: Value = serde_json::from_str(line).ok()?;
        (event["event"] == name).then(|| event[field].as_str().map(str::to_owned))?
    })
}
