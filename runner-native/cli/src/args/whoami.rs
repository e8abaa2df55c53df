//! `whoami`: the address that this machine's user has, the name that it gives them at every relay, and where its key is.

use clap::Args;
use hvym_tunnel_core::names::ShortLabel;
use hvym_tunnel_net::key::{Identity, SECRET_VARIABLE, Source};
use serde::Serialize;

use super::identity::{FileArgs, IdentityRole};
use crate::exit::ExitError;
use crate::output::write_out;

/// Show your address, your name at relays, and where your key is
///
/// The name is the first part of the host name that visitors use: it follows from the address, and is the same at every relay.
#[derive(Args, Debug)]
pub(crate) struct WhoamiArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Write one JSON object instead of text
    #[arg(long, env = "HVYM_TUNNEL_JSON", hide_env = true)]
    json: bool,
}

#[derive(Serialize)]
struct Who {
    address: String,
    name: String,
    /// Where the secret is: a file, or a variable.
    key: String,
}

/// Prints it.
///
/// # Errors
/// There is no identity, or it cannot be used.
pub(super) fn run(arguments: &WhoamiArgs) -> Result<(), ExitError> {
    let source = arguments.file.source(IdentityRole::Agent);
    let address = Identity::address_of(&source)?;
    let who = Who {
        address: address.to_string(),
        name: ShortLabel::new(&address).to_string(),
        key: place(&source)?,
    };
    if arguments.json {
        let text = serde_json::to_string(&who).expect("texts always have a JSON form");
        return write_out(format!("{text}\n").as_bytes());
    }
    let Who { address, name, key } = who;
    write_out(format!("address  {address}\nname     {name}\nkey      {key}\n").as_bytes())
}

/// Where the key of `source` comes from.
fn place(source: &Source) -> Result<String, ExitError> {
    if source.file.is_none() && std::env::var_os(SECRET_VARIABLE).is_some_and(|value| !value.is_empty()) {
        return Ok(format!("the variable {SECRET_VARIABLE}"));
    }
    Ok(source.destination()?.display().to_string())
}
