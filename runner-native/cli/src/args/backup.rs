//! `backup` and `restore`, of an agent and of a relay: what a person types, and where on this machine the parts are.

use std::path::{Path, PathBuf};

use clap::Args;
use hvym_tunnel_net::config;
use hvym_tunnel_settings::state_folder;

use super::admin;
use crate::backup::{self, BackupKind, BackupParts};
use crate::exit::ExitError;
use crate::output::write_out;

/// Put your identities, settings and what a manager remembers into one new file, readable by you alone
///
/// A manager may run meanwhile. Whoever has the file is you: keep it as you keep your key.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    hvym-tunnel backup laptop.tar
    hvym-tunnel restore laptop.tar          on another machine, before its first use")]
pub(crate) struct BackupArgs {
    /// The file, which must not exist
    file: PathBuf,
}

/// Put the files of a backup where they belong, if nothing is there
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// A file of hvym-tunnel backup
    file: PathBuf,
}

/// Save identity and state in a new file of yours alone
///
/// The relay may run meanwhile. The state is bans, names, certificates and the SQLite database of tunnels; a database elsewhere is not
/// in it, nor is what is in files of your own, as relay.toml. Whoever has the file can be the relay.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    hvym-tunnel relay backup relay.tar
    hvym-tunnel relay restore relay.tar --state-dir /srv/relay --identity /srv/relay.key")]
pub(crate) struct RelayBackupArgs {
    /// The file, which must not exist
    file: PathBuf,
    #[command(flatten)]
    state: RelayStateArgs,
}

/// Put back what a backup holds, where nothing is
#[derive(Args, Debug)]
pub(crate) struct RelayRestoreArgs {
    /// A file of hvym-tunnel relay backup
    file: PathBuf,
    #[command(flatten)]
    state: RelayStateArgs,
}

#[derive(Args, Debug)]
struct RelayStateArgs {
    /// The state folder of the relay; without it, the folder relay of your settings
    #[arg(long, value_name = "FOLDER", env = "HVYM_TUNNEL_STATE_DIR", hide_env = true)]
    state_dir: Option<PathBuf>,
}

/// The folders of an agent: settings with the identities, and state.
fn agent() -> Result<BackupParts, ExitError> {
    let folders = vec![("config", config::folder()?), ("state", state_folder()?)];
    Ok(BackupParts { kind: BackupKind::Agent, folders, files: Vec::new() })
}

impl RelayStateArgs {
    /// The parts of a relay with its identity in this file.
    fn parts(self, identity: &Path) -> Result<BackupParts, ExitError> {
        Ok(BackupParts {
            kind: BackupKind::Relay,
            folders: vec![("state", admin::state_dir(self.state_dir)?)],
            files: vec![("relay.key", identity.to_owned())],
        })
    }
}

/// Writes a backup, and says what is in it.
async fn back_up(parts: BackupParts, to: &Path) -> Result<(), ExitError> {
    let count = backup::back_up(&parts, to).await?;
    write_out(format!("{}: {count} file(s)\n", to.display()).as_bytes())
}

/// Restores one, and says where.
fn restore(parts: &BackupParts, from: &Path) -> Result<(), ExitError> {
    let count = backup::restore(parts, from)?;
    let places = parts.folders.iter().chain(&parts.files).map(|(_, path)| path.display().to_string());
    write_out(format!("{count} file(s) in {}\n", places.collect::<Vec<_>>().join(" and ")).as_bytes())
}

impl BackupArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// As for [`backup::back_up`].
    pub(crate) async fn run(self) -> Result<(), ExitError> {
        back_up(agent()?, &self.file).await
    }
}

impl RestoreArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// As for [`backup::restore`].
    pub(crate) fn run(self) -> Result<(), ExitError> {
        restore(&agent()?, &self.file)
    }
}

impl RelayBackupArgs {
    /// Runs the command for a relay whose identity is in this file.
    ///
    /// # Errors
    /// As for [`backup::back_up`].
    pub(crate) async fn run(self, identity: &Path) -> Result<(), ExitError> {
        back_up(self.state.parts(identity)?, &self.file).await
    }
}

impl RelayRestoreArgs {
    /// Runs the command for a relay whose identity is to be in this file.
    ///
    /// # Errors
    /// As for [`backup::restore`].
    pub(crate) fn run(self, identity: &Path) -> Result<(), ExitError> {
        restore(&self.state.parts(identity)?, &self.file)
    }
}
