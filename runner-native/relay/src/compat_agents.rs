//! Agents of other systems, which have no identity and log in by token: recognizes them and checks their tokens.
//!
//! Knows no session. Tokens are compared in constant time, and no error tells which names exist.

mod cloud;
mod key_fetch;
mod key_set;
mod signatures;

use std::sync::Arc;

use http::header::{HeaderMap, SEC_WEBSOCKET_PROTOCOL, USER_AGENT};
use http::{HeaderValue, Request};
use hvym_tunnel_compat::CompatAgent;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_registry::TunnelRegistry;
use percent_encoding::percent_decode_str;

use crate::config::{GuestOptions, TunelyOptions};
use crate::http1::auth::bearer;
use cloud::Cloud;
pub use cloud::KeysError;
pub(crate) use cloud::{CloudAccount, CloudTokenError};
use hvym_tunnel_net::secret::Fingerprint;
pub(crate) use key_fetch::KeyFetch;

/// The prefix of a WebSocket subprotocol that carries a token.
const OFFERED: &str = "token-";

/// The system of an agent, which decides how its token is checked.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum TokenLogin {
    /// Tunely: the token comes in the first message.
    Tunely,
    /// CloudToLocalLLM: the token came in the upgrade.
    Cloud,
}

/// The agents of other systems that a relay serves.
#[derive(Debug, Default)]
pub(super) struct CompatAgents {
    tunely: Option<TunelyOptions>,
    cloud: Option<Arc<Cloud>>,
    /// Tunnels of Tunely's agents beside those that the options name.
    registry: Option<TunnelRegistry>,
}

impl CompatAgents {
    /// Those that the options name, and those of the registry.
    ///
    /// # Errors
    /// The keys that verify their tokens cannot be loaded.
    pub(super) fn new(options: &GuestOptions, registry: Option<TunnelRegistry>) -> Result<Self, KeysError> {
        let cloud = options.cloud.clone().map(Cloud::new).transpose()?.map(Arc::new);
        let registry = registry.filter(|_| options.tunely.is_some());
        Ok(Self { tunely: options.tunely.clone(), cloud, registry })
    }

    /// Whether any are served.
    pub(super) fn are_expected(&self) -> bool {
        self.tunely.is_some() || self.cloud.is_some()
    }

    /// The names that are reserved for them, connected or not.
    pub(super) fn names(&self) -> Vec<Arc<str>> {
        let tunnels = self.tunely.iter().flat_map(|tunely| tunely.tunnels.keys());
        let named = tunnels.chain(self.cloud.iter().flat_map(|cloud| cloud.names())).cloned();
        named.chain(self.registry.iter().flat_map(TunnelRegistry::names)).collect()
    }

    /// The names of tunnels that the options name.
    pub(super) fn tunnels(&self) -> impl Iterator<Item = &Arc<str>> {
        self.tunely.iter().flat_map(|tunely| tunely.tunnels.keys())
    }

    /// Whether the options name a tunnel so. It goes ahead of one of the registry.
    pub(super) fn has_tunnel(&self, name: &str) -> bool {
        self.tunely.as_ref().is_some_and(|tunely| tunely.tunnels.contains_key(name))
    }

    /// Whether the tunnel of this name is the registry's.
    pub(super) fn is_registered(&self, name: &str) -> bool {
        !self.has_tunnel(name) && self.registry.as_ref().is_some_and(|registry| registry.get(name).is_some())
    }

    /// The options for the tools of Tunely, if they are served.
    pub(super) fn tunely(&self) -> Option<&TunelyOptions> {
        self.tunely.as_ref()
    }

    /// Whether the operator enabled the tunnel of this name.
    pub(super) fn is_enabled(&self, name: &str) -> bool {
        let tunnels = self.tunely.as_ref().map(|tunely| &tunely.tunnels);
        tunnels.and_then(|tunnels| tunnels.get(name)).is_none_or(|tunnel| tunnel.enabled)
    }

    /// Whether agents of CloudToLocalLLM are served.
    pub(super) fn has_cloud(&self) -> bool {
        self.cloud.is_some()
    }

    /// Whether [`Self::reload`] has a file to reload.
    pub(super) fn has_file(&self) -> bool {
        self.cloud.as_ref().is_some_and(|cloud| cloud.has_file())
    }

