//! What a person types about a server of an older system.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::OptionError;
use crate::exit::ExitError;
use hvym_tunnel_agent::settings::{CompatSettings, CompatSystem};
use hvym_tunnel_agent::token::{AuthToken, TokenFile};

/// The login at a server of an older system.
#[derive(Args, Debug)]
#[command(next_help_heading = "Servers of older systems")]
pub(super) struct CompatArgs {
    /// What the relay speaks, if it is a server that knows agents by tokens
    ///
    /// Existing HVYM servers need no option: the relay says by itself what it is.
    #[arg(long, value_enum, default_value = "auto", env = "HVYM_TUNNEL_DIALECT", hide_env = true)]
    dialect: DialectArg,
    /// File that holds the token for such a server, readable by you alone
    ///
    /// Without it: the token in the variable HVYM_TUNNEL_TOKEN.
    #[arg(long, value_name = "FILE", env = "HVYM_TUNNEL_TOKEN_FILE", hide_env = true)]
    token_file: Option<PathBuf>,
    /// Take the place of another agent that is connected with the same token (tunely)
    ///
    /// Servers of tunely before 0.6.1 then forget both, until one connects anew.
    #[arg(long, env = "HVYM_TUNNEL_FORCE", hide_env = true)]
    force: bool,
}

#[derive(Copy, Clone, Debug, ValueEnum)]
enum DialectArg {
    /// A relay of hvym-tunnel, or an existing HVYM server
    Auto,
    /// A tunely server; visitors of its TCP ports reach services of any kind, others text over HTTP
    Tunely,
    /// A CloudToLocalLLM relay
    Cloud,
}

impl CompatArgs {
    /// The login, if there is one. The token is read for it, and only then.
    ///
    /// # Errors
    /// A contradiction, or a token that cannot be had.
    pub(super) fn settings(self) -> Result<Option<CompatSettings>, ExitError> {
        let system = match self.dialect {
            DialectArg::Auto => None,
            DialectArg::Tunely => Some(CompatSystem::Tunely),
            DialectArg::Cloud => Some(CompatSystem::CloudLlm),
        };
        let Some(system) = system else {
            let unused = [("--token-file", self.token_file.is_some()), ("--force", self.force)]
                .into_iter()
                .find(|o| o.1);
            return match unused {
                Some((option, _)) => Err(OptionError::NoLogin(option).into()),
                None => Ok(None),
            };
        };
        let token = AuthToken::load(self.token_file.as_deref(), &crate::passphrase::source())?;
        let token = token.ok_or(OptionError::NoToken(system))?;
        let passphrase = crate::passphrase::source();
        let token_file = self.token_file.map(|path| TokenFile { path, passphrase });
        Ok(Some(CompatSettings { system, token, token_file, force: self.force }))
    }
}
