//! What is run when a service can be reached, or no more, and when an alert is raised.

mod trigger;

use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hvym_tunnel_agent::probe::{LocalProbe, ProbeRequest};
use hvym_tunnel_net::target::{Scheme, Target, is_loopback_host};
use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

pub(crate) use self::trigger::{HookBook, HookEvent};
use crate::settings::{HookAction, HookContent, HookKind};

/// Between two tries.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How often a program that was started is looked at.
const EXIT_POLL: Duration = Duration::from_millis(20);
/// All but the unreserved characters of a URL (RFC 3986 section 2.3), as forms are sent.
const FORM_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What stands for the names in braces.
pub(crate) type Values = Vec<(&'static str, String)>;

/// Runs an action, as often as it may be tried.
///
/// # Errors
/// Why the last try failed.
pub(crate) async fn run(action: &HookAction, values: &Values) -> Result<(), String> {
    let mut last = "it is never tried".to_owned();
    for attempt in 0..action.tries {
        if attempt > 0 {
            Timer::after(RETRY_DELAY).await;
        }
        match run_once(action, values).await {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn run_once(action: &HookAction, values: &Values) -> Result<(), String> {
    match &action.kind {
        HookKind::Exec { command, input } => {
            let words: Vec<String> = command.iter().map(|word| filled(word, values)).collect();
            let input =
                input.as_ref().map(|input| filled_json(input, values).to_string()).unwrap_or_default();
            let limit = action.timeout;
            smol::unblock(move || execute(&words, &input, limit)).await
        }
        HookKind::Post { target, path, content } => {
            let (kind, content) = encoded(content, values);
            let post = post(target, path, kind, &content);
            let timed_out = || Err(format!("no answer within {} s", action.timeout.as_secs_f64()));
            within(action.timeout, post).await.unwrap_or_else(timed_out)
        }
    }
}

async fn post(target: &Target, path: &str, kind: &str, content: &[u8]) -> Result<(), String> {
    check_target(target)?;
    let probe = LocalProbe::new(target.clone(), None).map_err(|error| error.to_string())?;
    let response = probe.request(ProbeRequest::post(path, kind, content)).await;
    match response.map_err(|error| error.to_string())?.status {
        200..400 => Ok(()),
        status => Err(format!("{path} answered {status}")),
    }
}

/// A certificate goes unchecked only on this machine.
fn check_target(target: &Target) -> Result<(), String> {
    match target {
        Target::Origin(origin) if matches!(origin.scheme, Scheme::Https { verify: false }) => {
            let refused =
                || format!("{} is not on this machine, and its certificate would go unchecked", origin.host);
            is_loopback_host(&origin.host).then_some(()).ok_or_else(refused)
        }
        _ => Ok(()),
    }
}

/// `text` with each name in braces replaced.
fn filled(text: &str, values: &Values) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// The content, and its type.
fn encoded(content: &HookContent, values: &Values) -> (&'static str, Vec<u8>) {
    match content {
        HookContent::Form(fields) => {
            let encode = |text: &str| utf8_percent_encode(&filled(text, values), FORM_VALUE).to_string();
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
            ("application/x-www-form-urlencoded", fields.join("&").into_bytes())
        }
        HookContent::Json(value) => ("application/json", filled_json(value, values).to_string().into_bytes()),
    }
}

fn filled_json(value: &Value, values: &Values) -> Value {
    match value {
        Value::String(text) => Value::String(filled(text, values)),
        Value::Array(items) => items.iter().map(|item| filled_json(item, values)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), filled_json(member, values))).collect()
        }
        other => other.clone(),
    }
}

/// Runs a program to its end, or kills it after `limit`.
fn execute(words: &[String], input: &str, limit: Duration) -> Result<(), String> {
    let (name, arguments) = words.split_first().ok_or("there is nothing to run")?;
    let failed = |error: io::Error| format!("{name}: {error}");
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // It fits the buffer of a pipe, so that this never waits; a program that does not read it is no error.
        let _unread = stdin.write_all(input.as_bytes());
    }
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("{name}: {status}")),
            None if Instant::now() >= deadline => {
                let _killed = child.kill();
                let _gone = child.wait();
                return Err(format!("{name} did not end within {} s", limit.as_secs_f64()));
            }
            None => std::thread::sleep(EXIT_POLL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        vec![("url", "https://a.example/?x=1&y".to_owned()), ("service", "web".to_owned())]
    }

    #[test]
    fn names_in_braces_are_replaced_in_forms_and_documents() {
        let form = HookContent::Form(vec![("gateway".to_owned(), "{url}".to_owned())]);
        let (kind, content) = encoded(&form, &values());
        assert_eq!(kind, "application/x-www-form-urlencoded");
        assert_eq!(content, b"gateway=https%3A%2F%2Fa.example%2F%3Fx%3D1%26y");
        let json = HookContent::Json(serde_json::json!({"at": ["{url}", 1], "text": "{service} {other}"}));
        let (_, content) = encoded(&json, &values());
        let content: Value = serde_json::from_slice(&content).expect("JSON");
        assert_eq!(
            content,
            serde_json::json!({"at": ["https://a.example/?x=1&y", 1], "text": "web {other}"})
        );
    }

    #[test]
    fn a_certificate_goes_unchecked_on_this_machine_alone() {
        for (target, fine) in [
            ("https+insecure://127.0.0.1:9999", true),
            ("https+insecure://[::1]:9999", true),
            ("https+insecure://localhost:9999", true),
            ("https+insecure://10.0.0.1:9999", false),
            ("https+insecure://localhost.example:9999", false),
            ("https://10.0.0.1:9999", true),
        ] {
            assert_eq!(check_target(&target.parse().expect("a target")).is_ok(), fine, "{target}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_program_ends_by_itself_or_is_killed() {
        let run = |words: &[&str], limit| {
            execute(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), "an alert", limit)
        };
        let long = Duration::from_secs(60);
        assert_eq!(run(&["true"], long), Ok(()));
        assert_eq!(run(&["grep", "-q", "^an alert$"], long), Ok(()));
        assert!(run(&["false"], long).is_err_and(|error| error.contains("exit status: 1")));
        assert!(run(&["/no/such/program"], long).is_err());
        assert!(run(&["sleep", "1000"], Duration::ZERO).is_err_and(|error| error.contains("did not end")));
        assert!(run(&[], long).is_err());
    }
}
