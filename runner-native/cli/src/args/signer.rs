//! What a person types to have another program sign.

use std::path::PathBuf;

use clap::Args;
use hvym_tunnel_net::external_signer::{SOCKET_PREFIX, SignerPlace};

/// Another program that has the key.
#[derive(Args, Debug)]
pub(super) struct SignerArgs {
    /// Have the program at this Unix socket sign, in place of a key here: unix:/run/user/1000/signer.sock
    ///
    /// It is asked for each login, or once for a delegation, and has 30 s to answer; a no ends this program (docs/SIGNER.md).
    #[arg(
        long,
        value_name = "unix:PATH",
        value_parser = socket,
        conflicts_with_all = ["signer_command", "identity", "identity_stdin"],
        env = "HVYM_TUNNEL_SIGNER",
        hide_env = true
    )]
    signer: Option<PathBuf>,
    /// Have this command sign, which is started for each question and answers on its standard output
    #[arg(
        long,
        value_name = "COMMAND",
        conflicts_with_all = ["identity", "identity_stdin"],
        env = "HVYM_TUNNEL_SIGNER_COMMAND",
        hide_env = true
    )]
    signer_command: Option<String>,
}

impl SignerArgs {
    /// Where the program is, if there is to be one.
    pub(super) fn place(&self) -> Option<SignerPlace> {
        let socket = self.signer.clone().map(SignerPlace::Socket);
        let (shell, option) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
        let words = |line: &String| [shell, option, line].map(str::to_owned).into();
        socket.or_else(|| self.signer_command.as_ref().map(words).map(SignerPlace::Command))
    }
}

fn socket(text: &str) -> Result<PathBuf, &'static str> {
    match text.strip_prefix(SOCKET_PREFIX) {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err("a signer is unix: and the path of its socket"),
    }
}
