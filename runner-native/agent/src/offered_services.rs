//! The services that an existing HVYM server takes, by its own word. Such a server refuses all others at the login, and is
//! known to be one only then.

use std::io;
use std::time::Duration;

use hvym_tunnel_net::http_get;
use hvym_tunnel_net::target::{RelayUrl, ServiceName};
use hvym_tunnel_net::timeout::within;
use serde::Deserialize;

use crate::builder::{dial_options, dial_url};
use crate::settings::LinkSettings;

/// How long the answer may take. A person waits for it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Info {
    services: Vec<String>,
}

/// The services at `/info` of `relay`, in its order; those whose names no service can have are left out.
///
/// # Errors
/// The relay does not answer, or says no such thing.
pub async fn offered_services(relay: &RelayUrl, link: &LinkSettings) -> io::Result<Vec<ServiceName>> {
    let options = dial_options(relay, link, None).map_err(io::Error::other)?;
    let (url, host) = (dial_url(relay), relay.host_field());
    let answer = within(ANSWER_TIMEOUT, http_get::get(&url, &host, "/info", &options)).await;
    let answer = answer.ok_or(io::ErrorKind::TimedOut)??;
    let info: Info = serde_json::from_slice(&answer.body)?;
    Ok(info.services.iter().filter_map(|name| name.parse().ok()).collect())
}
