//! Servers of older systems: how an agent logs in there, where its service is reached, and what to do about a refusal.

use std::sync::Arc;

use hvym_tunnel_compat::sealed_box::SealKey;
use hvym_tunnel_compat::{HvymFallback, TokenLogin};
use hvym_tunnel_core::dialect::{MUX_YAMUX, Proto};
use hvym_tunnel_core::handshake::SharedFallback;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_net::key::Identity;

use crate::config::{ForeignOptions, System};
use hvym_tunnel_net::exit::{Exit, Failure};
use hvym_tunnel_net::target::RelayUrl;

/// A server that knows this agent by a token.
#[derive(Clone, Debug)]
pub(super) struct Server {
    system: System,
    at: RelayUrl,
    force: bool,
    /// What the service carries.
    proto: Proto,
}

impl Server {
    /// The server `at` which `options` are about, for a service of this `proto`.
    pub(super) fn new(options: &ForeignOptions, at: RelayUrl, proto: Proto) -> Self {
        Self { system: options.system, at, force: options.force, proto }
    }

    /// Where visitors come, as far as that can be known; `name` is what the server calls the tunnel.
    pub(super) fn url(&self, name: &str) -> String {
        let scheme = if self.at.tls { "https" } else { "http" };
        let (usual, place) = (if self.at.tls { 443 } else { 80 }, self.at.authority());
        let place = place.strip_suffix(&format!(":{usual}")).unwrap_or(&place);
        match (self.system, self.proto) {
            // There, each visitor logs in, and is led to the agent of the same account.
            (System::CloudLlm, _) => format!("{scheme}://{place}"),
            // The server has a port for it, and tells only its operator which.
            (System::Tunely, Proto::Tcp | Proto::H2) => name.to_owned(),
            // No name can be put before an address.
            (System::Tunely, Proto::Http) if self.at.is_address() => format!("{scheme}://{place}/t/{name}/"),
            (System::Tunely, Proto::Http) => format!("{scheme}://{name}.{place}"),
        }
    }

    /// What a person should know about [`Self::url`].
    pub(super) fn note(&self) -> &'static str {
        match (self.system, self.proto) {
            (System::CloudLlm, _) => "visitors log in there, and those of your account are led here",
            (System::Tunely, Proto::Tcp | Proto::H2) => {
                "visitors come to the TCP port that the server's operator has given to this tunnel"
            }
            (System::Tunely, Proto::Http) => {
                "of a tunnel in TCP mode, visitors come to a port of the server that its operator knows"
            }
        }
    }

    /// What to do when it ends for this reason, where that is not what it would be at a relay of ours.
    pub(super) fn hint(&self, reason: &DownReason) -> Option<&'static str> {
        Some(match reason {
            DownReason::Authentication(_) => "check the token, and that its tunnel is there and enabled",
            DownReason::TokenInUse { known: false } if self.force => {
                "check the token, and that its tunnel is there and enabled"
            }
            DownReason::TokenInUse { known: true } => "stop the other agent, or take its place with --force",
            DownReason::TokenInUse { known: false } => {
                "check the token; if another agent is connected with it, --force takes its place"
            }
            DownReason::Replaced => "stop one of the two, or give each a token of its own",
            _ => return None,
        })
    }
}

/// `options` as the core wants them.
pub(super) fn login(options: &ForeignOptions) -> TokenLogin {
    match options.system {
        System::Tunely => TokenLogin::tunely(options.token.as_str(), options.force),
        System::CloudLlm => TokenLogin::cloud_llm(options.token.as_str()),
    }
}

/// Serves a relay that is an existing HVYM server: messages are sealed wherever the two accounts share a key.
pub(super) fn fallback(identity: &Arc<Identity>) -> SharedFallback {
    let identity = Arc::clone(identity);
    SharedFallback::new(HvymFallback::sealing(move |relay| {
        let key = identity.derive(|seed| SealKey::agree(seed, relay)).ok();
        if key.is_none() {
            // Its address is no usable key; what it asks for is signed all the same.
            tracing::warn!(%relay, "messages cannot be sealed");
        }
        key
    }))
}

/// The end of an agent that was asked for `option`, at a relay that turns out not to have it.
pub(super) fn unkept(option: &str, protocol: &str) -> Option<Failure> {
    (protocol != MUX_YAMUX).then(|| {
        let message = format!("this relay is an existing HVYM server, and {option} cannot be had from one");
        Failure::new(Exit::Config, message).with_hint("leave it out, or use a relay of hvym-tunnel")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Token;

    fn server(system: System, at: &str, proto: Proto) -> Server {
        let token = Token::of("t");
        Server::new(&ForeignOptions { system, token, force: false }, at.parse().expect("a URL"), proto)
    }

    #[test]
    fn the_address_is_before_the_servers_name_or_behind_its_number() {
        for (at, proto, url) in [
            ("wss://tunely.example", Proto::Http, "https://agent.tunely.example"),
            ("wss://tunely.example:8443/ws/tunnel", Proto::Http, "https://agent.tunely.example:8443"),
            ("ws://localhost:8000", Proto::Http, "http://agent.localhost:8000"),
            ("ws://127.0.0.1:8000", Proto::Http, "http://127.0.0.1:8000/t/agent/"),
            ("ws://[::1]", Proto::Http, "http://[::1]/t/agent/"),
            ("wss://tunely.example", Proto::Tcp, "agent"),
        ] {
            assert_eq!(server(System::Tunely, at, proto).url("agent"), url);
        }
        let cloud = server(System::CloudLlm, "wss://app.example", Proto::Http);
        assert_eq!(cloud.url(""), "https://app.example");
    }
}
