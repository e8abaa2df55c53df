//! Where visitors come to a tunely server that is dialled by its IP address, by its own word: newer ones have a path for each
//! tunnel, older ones only names before their domain.

use std::io;
use std::time::Duration;

use hvym_tunnel_core::agent::DialTarget;
use hvym_tunnel_net::http_get;
use hvym_tunnel_net::socket::DialOptions;
use hvym_tunnel_net::timeout::within;
use serde::Deserialize;

/// How long both answers may take. The login waits for them, once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// The path of a tunnel that no name can have. A server with such paths says that it is not connected.
const NOBODYS_PATH: &str = "/t/-";

/// Where visitors come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ingress {
    /// To `/t/NAME/`.
    Path,
    /// To the name before this domain.
    Domain(String),
}

#[derive(Deserialize)]
struct Info {
    domain: Domain,
}

#[derive(Deserialize)]
struct Domain {
    suffix: String,
}

impl Ingress {
    /// Asks the server that was just dialled; `None` if it does not say.
    pub(crate) async fn ask(target: &DialTarget, options: &DialOptions) -> Option<Self> {
        let asked = within(ANSWER_TIMEOUT, ask(target, options)).await;
        match asked.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into())) {
            Ok(ingress) => ingress,
            Err(error) => {
                tracing::debug!(%error, "asked where visitors come");
                None
            }
        }
    }
}

async fn ask(target: &DialTarget, options: &DialOptions) -> io::Result<Option<Ingress>> {
    let get = async |path| http_get::get(&target.relay, &target.host, path, options).await;
    if get(NOBODYS_PATH).await?.status != 404 {
        return Ok(Some(Ingress::Path));
    }
    let info: Info = serde_json::from_slice(&get("/api/info").await?.body)?;
    Ok(domain(&info.domain.suffix).map(Ingress::Domain))
}

/// The domain in `.domain`, if it can stand in a URL.
fn domain(suffix: &str) -> Option<String> {
    let domain = suffix.strip_prefix('.')?;
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    (!domain.is_empty() && domain.bytes().all(is_host)).then(|| domain.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_what_can_stand_in_a_url() {
        assert_eq!(domain(".Tunely.example").as_deref(), Some("tunely.example"));
        for suffix in ["", ".", "tunely.example", ".a/b", ".a b", ".a:1", ".user@host", ".\u{e9}"] {
            assert_eq!(domain(suffix), None, "{suffix}");
        }
    }
}
