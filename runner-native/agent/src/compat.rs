//! Servers of older systems that know agents by tokens: how an agent logs in there, and where its service is reached.

mod current_token;
mod ingress;

use std::sync::{Arc, OnceLock};

use hvym_tunnel_compat::HvymFallback;
use hvym_tunnel_compat::sealed_box::SealKey;
use hvym_tunnel_core::agent::{DialTarget, LoginFactory};
use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_core::handshake::SharedFallback;
use hvym_tunnel_net::signer::Signer;
use hvym_tunnel_net::socket::{self, DialOptions};
use hvym_tunnel_net::target::RelayUrl;

use crate::settings::{CompatSettings, CompatSystem};
use current_token::{CurrentToken, TokenLogins};
use ingress::Ingress;

/// A server that knows this agent by a token.
#[derive(Clone, Debug)]
pub(crate) struct CompatServer {
    system: CompatSystem,
    at: RelayUrl,
    /// What the service carries.
    proto: Proto,
    token: CurrentToken,
    force: bool,
    /// Where visitors come, once the server said it. Clones share it.
    ingress: Arc<OnceLock<Option<Ingress>>>,
}

impl CompatServer {
    /// The server `at`, for a service of this `proto`.
    pub(crate) fn new(settings: &CompatSettings, at: RelayUrl, proto: Proto) -> Self {
        let token = CurrentToken::new(settings.token.clone(), settings.token_file.clone());
        Self { system: settings.system, at, proto, token, force: settings.force, ingress: Arc::default() }
    }

    /// The logins of its links.
    pub(crate) fn logins(&self) -> impl LoginFactory + 'static {
        TokenLogins { system: self.system, token: self.token.clone(), force: self.force }
    }

    /// It is about to be dialled: the token is read again, and shown in the upgrade where this system wants it there.
    pub(crate) async fn renew_token(&self, options: &mut DialOptions) {
        self.token.renew().await;
        if self.system == CompatSystem::CloudLlm
            && let Ok(field) = socket::bearer(self.token.get().as_str())
        {
            options.token = Some(field);
        }
    }

    /// The server was dialled at `target`, and is asked what its address does not say.
    pub(crate) async fn handle_dialled(&self, target: &DialTarget, options: &DialOptions) {
        let is_unclear =
            self.system == CompatSystem::Tunely && self.proto == Proto::Http && self.at.is_address();
        if is_unclear && self.ingress.get().is_none() {
            let said = Ingress::ask(target, options).await;
            // An agent dials one server after the other: nobody was faster.
            let _first = self.ingress.set(said);
        }
    }

    /// Where visitors come, as far as that can be known; `name` is what the server calls the tunnel.
    pub(crate) fn url(&self, name: &str) -> String {
        let scheme = if self.at.tls { "https" } else { "http" };
        let (usual, place) = (if self.at.tls { 443 } else { 80 }, self.at.authority());
        let place = place.strip_suffix(&format!(":{usual}")).unwrap_or(&place);
        match (self.system, self.proto) {
            // There, each visitor logs in, and is routed to the agent of the same account.
            (CompatSystem::CloudLlm, _) => format!("{scheme}://{place}"),
            // The server has a port for it, and tells only its operator which.
            (CompatSystem::Tunely, Proto::Tcp | Proto::H2) => name.to_owned(),
            // No name can be put before an IP address.
            (CompatSystem::Tunely, Proto::Http) if self.at.is_address() => {
                match self.ingress.get().and_then(Option::as_ref) {
                    Some(Ingress::Path) => format!("{scheme}://{place}/t/{name}/"),
                    Some(Ingress::Domain(domain)) => {
                        let port =
                            if self.at.port == usual { String::new() } else { format!(":{}", self.at.port) };
                        format!("{scheme}://{name}.{domain}{port}")
                    }
                    None => name.to_owned(),
                }
            }
            (CompatSystem::Tunely, Proto::Http) => format!("{scheme}://{name}.{place}"),
        }
    }
}

/// Serves a relay that is an existing HVYM server: messages are sealed wherever the two accounts share a key, for which the agent
/// must hold its own.
pub(crate) fn fallback(signer: &Signer) -> SharedFallback {
    let identity = signer.identity().map(Arc::clone);
    SharedFallback::new(HvymFallback::sealing(move |relay| {
        let key = identity.as_ref().and_then(|own| own.derive(|seed| SealKey::agree(seed, relay)).ok());
        if key.is_none() {
            // Its address is no usable key, or the signer has ours; the login is signed all the same.
            tracing::warn!(%relay, "messages cannot be sealed");
        }
        key
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(system: CompatSystem, at: &str, proto: Proto) -> CompatServer {
        let token = "t".parse().expect("a token");
        let settings = CompatSettings { system, token, token_file: None, force: false };
        CompatServer::new(&settings, at.parse().expect("a URL"), proto)
    }

    #[test]
    fn the_address_is_before_the_servers_name_or_as_the_server_says_it() {
        let path = Some(Ingress::Path);
        let domain = Some(Ingress::Domain("tunely.example".to_owned()));
        for (at, proto, said, url) in [
            ("wss://tunely.example", Proto::Http, None, "https://agent.tunely.example"),
            ("wss://tunely.example:8443/ws/tunnel", Proto::Http, None, "https://agent.tunely.example:8443"),
            ("ws://localhost:8000", Proto::Http, None, "http://agent.localhost:8000"),
            ("ws://127.0.0.1:8000", Proto::Http, path.clone(), "http://127.0.0.1:8000/t/agent/"),
            ("ws://[::1]", Proto::Http, path, "http://[::1]/t/agent/"),
            ("ws://192.0.2.7:8000", Proto::Http, domain.clone(), "http://agent.tunely.example:8000"),
            ("wss://192.0.2.7", Proto::Http, domain, "https://agent.tunely.example"),
            ("ws://192.0.2.7", Proto::Http, None, "agent"),
            ("wss://tunely.example", Proto::Tcp, None, "agent"),
        ] {
            let server = server(CompatSystem::Tunely, at, proto);
            server.ingress.set(said).expect("nobody was asked");
            assert_eq!(server.url("agent"), url);
        }
        let cloud = server(CompatSystem::CloudLlm, "wss://app.example", Proto::Http);
        assert_eq!(cloud.url(""), "https://app.example");
    }
}
