//! `mcp`: a server of the Model Context Protocol (2025-06-18) over standard input and output, one JSON-RPC message a line.
//!
//! Standard output is the client's alone; what a person should know goes to standard error.

mod arguments;
mod protocol;
mod tools;
mod tunnels;

use std::future::pending;
use std::io::{self, BufRead, Read};
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use hvym_tunnel_agent::Signer;
use hvym_tunnel_agent::settings::LinkSettings;
use hvym_tunnel_net::known_relays::KnownRelays;
use serde_json::{Value, json};
use smol::channel::{Receiver, Sender, bounded};

use crate::exit::{Exit, ExitError};
use crate::output::write_out;
use crate::signals::StopSignals;
use protocol::{Message, error};
use tunnels::Tunnels;

/// The longest message. Those of clients are small; a line that never ends must not fill the memory.
const MAX_LINE_BYTES: usize = 1024 * 1024;
/// Lines that wait to be answered, and calls at once. A client that asks for more waits.
const MAX_CALLS: usize = 16;

/// What `mcp` does.
#[derive(Clone, Debug)]
pub(crate) struct McpOptions {
    /// The link to the relay; without one there is a relay of its own.
    pub(crate) link: LinkSettings,
    /// Where relays whose addresses nobody told are kept; `None` believes whoever answers.
    pub(crate) known_relays: Option<KnownRelays>,
    /// What the client may ask for.
    pub(crate) permissions: Permissions,
}

/// What the person who started the server lets the client ask for.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Permissions {
    /// Whether it may expose more than ports of this machine.
    pub(crate) any_target: bool,
    /// Whether public addresses are refused.
    pub(crate) private_only: bool,
}

/// A line of the client, or that it was too long.
type Line = Result<Vec<u8>, TooLong>;

/// A line has more than [`MAX_LINE_BYTES`].
struct TooLong;

/// Serves the client until its end of the input, or a signal; then everything that it exposed ends.
///
/// # Errors
/// Standard output is gone, or the system has no thread left.
pub(crate) async fn run(
    signer: Signer,
    options: McpOptions,
    mut signals: StopSignals,
) -> Result<(), ExitError> {
    let lines = read_lines()?;
    let tunnels = Arc::new(Tunnels::new(signer, options));
    let served = {
        let serving = Box::pin(serve(&lines, &tunnels));
        match select(serving, Box::pin(signals.next())).await {
            Either::Left((served, _)) => served,
            Either::Right(_) => Ok(()),
        }
    };
    tunnels.shutdown().await;
    served
}

/// Why [`serve`] woke.
enum Woke {
    /// A line, or the end of the input.
    Line(Option<Line>),
    /// A call is over; `None`: nothing is answered to it.
    Answered(Option<Value>),
}

async fn serve(lines: &Receiver<Line>, tunnels: &Arc<Tunnels>) -> Result<(), ExitError> {
    let mut calls = FuturesUnordered::new();
    let mut is_open = true;
    while is_open || !calls.is_empty() {
        let (may_read, is_idle) = (is_open && calls.len() < MAX_CALLS, calls.is_empty());
        let woke = {
            let line = pin!(async {
                match may_read {
                    true => Woke::Line(lines.recv().await.ok()),
                    false => pending().await,
                }
            });
            let answered = pin!(async {
                match is_idle {
                    true => pending().await,
                    false => Woke::Answered(calls.next().await.flatten()),
                }
            });
            select(line, answered).await.factor_first().0
        };
        match woke {
            Woke::Line(Some(line)) => calls.push(answer(line, Arc::clone(tunnels))),
            Woke::Line(None) => is_open = false,
            Woke::Answered(Some(answer)) => write_out(format!("{answer}\n").as_bytes())?,
            Woke::Answered(None) => {}
        }
    }
    Ok(())
}

