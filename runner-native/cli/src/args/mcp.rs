//! `mcp`: what a person lets an assistant do.

use clap::Args;
use hvym_tunnel_agent::settings::LinkSettings;
use hvym_tunnel_net::key::Source;

use super::identity::{IdentityRole, SourceArgs, known_relays};
use crate::exit::{Exit, ExitError};
use crate::mcp::{McpOptions, Permissions};

const AFTER: &str = "\
Examples:
    hvym-tunnel mcp                          addresses on this machine
    hvym-tunnel mcp --relay tunnel.example   addresses there
    hvym-tunnel mcp --relay tunnel.example --private-only

An assistant starts it by itself, as its configuration says:

    {\"mcpServers\": {\"tunnel\": {\"command\": \"hvym-tunnel\",
        \"args\": [\"mcp\", \"--relay\", \"tunnel.example\"]}}}

It may expose ports of this machine, list them, look at their requests, and stop
them. What it exposes is private unless it asks for a public address, and ends
with the conversation.";

/// Let an assistant expose services of this machine, by the Model Context Protocol
#[derive(Args, Debug)]
#[command(after_help = AFTER)]
pub(crate) struct McpArgs {
    /// Let it expose folders, sockets and other machines too, not only ports of this machine
    #[arg(long, env = "HVYM_TUNNEL_ANY_TARGET", hide_env = true)]
    any_target: bool,
    /// Never let it give a service a public address
    #[arg(long, env = "HVYM_TUNNEL_PRIVATE_ONLY", hide_env = true)]
    private_only: bool,
    #[command(flatten)]
    link: LinkSettings,
    #[command(flatten)]
    source: SourceArgs,
}

impl McpArgs {
    /// Checked options, and where the identity is.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn options(self) -> Result<(Source, McpOptions), ExitError> {
        let source = self.source.source(IdentityRole::Agent);
        if source.stdin {
            let message = "--identity-stdin cannot be used here: standard input is the assistant's";
            return Err(ExitError::new(Exit::Usage, message));
        }
        self.link.check()?;
        let permissions = Permissions { any_target: self.any_target, private_only: self.private_only };
        let known_relays = known_relays(&source);
        Ok((source, McpOptions { link: self.link, known_relays, permissions }))
    }
}
