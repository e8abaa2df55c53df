//! `requests`: asks the inspector of a running agent, and shows what it says.

mod client;
mod text;

use std::io::{self, Write};

use serde_json::Value;

use self::client::Client;
use crate::args::requests::{RequestsArgs, RequestsCommand};
use crate::exit::{Exit, ExitError};

/// Runs the command.
///
/// # Errors
/// No inspector is there, or it has no such request.
pub(crate) async fn run(arguments: RequestsArgs) -> Result<(), ExitError> {
    let RequestsArgs { inspector, follow, json, reveal, command } = arguments;
    let client = Client::new(&inspector)?;
    let query = if reveal { "?reveal" } else { "" };
    match command {
        None if follow => self::follow(&client, json).await,
        None => {
            let listed: Value = client.json("/api/requests").await?;
            let requests = listed["requests"].as_array().cloned().unwrap_or_default();
            requests.iter().try_for_each(|request| print(&line(request, json)))
        }
        Some(RequestsCommand::Show { id }) => {
            let detail: Value = client.json(&format!("/api/requests/{id}{query}")).await?;
            if json {
                return print(&detail.to_string());
            }
            let body = |side: &str| format!("/api/requests/{id}/{side}/body");
            let request = client.bytes(&body("request")).await?;
            // There may be no response yet.
            let response = match detail.get("response") {
                Some(_) => client.bytes(&body("response")).await?,
                None => Vec::new(),
            };
            let messages: Value = client.json(&format!("/api/requests/{id}/messages")).await?;
            print(&text::detail(&detail, &request, &response, &messages))
        }
        Some(RequestsCommand::Replay { id }) => {
            let sent = client.change("POST", &format!("/api/requests/{id}/replay")).await?;
            let sent: Value = serde_json::from_slice(&sent).unwrap_or_default();
            print(&if json { sent.to_string() } else { format!("sent again as {}", sent["id"]) })
        }
        Some(RequestsCommand::Curl { id }) => {
            let command = client.bytes(&format!("/api/requests/{id}/curl{query}")).await?;
            print(&String::from_utf8_lossy(&command))
        }
        Some(RequestsCommand::Har) => {
            let archive = client.bytes(&format!("/api/har{query}")).await?;
            print(&String::from_utf8_lossy(&archive))
        }
        Some(RequestsCommand::Clear) => client.change("DELETE", "/api/requests").await.map(drop),
    }
}

/// Prints each request once, when its response is over.
async fn follow(client: &Client, json: bool) -> Result<(), ExitError> {
    let mut events = client.events().await?;
    let mut last = 0;
    let mut waiting = std::collections::BTreeSet::new();
    while let Some((name, data)) = events.next().await? {
        if name != "requests" {
            continue;
        }
        for request in data["requests"].as_array().into_iter().flatten() {
            let id = request["id"].as_u64().unwrap_or_default();
            if id > last {
                last = id;
                waiting.insert(id);
            }
            if request["progress"] != "open" && waiting.remove(&id) {
                print(&line(request, json))?;
            }
        }
        // What is open may have made room for others and is never heard of again.
        while waiting.len() > hvym_tunnel_inspector::MAX_EXCHANGES {
            waiting.pop_first();
        }
    }
    Err(ExitError::new(Exit::Unexpected, "the agent has ended".to_owned()))
}

fn line(request: &Value, json: bool) -> String {
    if json { request.to_string() } else { text::line(request) }
}

fn print(text: &str) -> Result<(), ExitError> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let message = format!("cannot write to standard output: {error}");
            Err(ExitError::new(Exit::Unexpected, message))
        }
        _ => Ok(()),
    }
}
