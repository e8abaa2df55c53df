//! `cargo xtask targets`: what a manager takes, idle and under load, beside what it may take at most.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::process::{Folder, Process};

/// How long the manager has nothing to do before it is weighed: what its start took is given back by then.
const SETTLE: Duration = Duration::from_secs(10);
/// How long it is looked at while it is idle.
const IDLE: Duration = Duration::from_secs(30);
/// How long each load lasts.
const LOAD: Duration = Duration::from_secs(15);
const MIB: f64 = 1024.0 * 1024.0;

/// One figure and what it may be at most.
struct Figure {
    what: &'static str,
    found: f64,
    most: f64,
    unit: &'static str,
}

/// A visitor on one connection, who asks at a rate.
struct Visitor {
    port: u16,
    host: String,
    path: &'static str,
    rate: u32,
}

impl Visitor {
    /// The times of its answers for so long, in order of length. One that is late asks at once, and does not catch up.
    fn visit(&self, lasts: Duration) -> Result<Vec<Duration>> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", self.path, self.host);
        let (begun, pause, mut times) = (Instant::now(), Duration::from_secs(1) / self.rate, Vec::new());
        let mut next = begun;
        while begun.elapsed() < lasts {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            next = Instant::now().max(next) + pause;
            let asked = Instant::now();
            stream.write_all(request.as_bytes())?;
            read_answer(&mut reader).with_context(|| format!("{} at port {}", self.path, self.port))?;
            times.push(asked.elapsed());
        }
        times.sort_unstable();
        Ok(times)
    }

    /// So many such visitors at once; all their times.
    fn crowd(&self, visitors: usize, lasts: Duration) -> Result<Vec<Duration>> {
        let mut times = thread::scope(|scope| {
            let visits: Vec<_> = (0..visitors).map(|_| scope.spawn(|| self.visit(lasts))).collect();
            let mut times = Vec::new();
            for visit in visits {
                let Ok(found) = visit.join() else { bail!("a visitor panicked") };
                times.extend(found?);
            }
            Ok(times)
        })?;
        times.sort_unstable();
        Ok(times)
    }
}

fn at(times: &[Duration], percent: usize) -> Result<f64> {
    let time = times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
    Ok(time.context("no answer at all")?.as_secs_f64() * 1000.0)
}

fn read_answer(reader: &mut impl BufRead) -> Result<()> {
    let (mut length, mut line, mut is_chunked) = (0_u64, String::new(), false);
    loop {
        line.clear();
        ensure!(reader.read_line(&mut line)? > 0, "the other side hung up");
        ensure!(!line.starts_with("HTTP/") || line.contains(" 200 "), "{}", line.trim());
        if line.trim().is_empty() {
            break;
        }
        let field = line.to_ascii_lowercase();
        is_chunked |= field.starts_with("transfer-encoding:");
        if let Some(value) = field.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    ensure!(!is_chunked, "the answer has no length");
    std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
    Ok(())
}

/// A service that answers each request with a few bytes, on a thread for each connection.
fn service() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || -> Result<()> {
                stream.set_nodelay(true)?;
                let mut reader = BufReader::new(stream.try_clone()?);
                let mut line = String::new();
                loop {
                    line.clear();
                    if reader.read_line(&mut line)? == 0 {
                        return Ok(());
                    }
                    if line == "\r\n" {
                        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
                    }
                }
            });
        }
    });
    Ok(port)
}

/// The program that is measured: the one that is named, or a release build.
fn program(arguments: &[String]) -> Result<PathBuf> {
    match arguments {
        [] => super::tunnel::program(),
        [option, path] if option == "--program" => Ok(PathBuf::from(path)),
        _ => bail!("cargo xtask targets [--program FILE]"),
    }
}

fn start(folder: &Folder, home: &str, program: &Path, arguments: &[&str]) -> Result<Process> {
    let home = folder.folder(home)?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("HOME", &home).env("XDG_CONFIG_HOME", &home);
    Process::start(&mut command)
}

