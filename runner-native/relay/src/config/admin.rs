//! Where an operator's programs watch and manage a relay.

use std::net::SocketAddr;
use std::path::PathBuf;

use hvym_tunnel_core::stellar::Address;
use serde::{Deserialize, Serialize};

use super::{access, text};

/// Where an operator's programs watch and manage a relay, beside the socket for commands.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "State and control"))]
pub struct AdminSettings {
    /// The address of `/metrics`, `/healthz`, `/readyz` and the management API. The first three need no key there, so no
    /// visitor should reach it.
    #[serde(deserialize_with = "text::read_optional_listen")]
    #[cfg_attr(feature = "clap", arg(
        long, value_name = "ADDR", value_parser = text::listen_address, env = "HVYM_TUNNEL_ADMIN_LISTEN", hide_env = true,
        help = "Serve /metrics, /healthz, /readyz and the management API here too, apart from visitors",
        long_help = "Serve /metrics, /healthz, /readyz and the management API here too, apart from visitors\n\n\
            The first three need no key there, so let only your own programs reach it. All are at the relay's own domain too, where /metrics and \
            the API need the key of --admin-key-file.",
    ))]
    pub admin_listen: Option<SocketAddr>,
    /// The file with the operator's key, which others cannot read. `None`: the key of the file of agents of other systems, if
    /// there is one.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            value_name = "FILE",
            env = "HVYM_TUNNEL_ADMIN_KEY_FILE",
            hide_env = true,
            help = "The operator's key for /metrics and the management API is in this file, 16 characters or more",
        )
    )]
    pub admin_key_file: Option<PathBuf>,
    /// Identities that sign in to the console as the operator, by a signature of their wallet or a token that they sign.
    #[serde(
        rename = "operator",
        deserialize_with = "access::read_all",
        serialize_with = "access::write_all"
    )]
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "operator",
            value_name = "ADDRESS",
            value_delimiter = ',',
            env = "HVYM_TUNNEL_OPERATOR",
            hide_env = true,
            help = "Let this identity sign in to the console at /console/ as the operator; repeat for more",
            long_help = "Let this identity sign in to the console at /console/ as the operator; repeat for more\n\n\
            It signs with a wallet in the browser, or gives a token: hvym-tunnel token --audience RELAY. The key of --admin-key-file opens the \
            console, too; without both there is none.",
        )
    )]
    pub operators: Vec<Address>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_writes_them_as_they_are_typed() {
        let read = |text: &str| toml::from_str::<AdminSettings>(text);
        let expected = AdminSettings {
            admin_listen: Some(SocketAddr::from(([127, 0, 0, 1], 9100))),
            admin_key_file: Some("key".into()),
            operators: vec![Address::from_public_key([7; 32])],
        };
        let operator = format!("operator = [\"{}\"]", expected.operators[0]);
        assert_eq!(
            read(&format!("admin_listen = \"9100\"\nadmin_key_file = \"key\"\n{operator}")),
            Ok(expected)
        );
        assert_eq!(read(""), Ok(AdminSettings::default()));
        assert!(read("admin_listen = \"nowhere\"").is_err());
        assert!(read("operator = [\"G\"]").is_err());
    }
}
