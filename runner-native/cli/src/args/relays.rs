//! `relays`: the relays that were found without being told their addresses. Prints addresses, never secrets.

use clap::{Args, Subcommand};
use hvym_tunnel_core::handshake::dialled_authority;
use hvym_tunnel_net::known_relays::{KnownRelays, KnownRelaysError};

use super::identity::{FileArgs, IdentityRole};
use crate::exit::{Exit, ExitError};
use crate::output::write_out;

/// Show and forget the relays whose keys are known
///
/// The first relay that answers at a host, and proves its key, is kept in the file known_relays beside your identity; no other is
/// believed there from then on. With --relay-address there is nothing to keep.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    hvym-tunnel relays list
    hvym-tunnel relays forget tunnel.example    its operator changed its key")]
pub(crate) struct RelaysArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    file: FileArgs,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Print each known relay: the host that was dialled, and the address that answered there
    List,
    /// Believe whoever answers next at this host
    Forget {
        /// The host, with its port if that is not the usual one, or the relay's URL
        host: String,
    },
}

/// Runs the command.
pub(crate) fn run(arguments: &RelaysArgs) -> Result<(), ExitError> {
    let source = arguments.file.source(IdentityRole::Agent);
    let relays = KnownRelays::beside(source.destination()?);
    match &arguments.action {
        Action::List => {
            let line = |known: hvym_tunnel_net::known_relays::KnownRelay| {
                format!("{} {}\n", known.host, known.address)
            };
            write_out(relays.list()?.into_iter().map(line).collect::<String>().as_bytes())
        }
        Action::Forget { host } => {
            let host = dialled_authority(host).unwrap_or_else(|| host.to_ascii_lowercase());
            if relays.forget(&host)? {
                eprintln!("{host} is forgotten: whoever proves to be a relay there next is believed");
                return Ok(());
            }
            let error = ExitError::new(Exit::Config, format!("no relay is known at {host}"));
            Err(error.with_hint("hvym-tunnel relays list shows those that are"))
        }
    }
}

impl From<KnownRelaysError> for ExitError {
    fn from(error: KnownRelaysError) -> ExitError {
        let hint = match &error {
            KnownRelaysError::TooOpen { .. } => "chmod 600 it, after a look at what is in it",
            KnownRelaysError::Malformed { .. } => "remove that line, or the file: relays are found again",
            _ => "see to the file, or name the relay's address with --relay-address",
        };
        ExitError::new(Exit::Config, error.to_string()).with_hint(hint)
    }
}
