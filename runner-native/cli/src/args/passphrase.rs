//! What a person types about the passphrase of sealed files.

use std::path::PathBuf;

use clap::Args;

/// Where the passphrase is; understood by every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Locked files")]
pub(crate) struct PassphraseArgs {
    /// Read the passphrase of locked identities and tokens from this file, readable by you alone
    ///
    /// Without it and --passphrase-fd: systemd's credential hvym-tunnel.passphrase, else you are asked.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        conflicts_with = "passphrase_fd",
        env = "HVYM_TUNNEL_PASSPHRASE_FILE",
        hide_env = true
    )]
    passphrase_file: Option<PathBuf>,
    /// Read it from this open file descriptor
    #[arg(long, global = true, value_name = "N", env = "HVYM_TUNNEL_PASSPHRASE_FD", hide_env = true)]
    passphrase_fd: Option<u32>,
}

impl PassphraseArgs {
    /// Looks there from now on.
    pub(crate) fn begin(&self) {
        crate::passphrase::begin(self.passphrase_file.clone(), self.passphrase_fd);
    }
}