/// What is answered to a line, if anything is.
async fn answer(line: Line, tunnels: Arc<Tunnels>) -> Option<Value> {
    let Ok(line) = line else {
        return Some(error(&Value::Null, protocol::INVALID_REQUEST, "it is too long"));
    };
    match Message::parse(&line) {
        Message::Request { id, method, parameters } => Some(match method.as_str() {
            "initialize" => protocol::result(&id, &protocol::initialized(&parameters)),
            "ping" => protocol::result(&id, &json!({})),
            "tools/list" => protocol::result(&id, &json!({ "tools": tools::list(&tunnels.scope()) })),
            "tools/call" => call(&id, &parameters, &tunnels).await,
            _ => error(&id, protocol::METHOD_NOT_FOUND, &format!("there is no method {method}")),
        }),
        Message::Other => None,
        Message::Malformed(answer) => Some(answer),
    }
}

async fn call(id: &Value, parameters: &Value, tunnels: &Tunnels) -> Value {
    let name = parameters["name"].as_str().unwrap_or_default();
    let outcome = match tools::Call::parse(name, &parameters["arguments"]) {
        None => return error(id, protocol::INVALID_PARAMS, &format!("there is no tool {name}")),
        Some(Err(reason)) => Err(reason),
        Some(Ok(call)) => tunnels.call(call).await,
    };
    protocol::result(id, &protocol::tool_result(outcome))
}

/// Reads lines on a thread of its own, which ends with the input or the process.
fn read_lines() -> Result<Receiver<Line>, ExitError> {
    let (sender, lines) = bounded(MAX_CALLS);
    let reading = std::thread::Builder::new().name("mcp-input".to_owned());
    let started = reading.spawn(move || send_lines(io::stdin().lock(), &sender));
    started.map_err(|error| {
        ExitError::new(Exit::Unexpected, format!("cannot start a thread that reads: {error}"))
    })?;
    Ok(lines)
}

/// Sends each line that is not empty, until the end of the input.
fn send_lines(mut input: impl BufRead, sender: &Sender<Line>) {
    let limit = MAX_LINE_BYTES as u64 + 1;
    loop {
        let mut line = Vec::new();
        // An input that cannot be read has ended.
        let Ok(read @ 1..) = input.by_ref().take(limit).read_until(b'\n', &mut line) else { return };
        let is_whole = line.ends_with(b"\n");
        while line.last().is_some_and(u8::is_ascii_whitespace) {
            line.pop();
        }
        let line = match is_whole || read < MAX_LINE_BYTES + 1 {
            true if line.is_empty() => continue,
            true => Ok(line),
            false if !skip_line(&mut input) => return,
            false => Err(TooLong),
        };
        if sender.send_blocking(line).is_err() {
            return;
        }
    }
}

/// Skips the rest of a line; `false` at the end of the input.
fn skip_line(input: &mut impl BufRead) -> bool {
    loop {
        let (used, is_end) = match input.fill_buf() {
            Ok([]) | Err(_) => return false,
            Ok(bytes) => match bytes.iter().position(|byte| *byte == b'\n') {
                Some(end) => (end + 1, true),
                None => (bytes.len(), false),
            },
        };
        input.consume(used);
        if is_end {
            return true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<Option<Vec<u8>>> {
        let (sender, lines) = bounded(MAX_CALLS);
        send_lines(io::BufReader::with_capacity(7, input), &sender);
        drop(sender);
        std::iter::from_fn(|| lines.try_recv().ok()).map(Result::ok).collect()
    }

    #[test]
    fn lines_are_sent_whole_and_without_their_ends() {
        let sent = lines(b"{\"a\":1}\r\n\n  \n{\"b\":2}\nlast");
        assert_eq!(sent, [&b"{\"a\":1}"[..], b"{\"b\":2}", b"last"].map(|line| Some(line.to_vec())));
    }

    #[test]
    fn a_line_is_taken_up_to_its_limit_and_skipped_beyond() {
        for (length, taken) in
            [(MAX_LINE_BYTES - 1, true), (MAX_LINE_BYTES, true), (MAX_LINE_BYTES + 1, false)]
        {
            let input = [vec![b'x'; length], b"\nnext\n".to_vec()].concat();
            let sent = lines(&input);
            assert_eq!((sent.len(), sent[0].is_some()), (2, taken), "{length}");
            assert_eq!(sent[1].as_deref(), Some(&b"next"[..]));
        }
    }
}
