//! `doctor`: what a person types to have everything between a service and its visitors looked at.

use clap::Args;
use hvym_tunnel_agent::settings::LinkSettings;
use hvym_tunnel_net::target::Target;

use super::identity::{IdentityRole, SourceArgs, known_relays};
use crate::doctor::DoctorOptions;
use crate::exit::{EXIT_CODES, ExitError};

/// Look for what is wrong between a service and its visitors
///
/// The key and its file, the clock, proxies, DNS (with names below the relay's), TCP, the certificates and their end, the relay's
/// identity, a login, a request of a visitor there and back, the local service, and the ports of this machine. A service with a name
/// that nobody guesses is exposed for a moment. No secret is shown.
#[derive(Args, Debug)]
#[command(after_help = format!("\
Examples:
    hvym-tunnel doctor                                   this machine alone
    hvym-tunnel doctor 3000 --relay tunnel.example       all of it
    hvym-tunnel doctor --relay tunnel.example --json     for a program, or for whoever helps

{EXIT_CODES}"))]
pub(crate) struct DoctorArgs {
    /// The local service, as expose takes it
    target: Option<Target>,
    #[command(flatten)]
    link: LinkSettings,
    #[command(flatten)]
    source: SourceArgs,
    /// Write one JSON object instead of text
    #[arg(long, env = "HVYM_TUNNEL_JSON", hide_env = true)]
    json: bool,
}

impl DoctorArgs {
    /// Checked options.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn options(self) -> Result<DoctorOptions, ExitError> {
        self.link.check()?;
        let source = self.source.source(IdentityRole::Agent);
        let known_relays = known_relays(&source);
        Ok(DoctorOptions { source, link: self.link, known_relays, target: self.target, json: self.json })
    }
}
