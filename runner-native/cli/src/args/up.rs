//! `up`: what a person types to run what the settings file says.

use clap::Args;
use hvym_tunnel_net::target::ServiceName;

use super::Output;
use super::config::SettingsArgs;
use crate::config::load_or_default;
use crate::exit::{EXIT_CODES, ExitError};
use crate::up::UpOptions;

const AFTER: &str = "\
Examples:
    hvym-tunnel up                  every link with auto_connect, which is the default
    hvym-tunnel up home             the link called home alone
    hvym-tunnel up --set link.home.relay=other.example

A settings file is, for example:
    [[link]]
    relay = \"tunnel.example\"

    [[service]]
    name = \"web\"
    target = \"3000\"

It is read again when it changes, and on SIGHUP. What is the same in both goes
on undisturbed; a file with a mistake changes nothing.";

/// Start the links and services of the settings file
#[derive(Args, Debug)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct UpArgs {
    /// The links to start; without a name all that connect by themselves
    #[arg(value_name = "NAME")]
    links: Vec<ServiceName>,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl UpArgs {
    /// The settings, and what is started of them.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub(crate) fn options(self) -> Result<UpOptions, ExitError> {
        let (path, overrides) = (self.settings.path()?, self.settings.overrides());
        let loaded = load_or_default(&path, self.settings.config.is_some(), &overrides)?;
        Ok(UpOptions { settings: loaded.settings, links: self.links, path, overrides })
    }
}
