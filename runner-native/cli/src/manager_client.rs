//! Commands to a manager that runs: one request, and its answer in words or as JSON.

use std::fmt::Write as _;
use std::path::Path;

use futures_util::future::{Either, select};
use http::Method;
use http_body_util::BodyExt;
use hvym_tunnel_manager::client::{ApiAddress, ClientError};
use hvym_tunnel_net::target::Target;
use serde_json::{Value, json};

use crate::args::client::{AlertsArgs, BindArgs, ClientArgs, EventsArgs, LinkArgs, StatusArgs, UnbindArgs};
use crate::exit::{Exit, ExitError};
use crate::output::write_out;
use crate::signals::StopSignals;

/// The longest line of an event stream: the whole status.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// Shows the status.
pub(crate) async fn status(arguments: StatusArgs) -> Result<(), ExitError> {
    let answer = arguments.client.address()?.call(Method::GET, "/api/status", None).await?;
    show(&arguments.client, &answer, status_text)
}

/// Starts, stops or restarts links, as `action` says.
pub(crate) async fn control(action: &str, arguments: LinkArgs) -> Result<(), ExitError> {
    let content = arguments.name.as_ref().map_or_else(|| json!({}), |name| json!({ "name": name }));
    let path = format!("/api/tunnel/{action}");
    let answer = arguments.client.address()?.call(Method::POST, &path, Some(&content)).await?;
    show(&arguments.client, &answer, message_text)
}

/// Adds a service.
pub(crate) async fn bind(arguments: BindArgs) -> Result<(), ExitError> {
    let BindArgs { binding, private, allow, probe, link, client } = arguments;
    let allow: Vec<String> = allow.iter().map(ToString::to_string).collect();
    let content = json!({
        "name": binding.service.as_str(),
        "target": absolute(&binding.target.to_string()),
        "private": private,
        "allow": allow,
        "probe": probe,
        "link": link,
    });
    let answer = client.address()?.call(Method::POST, "/api/v1/services", Some(&content)).await?;
    show(&client, &answer, message_text)
}

/// Removes a service.
pub(crate) async fn unbind(arguments: UnbindArgs) -> Result<(), ExitError> {
    let query = arguments.link.map(|link| format!("?link={link}")).unwrap_or_default();
    let path = format!("/api/v1/services/{}{query}", arguments.name);
    let answer = arguments.client.address()?.call(Method::DELETE, &path, None).await?;
    show(&arguments.client, &answer, message_text)
}

/// Shows alerts, or forgets those that are over.
pub(crate) async fn alerts(arguments: AlertsArgs) -> Result<(), ExitError> {
    let address = arguments.client.address()?;
    if arguments.clear {
        let answer = address.call(Method::DELETE, "/api/v1/alerts", None).await?;
        return show(&arguments.client, &answer, message_text);
    }
    let answer = address.call(Method::GET, "/api/v1/alerts", None).await?;
    show(&arguments.client, &answer, alerts_text)
}

/// Shows updates as they come.
pub(crate) async fn events(arguments: EventsArgs, mut signals: StopSignals) -> Result<(), ExitError> {
    let follow = Box::pin(follow(arguments.client.address()?, arguments.client.json));
    match select(follow, Box::pin(signals.next())).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(_) => Ok(()),
    }
}

async fn follow(address: ApiAddress, is_json: bool) -> Result<(), ExitError> {
    let response = address.open(Method::GET, "/api/v1/events", None).await?;
    if !response.status().is_success() {
        return Err(ExitError::new(Exit::Refused, format!("the manager answered {}", response.status())));
    }
    let (mut body, mut line) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { break };
        for byte in frame.into_data().unwrap_or_default() {
            if byte != b'\n' {
                if line.len() < MAX_EVENT_BYTES {
                    line.push(byte);
                }
                continue;
            }
            if let Some(text) = line.strip_prefix(b"data: ") {
                let event: Value = serde_json::from_slice(text).unwrap_or_default();
                let text = if is_json { event.to_string() } else { event_text(&event) };
                write_out(format!("{text}\n").as_bytes())?;
            }
            line.clear();
        }
    }
    Ok(())
}

/// A folder and a socket are looked for from here, and not from where the manager runs.
pub(crate) fn absolute(target: &str) -> String {
    let whole = |path: &Path| std::path::absolute(path).map(|path| path.display().to_string());
    match target.parse() {
        Ok(Target::Folder(path)) => whole(&path).unwrap_or_else(|_| target.to_owned()),
        Ok(Target::Socket(path)) => {
            whole(&path).map_or_else(|_| target.to_owned(), |path| format!("unix:{path}"))
        }
        _ => target.to_owned(),
    }
}

