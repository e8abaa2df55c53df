//! The names that somebody wants from the relay for what is exposed.

use clap::Args;
use hvym_tunnel_core::names::{ClaimedName, CustomHost};

#[derive(Args, Debug)]
#[command(next_help_heading = "Names")]
pub(crate) struct NameArgs {
    /// Ask the relay for this name too, or lead a host name of your own there; repeat for more
    ///
    /// A name (cool-app) is yours at a relay that gives names, if it is free, and as long as you come back in time. A host
    /// name (app.example.org) needs a DNS record: a CNAME of the name that the relay gave you, or your address in a TXT
    /// record of _hvym-tunnel.app.example.org.
    #[arg(
        long = "name",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = public_name,
        env = "HVYM_TUNNEL_NAME",
        hide_env = true
    )]
    pub(crate) names: Vec<String>,
}

/// A name that could be claimed, in lower case.
fn public_name(text: &str) -> Result<String, String> {
    match text.contains('.') {
        true => CustomHost::new(text).map(|host| host.as_str().to_owned()).map_err(|error| error.to_string()),
        false => ClaimedName::new(text).map(String::from).map_err(|error| error.to_string()),
    }
}
