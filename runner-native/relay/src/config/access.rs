//! Which identities may be agents of a relay, as programs, files and command lines say it.
//!
//! Reads no list; it says where there is one, and whether a relay may start without.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use hvym_tunnel_core::relay::AgentRule;
use hvym_tunnel_core::stellar::Address;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which identities may be agents of a relay.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Who may be an agent"))]
pub struct AccessSettings {
    /// Agents that may log in; with these or a file, no others.
    #[serde(rename = "allow_agent", deserialize_with = "read_all", serialize_with = "write_all")]
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "allow-agent",
            value_name = "AGENT",
            value_delimiter = '\n',
            env = "HVYM_TUNNEL_ALLOW_AGENT",
            hide_env = true,
            help = "Let only agents log in that are named, by their address G...; repeat for more",
            long_help = "Let only agents log in that are named, by their address G...; repeat for more\n\n\
            The address may be followed by what this agent may have, as in a line of --allow-agents-file. In the variable, each agent has a line.",
        )
    )]
    pub allowed: Vec<AgentRule>,
    /// A file that lists more of them, one in each line.
    #[serde(rename = "allow_agents_file")]
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "allow-agents-file",
            value_name = "FILE",
            env = "HVYM_TUNNEL_ALLOW_AGENTS_FILE",
            hide_env = true,
            help = "Let only agents log in that this file lists, one in each line",
            long_help = "Let only agents log in that this file lists, one in each line\n\n\
            A line is G... [names=a,b] [tcp-ports=N] [max-services=N] [rate=N]: the names that are kept for this agent, its TCP ports and \
            services at once, and its visitors' requests in a second. What follows # is left out. The file is read again when it changes and on SIGHUP; while a \
            line is wrong, the list from before holds.",
        )
    )]
    pub allowed_file: Option<PathBuf>,
    /// Agents that may not log in, listed or not.
    #[serde(rename = "deny_agent", deserialize_with = "read_all", serialize_with = "write_all")]
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "deny-agent",
            value_name = "ADDRESS",
            value_delimiter = ',',
            env = "HVYM_TUNNEL_DENY_AGENT",
            hide_env = true,
            help = "Never let this agent log in; repeat for more",
        )
    )]
    pub denied: Vec<Address>,
    /// Whether every identity may log in, which anybody can make. A relay that listens for other machines too starts with this or
    /// with a list.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "HVYM_TUNNEL_OPEN",
            hide_env = true,
            help = "Let everybody log in as an agent, with any key",
            long_help = "Let everybody log in as an agent, with any key\n\n\
            A relay that listens for other machines too does not start without this or a list of agents.",
        )
    )]
    pub open: bool,
    /// Whether no identity may log in that is not listed, also where none is: agents of older systems have tokens.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "HVYM_TUNNEL_TOKENS_ONLY",
            hide_env = true,
            help = "Let in agents of older systems alone, by their tokens, and identities that are listed",
        )
    )]
    pub tokens_only: bool,
}

impl AccessSettings {
    /// Whether only agents that are listed may log in.
    pub fn has_list(&self) -> bool {
        self.tokens_only || !self.allowed.is_empty() || self.allowed_file.is_some()
    }

    /// Whether the operator has said who may log in, as far as a relay at `listen` needs it.
    pub(super) fn is_decided(&self, listen: SocketAddr) -> bool {
        self.open || self.has_list() || listen.ip().to_canonical().is_loopback()
    }
}

pub(super) fn read_all<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

pub(super) fn write_all<S: Serializer, T: Display>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_agents_as_the_command_line_does() {
        let [ann, bob] = [1, 2].map(|seed| Address::from_public_key([seed; 32]));
        let text = format!("allow_agent = [\"{ann} tcp-ports=2\"]\ndeny_agent = [\"{bob}\"]\nopen = false");
        let read: AccessSettings = toml::from_str(&text).expect("settings");
        assert_eq!((read.allowed[0].address, read.allowed[0].tcp_ports), (ann, Some(2)));
        assert_eq!((&read.denied, read.has_list()), (&vec![bob], true));
        let written = serde_json::to_string(&read).expect("a text");
        assert_eq!(serde_json::from_str::<AccessSettings>(&written).ok(), Some(read));
        assert!(toml::from_str::<AccessSettings>("allow_agent = [\"G\"]").is_err());
    }

    #[test]
    fn a_relay_for_other_machines_needs_a_list_or_the_word_open() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let ann = AgentRule::new(Address::from_public_key([1; 32]));
        let unsaid = AccessSettings::default();
        let open = AccessSettings { open: true, ..unsaid.clone() };
        let listed = AccessSettings { allowed: vec![ann], ..unsaid.clone() };
        let in_a_file = AccessSettings { allowed_file: Some("agents".into()), ..unsaid.clone() };
        let nobody = AccessSettings { tokens_only: true, ..unsaid.clone() };
        for local in ["127.0.0.1:443", "127.9.9.9:1", "[::1]:443", "[::ffff:127.0.0.1]:443"] {
            assert!(unsaid.is_decided(at(local)), "{local}");
        }
        for public in ["0.0.0.0:443", "[::]:443", "192.0.2.1:80"] {
            assert!(!unsaid.is_decided(at(public)), "{public}");
            assert!([&open, &listed, &in_a_file, &nobody].iter().all(|access| access.is_decided(at(public))));
        }
    }
}
