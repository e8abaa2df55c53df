//! The settings of logins: the names by which agents may dial, and how long a token may be good.

use std::time::Duration;

use hvym_tunnel_core::stellar::MAX_LIFETIME;
use hvym_tunnel_net::seconds;
use serde::{Deserialize, Serialize};

use super::text;

/// What a relay wants of logins.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Agents"))]
pub struct LoginSettings {
    /// Names by which agents may dial, beside the domain: hosts, at the ports of the relay, or hosts with the port that alone is
    /// meant, or `*`; lower case. A login is bound to the name that was dialled, so name nothing that may lead to somebody else.
    #[serde(rename = "also_name", deserialize_with = "text::read_authorities")]
    #[cfg_attr(feature = "clap", arg(
        long = "also-name", value_name = "HOST", value_delimiter = ',', value_parser = text::authority,
        env = "HVYM_TUNNEL_ALSO_NAME", hide_env = true,
        help = "Let agents dial by this name too (host, host:port or host:*); repeat for more",
        long_help = "Let agents dial by this name too (host, host:port or host:*); repeat for more\n\n\
            A login is bound to the name that the agent dialled. Without this, agents dial the domain, or localhost on this machine, \
            at the port listened on or the public one.",
    ))]
    pub also_names: Vec<String>,
    /// The longest time for which a token may be good that is not for one challenge alone. Whoever steals one has it for so long.
    #[serde(with = "seconds")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "SECS", value_parser = seconds::parse, default_value = "86400",
        env = "HVYM_TUNNEL_MAX_TOKEN_LIFETIME", hide_env = true,
        help = "Refuse bearer and API tokens that are good for longer than this",
    ))]
    pub max_token_lifetime: Duration,
}

impl Default for LoginSettings {
    /// The domain alone, and a day.
    fn default() -> Self {
        Self { also_names: Vec::new(), max_token_lifetime: MAX_LIFETIME }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_hosts_as_the_command_line_does() {
        let read = toml::from_str::<LoginSettings>(r#"also_name = ["Relay.internal", "[::1]:80"]"#);
        let also_names = vec!["relay.internal".to_owned(), "[::1]:80".to_owned()];
        assert_eq!(read.ok(), Some(LoginSettings { also_names, ..LoginSettings::default() }));
        assert_eq!(toml::from_str::<LoginSettings>("").ok(), Some(LoginSettings::default()));
        assert!(toml::from_str::<LoginSettings>(r#"also_name = ["https://relay"]"#).is_err());
        assert!(toml::from_str::<LoginSettings>("max_token_lifetime = 0").is_err());
    }
}
