//! Opens the ways from a visitor to the service: straight, ours, through two proxies, and through others that are found.

use std::path::Path as File;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::load::Door;
use super::nginx::Chain;
use super::others::{DIALLING, OTHERS, Place};
use super::path::{DIRECT, NGINX, OURS, Path, Services};
use super::process::{Folder, Process, find};

/// Opens every path there is; the names of those whose program was not found come second.
pub(super) fn paths(
    folder: &Folder,
    program: &File,
    services: Services,
) -> Result<(Vec<Path>, Vec<&'static str>)> {
    let place = Place { folder, via: &|listen| Ok(listen), tls: None };
    let [files, sink] = services.map(Door::plain);
    let mut paths = vec![
        Path::new(DIRECT, files, sink, Vec::new()),
        ours(&place, program, services)?,
        embedded(folder, program, services)?,
    ];
    let chain = Chain::start(folder, services)?;
    let [files, sink] = chain.ports.map(Door::plain);
    // What its masters and workers hold is nothing to compare with.
    paths.push(Path::new(NGINX, files, sink, Vec::new()).beside(chain.processes));
    let mut absent = Vec::new();
    for (name, start) in OTHERS {
        match find(name) {
            Some(other) => paths.push(start(&place, &other, services).with_context(|| name.to_owned())?),
            None => absent.push(name),
        }
    }
    let paths = paths.into_iter().map(Path::proven).collect::<Result<_>>()?;
    Ok((paths, absent))
}

/// The straight path, ours, and those of others whose agents can dial through a simulated network and with TLS. On the
/// straight one the visitor dials. `services` are those that ours exposes, which speaks TLS with visitors itself;
/// the others lead to `encrypted`, if there is TLS.
pub(super) fn dialling(
    place: &Place<'_>,
    program: &File,
    services: Services,
    encrypted: Option<Services>,
) -> Result<Vec<Path>> {
    let theirs = encrypted.unwrap_or(services);
    let [files, sink] = [(place.via)(theirs[0])?, (place.via)(theirs[1])?].map(|port| place.door(port));
    let mut paths = vec![Path::new(DIRECT, files, sink, Vec::new()), ours(place, program, services)?];
    for (name, start) in DIALLING {
        if let Some(other) = find(name) {
            paths.push(start(place, &other, theirs).with_context(|| name.to_owned())?);
        }
    }
    paths.into_iter().map(Path::proven).collect()
}

/// A relay and an agent, each in a process and a home of its own.
fn ours(place: &Place<'_>, program: &File, services: Services) -> Result<Path> {
    ours_with(OURS, place, program, services, &[])
}

/// The same by another name, with these options of the relay.
pub(super) fn ours_with(
    name: &'static str,
    place: &Place<'_>,
    program: &File,
    services: Services,
    options: &[&str],
) -> Result<Path> {
    let folder = place.folder;
    let tls = place
        .tls
        .map(|tls| [&tls.certificate, &tls.key, &tls.authority].map(|file| file.display().to_string()));
    // The network between is at another port.
    let mut relay = [&["relay", "--listen", "0", "--json", "--also-name", "localhost:*"], options].concat();
    if let Some([certificate, key, _]) = &tls {
        relay.extend(["--tls-cert", certificate, "--tls-key", key]);
    }
    let mut relay = hvym(folder, &format!("{name}, relay"), program, &relay)?;
    let listen = event(&mut relay, "listening", "listen")?;
    let port = listen.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let port = port.with_context(|| format!("no port in {listen}"))?;
    let scheme = if tls.is_some() { "wss" } else { "ws" };
    let url = format!("{scheme}://localhost:{}", (place.via)(port)?);
    let mut more = vec!["--relay", &url];
    if let Some([_, _, authority]) = &tls {
        more.extend(["--relay-ca", authority]);
    }
    let (agent, [files, sink]) = expose(folder, &format!("{name}, agent"), program, services, &more)?;
    Ok(Path::new(name, files, sink, vec![agent, relay]))
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
    let has_tls = url.starts_with("https://");
    let host = url.split_once("://").map_or(&*url, |(_, host)| host).trim_end_matches('/');
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    let port = port.with_context(|| format!("no port in {url}"))?;
    let doors =
        [host.to_owned(), format!("sink--{host}")].map(|host| Door { port, host: Some(host), has_tls });
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
