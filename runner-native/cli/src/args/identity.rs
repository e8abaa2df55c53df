//! `identity`: shows, makes and takes in key pairs, and lets other keys act for them. Prints addresses, never secrets.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::delegate::{self, DelegateArgs, RevokeArgs};
use super::identity_files;
use super::signer::SignerArgs;
use crate::exit::ExitError;
use crate::output::write_out;
use crate::passphrase;
use crate::revoke::RevokeOptions;
use hvym_tunnel_net::config;
use hvym_tunnel_net::key::{Identity, KeyError, Source, StoredIdentity};
use hvym_tunnel_net::known_relays::KnownRelays;

/// Where a command that acts as somebody finds out as whom.
#[derive(Args, Debug)]
#[command(next_help_heading = "Identity")]
pub(crate) struct SourceArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Read the secret from the first line of standard input, whatever else is set
    #[arg(long, env = "HVYM_TUNNEL_IDENTITY_STDIN", hide_env = true)]
    identity_stdin: bool,
    #[command(flatten)]
    signer: SignerArgs,
}

impl SourceArgs {
    /// Where the identity of this role is looked for.
    pub(crate) fn source(&self, role: IdentityRole) -> Source {
        Source { stdin: self.identity_stdin, signer: self.signer.place(), ..self.file.source(role) }
    }
}

/// The file of an identity.
#[derive(Args, Debug)]
pub(super) struct FileArgs {
    /// File that holds the secret (S...), readable by you alone
    ///
    /// Without it: the secret in the variable HVYM_TUNNEL_SECRET, else identity.key (for a relay: relay.key) in your
    /// settings folder (~/.config/hvym-tunnel), which expose and relay create on first use.
    #[arg(long, global = true, value_name = "FILE", env = "HVYM_TUNNEL_IDENTITY", hide_env = true)]
    identity: Option<PathBuf>,
}

impl FileArgs {
    /// Where the identity of this role is looked for, standard input apart.
    pub(super) fn source(&self, role: IdentityRole) -> Source {
        let file = self.identity.clone();
        let default = config::folder().map(|folder| folder.join(role.file_name()));
        Source { file, stdin: false, default, passphrase: passphrase::source(), signer: None }
    }
}

/// The file of known relays that belongs to an identity; `None` if there is no place for it.
pub(super) fn known_relays(source: &Source) -> Option<KnownRelays> {
    source.destination().ok().map(KnownRelays::beside)
}

/// Whose identity.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum IdentityRole {
    /// Yours, as you expose services
    #[default]
    Agent,
    /// The relay's, when you run one
    Relay,
}

impl IdentityRole {
    const fn file_name(self) -> &'static str {
        match self {
            IdentityRole::Agent => "identity.key",
            IdentityRole::Relay => "relay.key",
        }
    }
}

/// Show, make, import or lock the key pair that is your address
///
/// Without a command it shows the address. The secret is never shown: it is in its file.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    hvym-tunnel identity                             print your address
    hvym-tunnel identity --of relay                  print your relay's address
    hvym-tunnel identity new --identity ./demo.key   a key pair in another file
    hvym-tunnel identity import --from ./secret.txt  be the account of this secret
    pass show stellar | hvym-tunnel identity import  the same, without a file
    hvym-tunnel identity lock                        use it with a passphrase alone
    hvym-tunnel identity use GOTHER                  be another one of identity list
    hvym-tunnel identity delegate --to G... --may agent --services web
                                                     let another key serve web as you")]
pub(crate) struct IdentityArgs {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    file: FileArgs,
    /// Whose identity, when no file is named
    #[arg(long, global = true, value_enum, value_name = "ROLE", default_value = "agent")]
    of: IdentityRole,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Print the address (G...) and nothing else
    Show,
    /// Make a new key pair
    New {
        /// Replace the identity that is there, which is kept in a file beside it
        #[arg(long)]
        force: bool,
    },
    Delegate(Box<DelegateArgs>),
    Revoke(Box<RevokeArgs>),
    /// Show the delegations that were made here and are not over
    Delegations,
    /// Show the identities in your settings folder, the one in use with a star
    List,
    /// Put another one in the place of the identity in use, which is kept in a file beside it
    Use {
        /// Its address or the beginning of it, or the name of its file
        which: String,
    },
    /// Have it used with a passphrase alone
    Lock {
        /// A file of a token, or of another identity
        file: Option<PathBuf>,
    },
    /// Have it used without a passphrase again
    Unlock {
        /// A file of a token, or of another identity
        file: Option<PathBuf>,
    },
    /// Take in a secret that you already have
    Import {
        /// File that holds the secret; without it, the first line of standard input
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Replace the identity that is there, which is kept in a file beside it
        #[arg(long)]
        force: bool,
    },
}

impl IdentityArgs {
    /// What to revoke, or the arguments again if it is something else.
    ///
    /// # Errors
    /// As for [`RevokeArgs::options`].
    pub(crate) fn revocation(mut self) -> Result<Result<RevokeOptions, Self>, ExitError> {
        match self.action.take() {
            Some(Action::Revoke(arguments)) => arguments.options(&self.file.source(self.of)).map(Ok),
            action => Ok(Err(Self { action, ..self })),
        }
    }
}

/// Keeps the identity that is about to be replaced, unless what is there is none.
fn keep(path: &Path) -> Result<Option<PathBuf>, KeyError> {
    match StoredIdentity::at(path) {
        Err(KeyError::NotFound { .. } | KeyError::NotSecret { .. } | KeyError::Public { .. }) => Ok(None),
        stored => stored?.back_up(path).map(Some),
    }
}

/// Runs the command.
pub(crate) fn run(arguments: IdentityArgs) -> Result<(), ExitError> {
    let source = arguments.file.source(arguments.of);
    let (identity, force) = match arguments.action.unwrap_or(Action::Show) {
        Action::Show => {
            return write_out(format!("{}\n", Identity::address_of(&source)?).as_bytes());
        }
        Action::Delegate(arguments) => return delegate::run(*arguments, &source),
        Action::Delegations => return delegate::list(&source),
        Action::List => return identity_files::list(&source),
        Action::Use { which } => return identity_files::take(&source, &which),
        Action::Lock { file } => return identity_files::lock(&source, file.as_deref()),
        Action::Unlock { file } => return identity_files::unlock(&source, file.as_deref()),
        // It needs a network, and is taken out before.
        Action::Revoke(_) => return Ok(()),
        Action::New { force } => (Identity::generate()?, force),
        Action::Import { from: Some(path), force } => {
            (Identity::from_copy(&path, &source.passphrase)?, force)
        }
        Action::Import { from: None, force } => (Identity::from_stdin()?, force),
    };
    let path = source.destination()?;
    let backup = if force { keep(path)? } else { None };
    identity.store(path, force)?;
    if let Some(backup) = backup {
        eprintln!("the identity from before is kept in {} (0600)", backup.display());
    }
    eprintln!("the secret is in {} (0600): whoever has this file is you", path.display());
    write_out(format!("{}\n", identity.address()).as_bytes())
}
