//! Programs whose output nobody reads: they serve all the same, and end when they are asked to.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::{PipeReader, Read, Write, pipe};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The smallest pipe of the system: some forty lines.
const PIPE_BYTES: usize = 4096;
const VISITORS: usize = 8;
const REQUESTS_EACH: usize = 1250;
const LIMIT: Duration = Duration::from_secs(60);

/// A program whose standard output and standard error are one small pipe, which is full soon.
struct Unread {
    child: Child,
    _reader: PipeReader,
    url_file: PathBuf,
}

impl Unread {
    fn start(home: &Path, name: &str, arguments: &[&str]) -> Self {
        let (reader, writer) = pipe().expect("a pipe");
        rustix::pipe::fcntl_setpipe_size(&writer, PIPE_BYTES).expect("pipes can be small");
        let url_file = home.join(format!("{name}.url"));
        let child = Command::new(env!("CARGO_BIN_EXE_hvym-tunnel"))
            .args(arguments)
            .arg("--url-file")
            .arg(&url_file)
            .arg("-vvv")
            .env("XDG_CONFIG_HOME", home)
            .env("HOME", home)
            .stdout(writer.try_clone().expect("a descriptor"))
            .stderr(writer)
            .spawn()
            .expect("the program starts");
        Self { child, _reader: reader, url_file }
    }

    fn url(&self) -> String {
        let begun = Instant::now();
        loop {
            if let Ok(url) = fs::read_to_string(&self.url_file)
                && !url.is_empty()
            {
                return url.trim().to_owned();
            }
            assert!(begun.elapsed() < LIMIT, "no URL at {}", self.url_file.display());
            thread::yield_now();
        }
    }

    /// Asks it to end, and waits.
    fn end(mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).expect("it runs");
        let (done, ended) = mpsc::channel();
        thread::spawn(move || done.send(self.child.wait()));
        let status = ended.recv_timeout(LIMIT).expect("it ends").expect("it is ours");
        assert!(status.success(), "{status}");
    }
}

/// Answers every request on every connection.
fn serve(listener: &TcpListener) {
    for connection in listener.incoming() {
        let Ok(mut connection) = connection else { return };
        thread::spawn(move || {
            let (mut head, mut piece) = (Vec::new(), [0; 4096]);
            while let Ok(n @ 1..) = connection.read(&mut piece) {
                head.extend_from_slice(&piece[..n]);
                if head.ends_with(b"\r\n\r\n") {
                    head.clear();
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    if connection.write_all(answer).is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// Asks over one connection, one request after the other; returns how many were answered.
fn visit(port: u16, host: &str) -> usize {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the relay listens");
    connection.set_read_timeout(Some(LIMIT)).expect("a timeout");
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let mut piece = [0; 4096];
    (0..REQUESTS_EACH)
        .take_while(|_| {
            connection.write_all(request.as_bytes()).expect("the relay reads");
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\nok") {
                match connection.read(&mut piece).expect("the relay answers") {
                    0 => return false,
                    n => answer.extend_from_slice(&piece[..n]),
                }
            }
            answer.starts_with(b"HTTP/1.1 200 ")
        })
        .count()
}

#[test]
fn output_that_nobody_reads_holds_up_neither_relay_nor_agent() {
    let home = std::env::temp_dir()
        .join(format!("hvym-tunnel-unread-{:016x}", getrandom::u64().expect("randomness")));
    fs::create_dir(&home).expect("a folder");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let service = listener.local_addr().expect("its address").port().to_string();
    thread::spawn(move || serve(&listener));
    let relay = Unread::start(&home, "relay", &["relay", "--listen", "127.0.0.1:0", "--json"]);
    let relay_url = relay.url();
    let authority = |url: &str| url.split("://").nth(1).unwrap_or_default().trim_end_matches('/').to_owned();
    let dial = format!("ws://{}", authority(&relay_url));
    let agent = Unread::start(&home, "agent", &["expose", &service, "--relay", &dial]);
    let host = authority(&agent.url());
    let port: u16 = host.rsplit(':').next().expect("a port").parse().expect("a number");
    let answered: usize = thread::scope(|scope| {
        let visitors: Vec<_> = (0..VISITORS).map(|_| scope.spawn(|| visit(port, &host))).collect();
        visitors.into_iter().map(|visitor| visitor.join().expect("no panic")).sum()
    });
    assert_eq!(answered, VISITORS * REQUESTS_EACH);
    agent.end();
    relay.end();
    fs::remove_dir_all(&home).expect("it was ours");
}
