//! `tunnel`: creates and changes the tunnels of a relay by its HTTP API.

use std::io::{self, BufRead, IsTerminal, Write};

use hvym_tunnel_net::http_get::{self, PlainRequest};
use hvym_tunnel_net::proxy::Proxy;
use hvym_tunnel_net::socket::DialOptions;
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::tls::Trust;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use crate::args::tunnel::{ANSWER_TIMEOUT, Consent, Switch, Texts, TunnelArgs, TunnelCommand};
use crate::exit::{Exit, ExitError};
use crate::output::write_out;

/// The largest answer: a list of a full registry has 60 MB.
const MAX_ANSWER_BYTES: usize = 128 * 1024 * 1024;

/// Runs a command.
///
/// # Errors
/// The relay cannot be reached, or refuses it.
pub(crate) async fn run(arguments: TunnelArgs) -> Result<(), ExitError> {
    let client = Client::new(&arguments)?;
    let tunnel = |domain: &str| format!("/api/tunnels/{}", utf8_percent_encode(domain, NON_ALPHANUMERIC));
    let (answer, show): (Value, fn(&Value) -> String) = match &arguments.command {
        TunnelCommand::Create { domain, texts } => {
            let mut body = fields(texts);
            body.insert("domain".to_owned(), json!(domain));
            (client.ask("POST", "/api/tunnels", Some(body)).await?, created)
        }
        TunnelCommand::List => (client.ask("GET", "/api/tunnels", None).await?, listed),
        TunnelCommand::Show { domain } => (client.ask("GET", &tunnel(domain), None).await?, shown),
        TunnelCommand::Update { domain, texts, log_requests } => {
            let mut body = fields(texts);
            if let Some(switch) = log_requests {
                body.insert("log_requests".to_owned(), json!(*switch == Switch::On));
            }
            (client.ask("PUT", &tunnel(domain), Some(body)).await?, shown)
        }
        TunnelCommand::Enable { domain } | TunnelCommand::Disable { domain } => {
            let enabled = matches!(arguments.command, TunnelCommand::Enable { .. });
            let body = Map::from_iter([("enabled".to_owned(), json!(enabled))]);
            (client.ask("PUT", &tunnel(domain), Some(body)).await?, shown)
        }
        TunnelCommand::Rotate { domain, consent } => {
            confirm(consent, &format!("Cut off the agent of {domain}, and give it another token?"))?;
            (client.ask("POST", &format!("{}/regenerate-token", tunnel(domain)), None).await?, created)
        }
        TunnelCommand::Delete { domain, consent } => {
            confirm(consent, &format!("Delete {domain}, and the log of its requests?"))?;
            (client.ask("DELETE", &tunnel(domain), None).await?, deleted)
        }
        TunnelCommand::Logs { domain, limit, offset } => {
            let path = format!("{}/logs?limit={limit}&offset={offset}", tunnel(domain));
            (client.ask("GET", &path, None).await?, logged)
        }
    };
    let said = if arguments.json { format!("{answer}\n") } else { show(&answer) };
    write_out(said.as_bytes())
}

/// Asks a person, unless it was said before.
fn confirm(consent: &Consent, question: &str) -> Result<(), ExitError> {
    if consent.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(ExitError::new(Exit::Config, "nobody is here to be asked").with_hint("say --yes"));
    }
    eprint!("{question} [y/N] ");
    let _shown = io::stderr().flush();
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    match read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes") {
        true => Ok(()),
        false => Err(ExitError::new(Exit::Config, "nothing was changed")),
    }
}

/// Who asks the relay.
struct Client {
    url: String,
    host: String,
    /// Name and value.
    credential: (&'static str, String),
    options: DialOptions,
}

impl Client {
    fn new(arguments: &TunnelArgs) -> Result<Self, ExitError> {
        let server = &arguments.server;
        if !server.tls && !server.is_loopback() && !arguments.plain_relay {
            let message = format!("over http:// everybody on the way to {} can read the key", server.host);
            return Err(
                ExitError::new(Exit::Config, message).with_hint("write https://, or say --plain-relay")
            );
        }
        let wrong = |message: String| ExitError::new(Exit::Config, message);
        let trust = match &arguments.relay_ca {
            Some(path) => Trust::with_authorities(path)
                .map_err(|error| wrong(format!("cannot use {}: {error}", path.display())))?,
            None => Trust::Verify,
        };
        let proxy = Proxy::from_variables(server, |name| std::env::var(name).ok())
            .map_err(|error| wrong(error.to_string()))?;
        let key = arguments.key()?;
        let key = String::from_utf8_lossy(key.bytes()).into_owned();
        // A token of a login service has three parts (RFC 7515 section 3.1).
        let credential = match key.split('.').count() == 3 {
            true => ("Authorization", format!("Bearer {key}")),
            false => ("X-Api-Key", key),
        };
        let options = DialOptions { allow_plaintext: true, trust, proxy, token: None };
        Ok(Self { url: server.to_string(), host: server.host_field(), credential, options })
    }