fn show(client: &ClientArgs, answer: &Value, text: impl FnOnce(&Value) -> String) -> Result<(), ExitError> {
    let text = if client.json { format!("{answer:#}") } else { harmless(&text(answer)) };
    write_out(format!("{}\n", text.trim_end()).as_bytes())
}

fn message_text(answer: &Value) -> String {
    word(&answer["message"]).to_owned()
}

/// A text, or nothing.
fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn status_text(status: &Value) -> String {
    let mut text = String::new();
    for link in list(&status["links"]) {
        let error = link["last_error"].as_str().map(|error| format!("  {error}")).unwrap_or_default();
        let (name, state, relay) = (word(&link["name"]), word(&link["state"]), word(&link["relay"]));
        let _written = writeln!(text, "{name:<16} {state:<14} {relay}{error}");
    }
    for service in list(&status["services"]) {
        let name = word(&service["name"]);
        let connection = &status["connections"][name];
        let quality = connection["quality"].as_str().unwrap_or("-");
        let (url, target) = (service["url"].as_str().unwrap_or("-"), word(&service["target"]));
        let error = connection["error"].as_str().map(|error| format!("  {error}")).unwrap_or_default();
        let _written = writeln!(text, "{name:<16} {quality:<14} {url} -> {target}{error}");
    }
    if text.is_empty() { "nothing is configured".to_owned() } else { text }
}

fn alerts_text(alerts: &Value) -> String {
    let mut text = String::new();
    for (heading, member) in [("", "active"), ("over: ", "history")] {
        for alert in list(&alerts[member]) {
            let (at, subject) = (word(&alert["raised_at"]), word(&alert["subject"]));
            let _written = writeln!(text, "{at}  {heading}{subject}: {}", word(&alert["message"]));
        }
    }
    if text.is_empty() { "no alerts".to_owned() } else { text }
}

fn event_text(event: &Value) -> String {
    let what = match word(&event["type"]) {
        "request" => {
            let request = &event["request"];
            let (method, path) = (word(&request["method"]), word(&request["path"]));
            format!("{} {method} {path} {}", word(&request["service"]), request["status"])
        }
        "state" => format!("{} is {}", word(&event["link"]["name"]), word(&event["state"])),
        "alert" => {
            let alert = &event["alert"];
            let is_over = if alert["cleared_at"].is_null() { "" } else { "over: " };
            format!("{is_over}{}: {}", word(&alert["subject"]), word(&alert["message"]))
        }
        "model_update" => format!("{} has the models {}", word(&event["connection"]), event["models"]),
        "status_update" => format!("status of {}", event["connection"].as_str().unwrap_or("everything")),
        other => other.to_owned(),
    };
    format!("{}  {}", word(&event["timestamp"]), harmless(&what.replace('\n', " ")))
}

/// What a visitor or a relay sent cannot steer a terminal.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

impl From<ClientError> for ExitError {
    fn from(error: ClientError) -> ExitError {
        match &error {
            ClientError::NotReached(..) => ExitError::new(Exit::UpstreamUnreachable, error.to_string())
                .with_hint("start one with hvym-tunnel manager, or name its API with --api"),
            ClientError::Refused { status: 401 | 403, .. } => {
                ExitError::new(Exit::Refused, error.to_string())
                    .with_hint("name the file of its token with --api-token-file")
            }
            ClientError::Refused { status: 400..500, .. } => ExitError::new(Exit::Config, error.to_string()),
            _ => ExitError::new(Exit::Unexpected, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_looked_for_from_here() {
        let here = std::env::current_dir().expect("a folder").display().to_string();
        assert_eq!(absolute("./site"), format!("{here}/site"));
        assert_eq!(absolute("unix:app.sock"), format!("unix:{here}/app.sock"));
        assert_eq!((absolute("3000"), absolute("/srv")), ("3000".to_owned(), "/srv".to_owned()));
    }

    #[test]
    fn what_visitors_send_cannot_steer_a_terminal() {
        let event = json!({ "type": "request", "timestamp": "T", "request":
            { "service": "web", "method": "GET", "path": "/\u{1b}[2J\n", "status": 200 } });
        assert_eq!(event_text(&event), "T  web GET / [2J  200");
    }

    #[test]
    fn a_status_is_a_line_for_each_link_and_service() {
        let status = json!({
            "links": [{ "name": "relay", "state": "connected", "relay": "wss://tunnel.example/connect", "last_error": null }],
            "services": [{ "name": "web", "url": "https://x.tunnel.example", "target": "http://localhost:3000" }],
            "connections": { "web": { "quality": "Critical", "error": "nothing is listening" } },
        });
        let text = status_text(&status);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].contains("connected") && lines[1].contains("Critical"), "{text}");
        assert!(lines[1].ends_with("http://localhost:3000  nothing is listening"), "{text}");
        assert_eq!(status_text(&json!({})), "nothing is configured");
    }
}
