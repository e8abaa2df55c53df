//! `admin`: one command to a relay's control socket, and its answer.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use serde::Serialize;

use crate::args::admin::{AdminArgs, AdminCommand};
use crate::exit::{Exit, ExitError};

/// A request of the control socket.
#[derive(Serialize)]
#[serde(tag = "command", rename_all = "snake_case")]
enum Request {
    Agents,
    Kick {
        agent: String,
        reason: String,
    },
    Ban {
        agent: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        seconds: Option<u64>,
        reason: String,
    },
    Unban {
        agent: String,
    },
    Bans,
    Reload,
}

impl From<AdminCommand> for Request {
    fn from(command: AdminCommand) -> Self {
        match command {
            AdminCommand::Agents => Request::Agents,
            AdminCommand::Kick { agent, reason } => Request::Kick { agent, reason: reason.reason },
            AdminCommand::Ban { agent, period, reason } => Request::Ban {
                agent: agent.to_string(),
                seconds: period.map(|period| period.as_secs()),
                reason: reason.reason,
            },
            AdminCommand::Unban { agent } => Request::Unban { agent: agent.to_string() },
            AdminCommand::Bans => Request::Bans,
            AdminCommand::Reload => Request::Reload,
        }
    }
}

/// Sends the command, and returns the answer, one line of JSON.
///
/// # Errors
/// No relay listens there, or it says no.
pub(crate) fn run(arguments: AdminArgs) -> Result<String, ExitError> {
    let socket = arguments.socket()?;
    let request = Request::from(arguments.command);
    let line = serde_json::to_string(&request).expect("texts and numbers always have a JSON form");
    let answer = ask(&socket, &line).map_err(|error| {
        let message = format!("no relay takes commands at {}: {error}", socket.display());
        ExitError::new(Exit::Config, message)
            .with_hint("name its --control or --state-dir, as the user who runs it")
    })?;
    let is_done = serde_json::from_str::<serde_json::Value>(&answer).is_ok_and(|answer| answer["ok"] == true);
    if is_done { Ok(answer) } else { Err(ExitError::new(Exit::Refused, refusal(&answer))) }
}

/// The sentence in an answer that says no.
fn refusal(answer: &str) -> String {
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap_or_default();
    answer["error"].as_str().unwrap_or("the relay's answer is not known here").to_owned()
}

#[cfg(unix)]
fn ask(socket: &Path, line: &str) -> std::io::Result<String> {
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    /// A relay that is busy answers within seconds.
    const LIMIT: Duration = Duration::from_secs(30);
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    Ok(answer)
}

#[cfg(not(unix))]
fn ask(_socket: &Path, _line: &str) -> std::io::Result<String> {
    Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "this system has no Unix sockets"))
}
