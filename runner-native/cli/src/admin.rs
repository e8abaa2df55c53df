//! `admin`: one request to a relay for its operator, and its answer as tables or as JSON.

mod tables;

use http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::args::admin::{AdminArgs, AdminCommand};
use crate::exit::{Exit, ExitError};
use crate::output::write_out;

/// What is asked of the relay.
struct AdminRequest {
    method: Method,
    path: String,
    content: Option<Value>,
}

impl AdminRequest {
    fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), content: None }
    }

    fn post(path: &str, content: Value) -> Self {
        Self { method: Method::POST, path: path.to_owned(), content: Some(content) }
    }
}

impl From<&AdminCommand> for AdminRequest {
    fn from(command: &AdminCommand) -> Self {
        match command {
            AdminCommand::Status => AdminRequest::get("/api/v1/status"),
            AdminCommand::Agents => AdminRequest::get("/api/v1/agents"),
            AdminCommand::Sessions => AdminRequest::get("/api/v1/sessions"),
            AdminCommand::Services => AdminRequest::get("/api/v1/services"),
            AdminCommand::Names => AdminRequest::get("/api/v1/names"),
            AdminCommand::Relays => AdminRequest::get("/api/v1/relays"),
            AdminCommand::Bans => AdminRequest::get("/api/v1/bans"),
            AdminCommand::Limits => AdminRequest::get("/api/v1/limits"),
            AdminCommand::Config => AdminRequest::get("/api/v1/config"),
            AdminCommand::Metrics => AdminRequest::get("/metrics"),
            AdminCommand::Audit { limit } => AdminRequest::get(format!("/api/v1/audit?limit={limit}")),
            AdminCommand::Kick { agent, session, reason } => AdminRequest::post(
                "/api/v1/kicks",
                json!({ "agent": agent, "session": session, "reason": reason.reason }),
            ),
            AdminCommand::Ban { subject, period, reason } => AdminRequest::post(
                "/api/v1/bans",
                json!({
                    "subject": subject,
                    "seconds": period.map(|period| period.as_secs()),
                    "reason": reason.reason,
                }),
            ),
            AdminCommand::Unban { subject } => {
                let subject = utf8_percent_encode(subject, NON_ALPHANUMERIC);
                Self { method: Method::DELETE, path: format!("/api/v1/bans/{subject}"), content: None }
            }
            AdminCommand::Reload => AdminRequest::post("/api/v1/reload", json!({})),
            AdminCommand::Drain { period } => AdminRequest::post(
                "/api/v1/drain",
                json!({ "seconds": period.map(|period| period.as_secs()) }),
            ),
        }
    }
}

/// Sends the command, and shows the answer.
///
/// # Errors
/// No relay listens there, or it says no.
pub(crate) async fn run(arguments: AdminArgs) -> Result<(), ExitError> {
    let place = arguments.place()?;
    let AdminRequest { method, path, content } = AdminRequest::from(&arguments.command);
    let answer = place.ask(method, &path, content.map(|content| content.to_string())).await?;
    if !answer.status.is_success() {
        return Err(refusal(answer.status, &answer.body));
    }
    if matches!(arguments.command, AdminCommand::Metrics) {
        return write_out(&answer.body);
    }
    let value: Value = serde_json::from_slice(&answer.body)
        .map_err(|_| ExitError::new(Exit::Unexpected, "the relay's answer is not known here"))?;
    let shown = if arguments.json { format!("{value}\n") } else { tables::text(&arguments.command, &value) };
    write_out(shown.as_bytes())
}

/// An answer that says no.
fn refusal(status: StatusCode, body: &[u8]) -> ExitError {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let sentence = answer["error"].as_str().or_else(|| answer["detail"].as_str());
    let sentence = sentence.map_or_else(|| format!("the relay answered {status}"), str::to_owned);
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        let mut lines = sentence.lines();
        let first = lines.next().unwrap_or_default();
        let wrong =
            ExitError { more: lines.map(str::to_owned).collect(), ..ExitError::new(Exit::Config, first) };
        return wrong.with_hint("the relay goes on with what they said before");
    }
    let error = ExitError::new(Exit::Refused, sentence);
    if status == StatusCode::UNAUTHORIZED {
        return error.with_hint("name the file with the operator's key with --key-file");
    }
    error
}
