//! `cargo xtask bench attack`: how long an honest visitor waits beside each attack, and whether its download comes whole.
//!
//! Attackers have an address each, which a proxy before the relay names: limits by visitor stop none of them.

mod attackers;
mod http2;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::attackers::{ATTACKS, Attack};
use super::load::{Door, download};
use super::nginx::Origin;
use super::others::Place;
use super::path::OURS;
use super::process::Folder;
use super::{open, record, sink};

const MIB: u64 = 1024 * 1024;
/// The file of downloads and of readers that do not read.
const LARGE: u64 = 1024 * MIB;
/// What the honest visitor downloads beside each attack.
const DOWNLOAD: u64 = 64 * MIB;
/// How many times as long as without the attack its requests may take, one in a hundred left out.
const MOST_SLOWER: f64 = 2.0;
/// How long an attack lasts before the visitor comes: what it can fill is full by then.
const HEAD_START: Duration = Duration::from_secs(2);
/// Room for what the attacks want, so that none is refused at the door.
const RELAY: [&str; 8] = [
    "--trusted-proxy",
    "127.0.0.1/32",
    "--max-connections",
    "8000",
    "--service-requests",
    "4000",
    "--visitor-requests",
    "1000",
];

/// What an honest visitor saw.
struct Honest {
    requests: usize,
    p50: Duration,
    p99: Duration,
}

/// Asks for the small file, again and again on one connection.
fn visit(door: &Door, lasts: Duration) -> Result<Honest> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, door.port))?;
    stream.set_nodelay(true)?;
    let host = door.host.as_deref().unwrap_or("localhost");
    let request = format!("GET /small HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 198.51.100.1\r\n\r\n");
    let mut reader = BufReader::new(stream.try_clone()?);
    let (begun, mut times) = (Instant::now(), Vec::new());
    while begun.elapsed() < lasts {
        let asked = Instant::now();
        stream.write_all(request.as_bytes())?;
        read_answer(&mut reader)?;
        times.push(asked.elapsed());
    }
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().context("no answer at all");
    Ok(Honest { requests: times.len(), p50: at(50)?, p99: at(99)? })
}

fn read_answer(reader: &mut impl BufRead) -> Result<()> {
    let (mut length, mut line) = (0_u64, String::new());
    loop {
        line.clear();
        ensure!(reader.read_line(&mut line)? > 0, "the relay hung up");
        ensure!(!line.starts_with("HTTP/") || line.contains(" 200 "), "{}", line.trim());
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
    Ok(())
}

/// A visitor without an attack and with it, and how many attackers got through.
struct Attacked {
    without: Honest,
    with: Honest,
    /// MiB/s, or why it was cut off.
    download: Result<f64>,
    attackers: usize,
}

impl Attacked {
    /// How many times as long the slowest requests take beside the attack, one in a hundred left out.
    fn ratio(&self) -> f64 {
        self.with.p99.as_secs_f64() / self.without.p99.as_secs_f64()
    }
}

fn attacked(door: &Door, attack: Attack, lasts: Duration) -> Result<Attacked> {
    let without = visit(door, lasts).context("before it")?;
    let is_over = Arc::new(AtomicBool::new(false));
    let attackers = attack(door, &is_over);
    thread::sleep(HEAD_START);
    let (with, download) = thread::scope(|scope| {
        let download = scope.spawn(|| download(door, DOWNLOAD, 1));
        (visit(door, lasts), download.join())
    });
    is_over.store(true, Ordering::Relaxed);
    let attackers = attackers.into_iter().filter_map(|attacker| attacker.join().ok()).sum();
    let Ok(download) = download else { bail!("the download panicked") };
    Ok(Attacked { without, with: with?, download: download.map(|rate| rate / MIB as f64), attackers })
}

/// Runs each attack once, for `seconds`, on the service alone and on ours.
pub(super) fn run(seconds: u64) -> Result<()> {
    let program = super::tunnel::program()?;
    let folder = Folder::new()?;
    let origin = Origin::start(&folder, LARGE)?;
    let place = Place { folder: &folder, via: &|listen| Ok(listen), tls: None };
    let path = open::ours_with(OURS, &place, &program, [origin.port, sink::start()?], &RELAY)?.proven()?;
    let (alone, lasts) = (Door::plain(origin.port), Duration::from_secs(seconds));
    let mut text = format!(
        "One run of {seconds} s each on one machine, which everybody shares, attackers too: what an attack costs \
        a visitor of the service without a tunnel is beside it.\n\n\
        | attack | requests/s without and with | p50 without and with | p99 without and with | ratio | a download beside it | ratio of the service alone |\n\
        |---|---|---|---|---|---|---|\n"
    );
    let mut slower = Vec::new();
    for (name, attack) in ATTACKS {
        let ours = attacked(&path.files, attack, lasts).with_context(|| name.to_owned())?;
        // The service speaks no HTTP/2 without TLS.
        let theirs = attacked(&alone, attack, lasts).with_context(|| format!("{name}, the service alone"))?;
        let theirs = if theirs.attackers > 0 { format!("{:.2}", theirs.ratio()) } else { "–".to_owned() };
        let Attacked { without, with, download, attackers } = &ours;
        let download = match download {
            Ok(rate) => format!("{rate:.0} MiB/s"),
            Err(error) => format!("**{error:#}**"),
        };
        let ratio = ours.ratio();
        if ratio > MOST_SLOWER {
            slower.push(name);
        }
        let rate = |honest: &Honest| honest.requests as u64 / seconds.max(1);
        writeln!(
            text,
            "| {name} ({attackers}) | {} {} | {:?} {:?} | {:?} {:?} | {ratio:.2} | {download} | {theirs} |",
            rate(without),
            rate(with),
            without.p50,
            with.p50,
            without.p99,
            with.p99
        )?;
    }
    writeln!(
        text,
        "\nLinks lost: {}. More than {MOST_SLOWER} times as slow beside: {slower:?}.",
        path.lost_links()
    )?;
    record("attack", &text)
}
