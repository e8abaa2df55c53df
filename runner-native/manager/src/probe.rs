//! Checks of local services: by a connection, by a request, or as Ollama.

use std::time::Duration;

use hvym_tunnel_agent::ServiceSpec;
use hvym_tunnel_agent::probe::{LocalProbe, ProbeRequest};
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::timeout::within;
use serde_json::Value;

use crate::health::CheckReport;
use crate::settings::ServiceProbe;

/// Statuses from here on say that the service is not well.
const SERVER_ERROR: u16 = 500;
/// Models that are kept of one service.
const MAX_MODELS: usize = 1000;

/// Checks a service once, within `limit`.
///
/// # Errors
/// Why it is not well, for a person.
pub(crate) async fn check(
    spec: &ServiceSpec,
    kind: &ServiceProbe,
    limit: Duration,
) -> Result<CheckReport, String> {
    let timed_out =
        || Err(format!("{} did not answer within {} s", spec.target.place(), limit.as_secs_f64()));
    within(limit, check_now(spec, kind)).await.unwrap_or_else(timed_out)
}

async fn check_now(spec: &ServiceSpec, kind: &ServiceProbe) -> Result<CheckReport, String> {
    let probe =
        LocalProbe::new(spec.target.clone(), spec.ca.as_deref()).map_err(|error| error.to_string())?;
    let (clock, mut report) = (Clock::new(), CheckReport::default());
    let begun = clock.now();
    match kind {
        ServiceProbe::None => {}
        ServiceProbe::Tcp => probe.connect().await.map_err(|error| error.to_string())?,
        ServiceProbe::Http(path) => drop(get(&probe, path).await?),
        ServiceProbe::Ollama => {
            report.version = version(&get(&probe, "/api/version").await?);
            report.models = models(&get(&probe, "/api/tags").await?);
        }
    }
    report.latency = clock.now() - begun;
    Ok(report)
}

async fn get(probe: &LocalProbe, path: &str) -> Result<Vec<u8>, String> {
    let response = probe.request(ProbeRequest::get(path)).await.map_err(|error| error.to_string())?;
    match response.status {
        status if status >= SERVER_ERROR => Err(format!("{path} answered {status}")),
        _ => Ok(response.body),
    }
}

fn version(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    Some(body.get("version")?.as_str()?.to_owned())
}

fn models(body: &[u8]) -> Vec<String> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let names = body["models"].as_array().into_iter().flatten().filter_map(|model| model["name"].as_str());
    names.take(MAX_MODELS).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ollama_says_is_read_and_what_it_does_not_say_is_not_there() {
        assert_eq!(version(br#"{"version":"0.9.0"}"#).as_deref(), Some("0.9.0"));
        assert_eq!(
            models(br#"{"models":[{"name":"llama2:latest"},{"size":1},{"name":"qwen"}]}"#),
            ["llama2:latest", "qwen"]
        );
        for other in [&b"<html>"[..], b"{}", b"[]", br#"{"version":1,"models":{}}"#, b""] {
            assert_eq!((version(other), models(other)), (None, Vec::new()));
        }
    }

    #[test]
    fn no_more_models_are_kept_than_the_limit() {
        for (count, kept) in
            [(MAX_MODELS - 1, MAX_MODELS - 1), (MAX_MODELS, MAX_MODELS), (MAX_MODELS + 1, MAX_MODELS)]
        {
            let body = serde_json::json!({ "models": vec![serde_json::json!({ "name": "m" }); count] });
            assert_eq!(models(body.to_string().as_bytes()).len(), kept);
        }
    }
}