/// The port at the end of the text `field` of the event called `name`, and that text.
fn event(program: &mut Process, name: &str, field: &str) -> Result<(u16, String)> {
    let text = program.hears(|line| {
        let event: Value = serde_json::from_str(line).ok()?;
        (event["event"] == name).then(|| event[field].as_str().map(str::to_owned))?
    })?;
    let port = text.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
    Ok((port.with_context(|| format!("no port in {text}"))?, text))
}

/// Percents of one core that the process took while `work` lasted.
fn cpu(process: &Process, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let (before, begun) = (process.cpu_time()?, Instant::now());
    work()?;
    let took = process.cpu_time()?.saturating_sub(before);
    Ok(100.0 * took.as_secs_f64() / begun.elapsed().as_secs_f64())
}

/// Measures everything, once.
fn measure(program: &Path) -> Result<Vec<Figure>> {
    let folder = Folder::new()?;
    let target = service()?;
    let mut relay = start(&folder, "relay", program, &["relay", "--listen", "0", "--json"])?;
    let (port, _) = event(&mut relay, "listening", "listen")?;
    let (url, bind) = (format!("ws://127.0.0.1:{port}"), format!("web={target}"));
    let arguments = ["manager", "--json", "--api-port", "0", "--relay", &url, "--bind", &bind];
    let mut manager = start(&folder, "manager", program, &arguments)?;
    let (api, _) = event(&mut manager, "api", "url")?;
    let (_, public) = event(&mut manager, "ready", "url")?;
    let host = public.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let visitor = |port, host: &str, path, rate| Visitor { port, host: host.to_owned(), path, rate };

    thread::sleep(SETTLE);
    let idle = cpu(&manager, || {
        thread::sleep(IDLE);
        Ok(())
    })?;
    let memory = manager.memory();
    let resident = (memory.own + memory.shared) as f64 / MIB;

    let direct = visitor(target, "localhost", "/", 50).visit(LOAD)?;
    let mut through = Vec::new();
    let busy = cpu(&manager, || {
        through = visitor(port, &host, "/", 50).visit(LOAD)?;
        Ok(())
    })?;
    let status = thread::scope(|scope| -> Result<Vec<Duration>> {
        let traffic = visitor(port, &host, "/", 50);
        let traffic = scope.spawn(move || traffic.crowd(10, LOAD));
        let status = visitor(api, "localhost", "/api/status", 20).visit(LOAD);
        let Ok(traffic) = traffic.join() else { bail!("a visitor panicked") };
        let rate = traffic?.len() as f64 / LOAD.as_secs_f64();
        // Else the figure beside it is that of another load.
        ensure!(rate > 400.0, "only {rate:.0} requests a second were answered, not 500");
        status
    })?;
    let figure = |what, found, most, unit| Figure { what, found, most, unit };
    Ok(vec![
        figure("resident memory, idle", resident, 20.0, "MiB"),
        figure("processor, idle", idle, 0.2, "% of a core"),
        figure("processor at 50 requests/s", busy, 15.0, "% of a core"),
        figure("/api/status beside 500 requests/s, p99", at(&status, 99)?, 10.0, "ms"),
        figure("added by relay and agent, p50", at(&through, 50)? - at(&direct, 50)?, 100.0, "ms"),
        figure("added by relay and agent, p99", at(&through, 99)? - at(&direct, 99)?, 100.0, "ms"),
    ])
}

/// Measures, and prints each figure beside its target.
///
/// # Errors
/// A target is missed, or something does not run.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let program = program(arguments)?;
    let figures = measure(&program)?;
    let mut text = "One run on one machine, which manager, relay, visitors and service share.\n\n\
        | | found | at most | |\n|---|---|---|---|\n"
        .to_owned();
    for Figure { what, found, most, unit } in &figures {
        let verdict = if found <= most { "held" } else { "**missed**" };
        writeln!(text, "| {what} | {found:.2} {unit} | {most} {unit} | {verdict} |")?;
    }
    println!("{text}");
    let missed: Vec<&str> =
        figures.iter().filter(|figure| figure.found > figure.most).map(|figure| figure.what).collect();
    ensure!(missed.is_empty(), "missed: {}", missed.join("; "));
    Ok(())
}
