//! The settings of an agent, and what is wrong with a combination of them.
//!
//! The feature `clap` makes a group of settings a group of options of a command line, in the words of its help. What is
//! wrong is said without the names of options.

mod compat;
mod filter;
mod link;
mod stream_limit;

use std::fmt;

use hvym_tunnel_net::target::{RelayUrl, ServiceName, Target};
use thiserror::Error;

use crate::credentials::CredentialsError;
pub(crate) use compat::needed_feature;
pub use compat::{CompatError, CompatSettings, CompatSystem};
pub use filter::{FilterSetting, FilterSettings, host as parse_host, network as parse_network};
pub use hvym_tunnel_net::config::KeepaliveSettings;
pub use link::{Auth, LinkSettings, RetrySettings};
pub(crate) use stream_limit::max_streams;

/// Something that only a relay of this protocol has, and no server of an older system.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Feature {
    /// A private service.
    PrivateService,
    /// A pinned relay identity.
    RelayAddress,
    /// A login by bearer token.
    BearerAuth,
    /// Networks of visitors: nobody there vouches for a visitor's address.
    Networks,
    /// The PROXY protocol, for the same reason.
    ProxyProtocol,
    /// More than one service.
    SeveralServices,
    /// A service that is not HTTP/1.1.
    RawStreams,
    /// Reaching the service of another identity.
    Forward,
    /// Acting for another identity.
    Delegation,
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Feature::PrivateService => "private services",
            Feature::RelayAddress => "an identity of its own",
            Feature::BearerAuth => "login by bearer token",
            Feature::Networks => "trustworthy addresses of visitors",
            Feature::ProxyProtocol => "trustworthy addresses of visitors for the PROXY protocol",
            Feature::SeveralServices => "several services for an agent",
            Feature::RawStreams => "streams that are not HTTP/1.1",
            Feature::Forward => "streams between agents",
            Feature::Delegation => "delegations",
        })
    }
}

/// Settings that are well formed, but contradict each other.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Anybody on the way could read what visitors send.
    #[error("{0} is not encrypted and leads away from this machine")]
    PlaintextRelay(RelayUrl),
    /// A token names its reader before the relay says who it is.
    #[error("a bearer token is made for one relay, whose address is not set")]
    BearerWithoutAddress,
    /// The first delay would be over the limit.
    #[error("the first retry delay is longer than the longest one")]
    BackoffOrder,
    /// No relay is set.
    #[error("no relay is set")]
    NoRelay,
    /// A forward without a service to reach.
    #[error("no service to forward to is set")]
    NoForwardTarget,
    /// HTTP services learn of their visitors by header fields.
    #[error("the PROXY protocol is for TCP services")]
    ProxyProtocolWithoutTcp,
    /// Identities come from no network.
    #[error("networks are about visitors, and a private service has none")]
    NetworksOfPrivate,
    /// Two services under one name.
    #[error("the service {0} is bound twice")]
    DuplicateService(ServiceName),
    /// A filter that works on HTTP/1.1 only.
    #[error("{setting} is kept for HTTP/1.1 alone, and {target} is not that")]
    HttpOnly {
        /// Which.
        setting: FilterSetting,
        /// The service's target.
        target: Target,
    },
    /// Visitors could not log in.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Something that a server of an older system does not have.
    #[error(transparent)]
    Compat(#[from] CompatError),
}