    /// Reloads the key file; on an error the keys before stay in use. `None`: there is no key file.
    pub(super) fn reload(&self) -> Option<Result<(), KeysError>> {
        self.cloud.as_ref().and_then(|cloud| cloud.reload())
    }

    /// What fetches the keys of the login service; `None`: they are not fetched.
    pub(super) fn key_fetch(&self) -> Option<KeyFetch> {
        self.cloud.as_ref().and_then(KeyFetch::new)
    }

    /// Takes over the keys that were fetched for `earlier` options, where they are the same.
    pub(super) fn keep_keys(&self, earlier: &CompatAgents) {
        if let (Some(cloud), Some(earlier)) = (&self.cloud, &earlier.cloud) {
            cloud.keep_keys(earlier);
        }
    }

    /// Recognizes the system of an agent by its upgrade request. The header value is the subprotocol to select:
    /// browsers fail the connection if none that they offered is selected (RFC 6455 section 4.1).
    pub(super) fn recognize<B>(
        &self,
        request: &Request<B>,
    ) -> (CompatAgent, TokenLogin, Option<HeaderValue>) {
        let fields = request.headers();
        let offered = offered(fields);
        let token = bearer(fields).map(str::to_owned);
        let token = token.or_else(|| in_query(request.uri().query()?));
        let token = token.or_else(|| Some(offered?.strip_prefix(OFFERED)?.to_owned()));
        if self.cloud.is_some() && (token.is_some() || self.tunely.is_none()) {
            let mut taken = offered.and_then(|offered| HeaderValue::from_str(offered).ok());
            taken.iter_mut().for_each(|value| value.set_sensitive(true));
            return (CompatAgent::CloudLlm { token: token.unwrap_or_default() }, TokenLogin::Cloud, taken);
        }
        let user_agent = fields.get(USER_AGENT).and_then(|value| value.to_str().ok());
        (CompatAgent::Tunely { user_agent: user_agent.map(str::to_owned) }, TokenLogin::Tunely, None)
    }

    /// The name of the agent that logs in with `token`.
    ///
    /// # Errors
    /// The reason, which is sent to the agent.
    pub(super) fn check_token(&self, login: TokenLogin, token: &str) -> Result<Arc<str>, DownReason> {
        match login {
            TokenLogin::Tunely => self.tunnel(token),
            TokenLogin::Cloud => {
                self.account(token).map(|account| account.name).map_err(|error| match error {
                    CloudTokenError::Nameless => DownReason::NotAllowed(error.to_string()),
                    CloudTokenError::Missing | CloudTokenError::Invalid(_) => {
                        DownReason::Authentication(error.to_string())
                    }
                })
            }
        }
    }

    /// The CloudToLocalLLM account of `token`.
    ///
    /// # Errors
    /// The token is invalid, or its account has no name here.
    pub(super) fn account(&self, token: &str) -> Result<CloudAccount, CloudTokenError> {
        let is_taken = |name: &str| self.has_tunnel(name) || self.is_registered(name);
        self.cloud.as_ref().ok_or(CloudTokenError::Missing)?.check_token(token, is_taken)
    }

    fn tunnel(&self, token: &str) -> Result<Arc<str>, DownReason> {
        let shown = Fingerprint::new(token.as_bytes());
        let mut found = None;
        // Compares all of them, so that the time does not tell which matched.
        for (name, tunnel) in self.tunely.iter().flat_map(|tunely| &tunely.tunnels) {
            if tunnel.token.matches(&shown) && tunnel.enabled {
                found = Some(name);
            }
        }
        let registered = || {
            let tunnel = self.registry.as_ref()?.find(token).filter(|tunnel| tunnel.enabled)?;
            Some(tunnel.domain).filter(|name| !self.has_tunnel(name))
        };
        // The same text for both, so that it does not tell whether there is such a tunnel.
        let refusal = "the token is wrong, or its tunnel is disabled";
        found.cloned().or_else(registered).ok_or_else(|| DownReason::Authentication(refusal.to_owned()))
    }
}

/// The subprotocol that carries a token: the only header that a web page can set.
fn offered(fields: &HeaderMap) -> Option<&str> {
    let lists = fields.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).find(|offered| offered.starts_with(OFFERED))
}

/// The query parameter `token`.
fn in_query(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    percent_decode_str(value).decode_utf8().ok().map(|token| token.into_owned())
}
