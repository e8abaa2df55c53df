//! How a relay uses connections to services.

use hvym_proxy::Reuse;
use serde::{Deserialize, Serialize};

/// Which connections to a service may carry requests of more than one visitor.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum ReusePolicy {
    /// None: each visitor's connection has connections of its own.
    #[cfg_attr(feature = "clap", value(help = "Each visitor's connection has its own"))]
    Never,
    /// Those of which nothing can be left over.
    #[default]
    #[cfg_attr(feature = "clap", value(help = "Visitors share those that carried only GET, and no NTLM"))]
    Safe,
    /// All: one visitor's login on a connection may serve another.
    #[cfg_attr(feature = "clap", value(help = "Visitors share all: one's login may serve another"))]
    Always,
}

impl From<ReusePolicy> for Reuse {
    fn from(policy: ReusePolicy) -> Self {
        match policy {
            ReusePolicy::Never => Reuse::Never,
            ReusePolicy::Safe => Reuse::Safe,
            ReusePolicy::Always => Reuse::Always,
        }
    }
}

/// How a relay uses connections to services.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Services"))]
pub struct UpstreamSettings {
    /// Which connections visitors share. The relay's choice and not the agent's: the default is right for every service,
    /// and a service that needs more connections for it is not in danger.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_enum,
            value_name = "WHEN",
            default_value_t,
            env = "HVYM_TUNNEL_REUSE",
            hide_env = true,
            help = "Which connections to a service visitors share",
            long_help = "Which connections to a service visitors share\n\n\
            A connection that carried anything but GET without a body, or a login by NTLM or Negotiate, stays with its \
            visitor's connection; of a service that said something unasked all do. With `always` it does not: with a service that logs in connections, or does not read every \
            body, one visitor can get another one's login or answer. With `never` a service has a connection for each visitor.",
        )
    )]
    pub reuse: ReusePolicy,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_what_visitors_share_as_the_command_line_does() {
        let reuse = |text| toml::from_str::<UpstreamSettings>(text).map(|settings| settings.reuse.into());
        assert_eq!(reuse(""), Ok(Reuse::Safe));
        assert_eq!(reuse("reuse = \"never\""), Ok(Reuse::Never));
        assert_eq!(reuse("reuse = \"always\""), Ok(Reuse::Always));
        assert!(reuse("reuse = \"sometimes\"").is_err());
    }
}
