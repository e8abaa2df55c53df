//! `health`: one request, whose status decides how the program ends.

use http::Method;

use crate::args::health::HealthArgs;
use crate::exit::{Exit, ExitError};
use crate::output::write_out;
use crate::relay_client::RelayPlace;
use crate::report::escaped;

/// What is asked where the URL says nothing else.
const DEFAULT_PATH: &str = "/readyz";

/// Asks, and says what the answer was.
///
/// # Errors
/// There is no answer, or it is no success.
pub(crate) async fn run(arguments: HealthArgs) -> Result<(), ExitError> {
    let (place, path) = split(&arguments.url)?;
    let answer = place.ask(Method::GET, &path, None).await;
    let answer = answer.map_err(|error| ExitError { exit: Exit::RelayUnreachable, ..error })?;
    let text = String::from_utf8_lossy(&answer.body);
    let line = escaped(text.lines().next().unwrap_or_default()).into_owned();
    if answer.status.is_success() {
        return write_out(format!("{line}\n").as_bytes());
    }
    Err(ExitError::new(Exit::RelayUnreachable, format!("{place} answered {}: {line}", answer.status)))
}

/// The server, and what is asked of it.
fn split(url: &str) -> Result<(RelayPlace, String), ExitError> {
    if let Some(path) = url.strip_prefix("unix:") {
        return Ok((RelayPlace::Socket(path.into()), DEFAULT_PATH.to_owned()));
    }
    let after = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = after.find('/').map(|at| &after[at..]).filter(|path| *path != "/").unwrap_or(DEFAULT_PATH);
    Ok((RelayPlace::parse(url, None)?, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path_asks_whether_visitors_are_served() {
        for (url, place, path) in [
            ("http://127.0.0.1:9100", "http://127.0.0.1:9100", "/readyz"),
            ("http://127.0.0.1:9100/", "http://127.0.0.1:9100", "/readyz"),
            ("https://tunnel.example/healthz?x", "https://tunnel.example:443", "/healthz?x"),
            ("unix:/run/relay/control.sock", "/run/relay/control.sock", "/readyz"),
        ] {
            let (asked, found) = split(url).expect("a URL");
            assert_eq!((asked.to_string().as_str(), found.as_str()), (place, path), "{url}");
        }
        assert!(split("ftp://a").is_err());
    }
}
