//! Settings of an agent that contradict each other, in the names of their options.

use hvym_tunnel_agent::settings::{CompatError, Feature, FilterSetting, SettingsError};

use crate::args::OptionError;
use crate::exit::{Exit, ExitError};

impl From<SettingsError> for ExitError {
    fn from(error: SettingsError) -> ExitError {
        let (message, hint) = match &error {
            SettingsError::Compat(error) => return (*error).into(),
            SettingsError::PlaintextRelay(_) => {
                (error.to_string(), "use wss://, or --plain-relay on a network you trust")
            }
            SettingsError::BearerWithoutAddress => (
                "--auth bearer makes a token for one relay, so it needs to know which".to_owned(),
                "add --relay-address G..., or use --auth challenge",
            ),
            SettingsError::ProxyProtocolWithoutTcp => (
                "--proxy-protocol is for TCP services, and none is exposed".to_owned(),
                "expose tcp://host:port, or leave it out: HTTP services see X-Forwarded-For",
            ),
            SettingsError::BackoffOrder => (
                "--backoff-initial is longer than --backoff-max".to_owned(),
                "raise --backoff-max or lower --backoff-initial",
            ),
            SettingsError::NoRelay => (
                "forward reaches a service by way of its relay, and none is named".to_owned(),
                "add --relay with the relay of the service's owner",
            ),
            SettingsError::NetworksOfPrivate => (
                "--allow-cidr is about visitors, and a private service has none".to_owned(),
                "leave out --allow-cidr: --allow names who may come",
            ),
            SettingsError::DuplicateService(_) => {
                (error.to_string(), "give each service its own name: --service NAME, --bind NAME=TARGET")
            }
            SettingsError::HttpOnly { setting, target } => (
                format!("{} is kept for HTTP/1.1 alone, and {target} is not that", option(*setting)),
                "leave it out, or expose that service by an agent of its own",
            ),
            SettingsError::Credentials(_) => (
                error.to_string(),
                "for example --basic-auth-file FILE with lines of USER:PASSWORD, or --basic-auth ann:secret",
            ),
            other => return ExitError::new(Exit::Config, other.to_string()),
        };
        ExitError::new(Exit::Config, message).with_hint(hint)
    }
}

impl From<CompatError> for ExitError {
    fn from(error: CompatError) -> ExitError {
        let (message, hint) = match error {
            CompatError::NoServer(system) => {
                (format!("--dialect {system} is about a server, and none is named"), "add --relay wss://HOST")
            }
            CompatError::Force => (
                "--force is for tunely, where the newest agent of a token does not win by itself".to_owned(),
                "leave it out, or use a relay of hvym-tunnel",
            ),
            CompatError::Several => (error.to_string(), "start an agent for each, with a token for each"),
            CompatError::Unsupported(feature) => (
                format!("{} cannot be had from a server of an older system", wanted(feature)),
                "leave it out, or use a relay of hvym-tunnel",
            ),
            other => return ExitError::new(Exit::Config, other.to_string()),
        };
        ExitError::new(Exit::Config, message).with_hint(hint)
    }
}

impl From<OptionError> for ExitError {
    fn from(error: OptionError) -> ExitError {
        let hint = match error {
            OptionError::AllowedButPublic => "add --private, or leave out --allow",
            OptionError::NoLogin(_) => "add --dialect tunely or --dialect cloud, or leave it out",
            OptionError::NoToken(_) => {
                "put it into a file that you alone can read (chmod 600), and add --token-file FILE"
            }
        };
        ExitError::new(Exit::Config, error.to_string()).with_hint(hint)
    }
}

fn option(setting: FilterSetting) -> &'static str {
    match setting {
        FilterSetting::Networks => "--allow-cidr",
        FilterSetting::Credentials => "--basic-auth",
        FilterSetting::CorsPreflight => "--cors-preflight",
        FilterSetting::Host => "--host-header",
        _ => "it",
    }
}

/// What was asked for that needs `feature`.
pub(super) fn wanted(feature: Feature) -> &'static str {
    match feature {
        Feature::PrivateService => "--private",
        Feature::RelayAddress => "--relay-address",
        Feature::BearerAuth => "--auth bearer",
        Feature::Networks => "--allow-cidr",
        Feature::ProxyProtocol => "--proxy-protocol",
        Feature::SeveralServices => "a second service",
        Feature::RawStreams => "a target of tcp:// or h2c://",
        Feature::Forward => "forward",
        Feature::Delegation => "a delegation",
        _ => "it",
    }
}