    /// What the relay answers, as JSON.
    async fn ask(
        &self,
        method: &str,
        path: &str,
        body: Option<Map<String, Value>>,
    ) -> Result<Value, ExitError> {
        let body = body.map(|body| Value::Object(body).to_string()).unwrap_or_default();
        let (name, value) = &self.credential;
        let request = PlainRequest { method, path, fields: &[(name, value)], body: body.as_bytes() };
        let sent = http_get::send(&self.url, &self.host, &request, MAX_ANSWER_BYTES, &self.options);
        let unreachable = |reason: String| {
            ExitError::new(Exit::RelayUnreachable, format!("{} cannot be asked: {reason}", self.host))
        };
        let answer = match within(ANSWER_TIMEOUT, sent).await {
            Some(answer) => answer.map_err(|error| unreachable(error.to_string()))?,
            None => return Err(unreachable("it does not answer in time".to_owned())),
        };
        let value: Result<Value, _> = serde_json::from_slice(&answer.body);
        match (answer.status, value) {
            (200, Ok(value)) => Ok(value),
            (401, value) => Err(ExitError::new(Exit::Refused, reason(401, value.ok()))),
            (409, value) => Err(ExitError::new(Exit::NameConflict, reason(409, value.ok()))),
            (status, value) => Err(ExitError::new(Exit::Config, reason(status, value.ok()))),
        }
    }
}

/// What an answer says that is no success.
fn reason(status: u16, said: Option<Value>) -> String {
    let detail = said.as_ref().and_then(|said| said.get("detail"));
    let text = match detail {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(errors)) => {
            errors.first().and_then(|error| error["msg"].as_str()).map(str::to_owned)
        }
        _ => None,
    };
    let text = text.unwrap_or_else(|| format!("the relay answers {status}, and no such API is there"));
    safe(&text)
}

fn fields(texts: &Texts) -> Map<String, Value> {
    let texts = [("name", &texts.name), ("description", &texts.description)];
    texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), json!(text.as_ref()?)))).collect()
}

/// A text of others, without what a terminal would obey.
fn safe(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => safe(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    }
}

fn created(answer: &Value) -> String {
    format!("{}  {}\nThe token is not shown again.\n", text(&answer["domain"]), text(&answer["token"]))
}

fn deleted(answer: &Value) -> String {
    format!("{} is deleted\n", text(&answer["domain"]))
}

fn shown(answer: &Value) -> String {
    let object = answer.as_object().cloned().unwrap_or_default();
    let is_told = |key: &str| key != "token";
    object
        .iter()
        .filter(|(key, _)| is_told(key))
        .map(|(key, value)| format!("{key:<18} {}\n", text(value)))
        .collect()
}

fn listed(answer: &Value) -> String {
    let head = ["DOMAIN", "NAME", "ENABLED", "CONNECTED", "REQUESTS", "LAST CONNECTED"].map(str::to_owned);
    let row = |tunnel: &Value| {
        ["domain", "name", "enabled", "connected", "total_requests", "last_connected_at"]
            .map(|key| text(&tunnel[key]))
    };
    table(std::iter::once(head).chain(answer.as_array().into_iter().flatten().map(row)).collect())
}

fn logged(answer: &Value) -> String {
    let head = ["TIME", "METHOD", "PATH", "STATUS", "MS", "ERROR"].map(str::to_owned);
    let row = |log: &Value| {
        ["timestamp", "method", "path", "status_code", "duration_ms", "error"].map(|key| text(&log[key]))
    };
    let rows = table(
        std::iter::once(head).chain(answer["logs"].as_array().into_iter().flatten().map(row)).collect(),
    );
    format!("{rows}{} in all\n", text(&answer["total"]))
}

/// Rows in columns.
fn table(rows: Vec<[String; 6]>) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..6).map(width).collect();
    let line = |row: &[String; 6]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_are_listed_in_columns_without_what_a_terminal_obeys() {
        let list = json!([{"domain": "a", "name": "x\u{1b}[2J", "enabled": true, "connected": false, "total_requests": 7,
            "last_connected_at": null}]);
        let expected = "DOMAIN  NAME   ENABLED  CONNECTED  REQUESTS  LAST CONNECTED\na       x\u{fffd}[2J  yes      no         7         -\n";
        assert_eq!(listed(&list), expected);
    }

    #[test]
    fn what_the_relay_refuses_is_told_in_its_words() {
        assert_eq!(reason(409, Some(json!({"detail": "Domain already exists"}))), "Domain already exists");
        assert_eq!(reason(422, Some(json!({"detail": [{"msg": "Field required"}]}))), "Field required");
        assert!(reason(404, None).contains("404"));
    }
}
