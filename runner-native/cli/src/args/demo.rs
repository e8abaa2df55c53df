//! `demo`: what a person types to see a tunnel in a browser tab.

use std::path::PathBuf;

use clap::Args;

use super::Output;
use super::identity::{IdentityRole, SourceArgs, known_relays};
use crate::demo::DemoOptions;
use crate::exit::{EXIT_CODES, ExitError};
use hvym_tunnel_agent::settings::LinkSettings;
use hvym_tunnel_net::key::Source;

const AFTER: &str = "\
Examples:
    hvym-tunnel demo
    hvym-tunnel demo --port 8080 --package ./node_modules/hvym-tunnel
    hvym-tunnel demo --relay tunnel.example           for others to open, too

Open the URL on the first line in a browser, without --relay on this machine.";

/// Show a page that is an agent itself, with a relay for this machine alone unless one is named
#[derive(Args, Debug)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct DemoArgs {
    /// The port of the relay, so that a page finds it again when the demo is started again; 0 is a free one
    #[arg(long, value_name = "PORT", default_value = "4897", env = "HVYM_TUNNEL_PORT", hide_env = true)]
    port: u16,
    /// The folder of the browser package; by default `package` beside the folder of this program
    #[arg(long, value_name = "FOLDER", env = "HVYM_TUNNEL_PACKAGE", hide_env = true)]
    package: Option<PathBuf>,
    #[command(flatten)]
    link: LinkSettings,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    pub(crate) output: Output,
}

impl DemoArgs {
    /// Checked options, and where the identity is.
    ///
    /// # Errors
    /// The place of this program is unknown, and no package was named.
    pub(crate) fn options(self) -> Result<(Source, DemoOptions), ExitError> {
        let source = self.source.source(IdentityRole::Agent);
        let package = self.package.unwrap_or_else(beside);
        let known_relays = known_relays(&source);
        Ok((source, DemoOptions { port: self.port, package, link: self.link, known_relays }))
    }
}

/// Where `cargo xtask wasm` puts the package, as seen from `target/release/hvym-tunnel`.
fn beside() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.parent().and_then(|folder| folder.parent()).map_or_else(PathBuf::new, |up| up.join("package"))
}
