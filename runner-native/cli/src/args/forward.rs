//! `forward`: what a person types to reach the service of another identity.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use clap::Args;

use super::Output;
use super::identity::{IdentityRole, SourceArgs, known_relays};
use crate::exit::{EXIT_CODES, Exit, ExitError};
use crate::forward::ForwardOptions;
use hvym_tunnel_agent::settings::LinkSettings;
use hvym_tunnel_core::stellar::delegation::ShareLink;
use hvym_tunnel_net::files;
use hvym_tunnel_net::key::Source;
use hvym_tunnel_net::target::{RelayUrl, ServiceAddress, ServiceAddressError, ServiceName};
use hvym_tunnel_relay::config::listen_address;
use zeroize::Zeroizing;

/// Maximum size of a share link in bytes.
const MAX_LINK_BYTES: usize = 8 * 1024;

const AFTER: &str = "\
Examples:
    hvym-tunnel forward GOWNER.../web --relay tunnel.example
    hvym-tunnel forward GOWNER.../db 5432 --relay tunnel.example
    psql -h 127.0.0.1 -p 5432
    hvym-tunnel forward 'https://...#share=...' 8080

The place to connect to stands alone on the first line of standard output. At the
start the owner's agent is asked whether you may have the service; if not, that is
said, and it may come later. Your own address, which the owner allows with
--allow, is what hvym-tunnel identity says. Be another identity than the one that
exposes the service.";

/// Reach the service of another identity at a port of this machine
#[derive(Args, Debug)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct ForwardArgs {
    /// Whose service: the owner's address, a slash, the service's name; or a link that hvym-tunnel share has made
    ///
    /// Who lists the processes of this machine sees a link that was typed: - reads it from standard input.
    #[arg(value_name = "ADDRESS/SERVICE|LINK")]
    to: ForwardTarget,
    /// Where to take local connections: a port of this machine alone, or IP:port
    ///
    /// Whoever can connect there is you, to the owner.
    #[arg(value_name = "LISTEN", value_parser = listen_address, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    #[command(flatten)]
    link: LinkSettings,
    #[command(flatten)]
    source: SourceArgs,
    /// Leave a manager of yours alone that runs, and whose link could be shared
    ///
    /// Otherwise what needs nothing but a link to the same relay, with the same identity, goes by the manager's for as long as this
    /// command runs.
    #[arg(long, env = "HVYM_TUNNEL_ALONE", hide_env = true)]
    alone: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// What a person names as the place to forward to.
#[derive(Clone)]
enum ForwardTarget {
    Service(ServiceAddress),
    /// As it was typed: whoever has it has the key in it.
    Link(String),
    /// A link that comes by standard input.
    StandardInput,
}

impl ForwardTarget {
    /// The share link, or the service of a caller that has an identity.
    fn share_link(self) -> Result<Result<ShareLink, ServiceAddress>, ExitError> {
        let link = match self {
            ForwardTarget::Service(to) => return Ok(Err(to)),
            ForwardTarget::Link(link) => Zeroizing::new(link),
            ForwardTarget::StandardInput => files::read_text_limited(std::io::stdin().lock(), MAX_LINK_BYTES)
                .map_err(|error| {
                    ExitError::new(Exit::Config, format!("cannot read a link from standard input: {error}"))
                })?,
        };
        Ok(Ok(ShareLink::parse(&link)?))
    }
}

impl FromStr for ForwardTarget {
    type Err = ServiceAddressError;

    /// A link is read later: an error here would repeat it.
    fn from_str(text: &str) -> Result<Self, ServiceAddressError> {
        match text {
            "-" => Ok(ForwardTarget::StandardInput),
            link if link.contains("#share=") => Ok(ForwardTarget::Link(link.to_owned())),
            service => service.parse().map(ForwardTarget::Service),
        }
    }
}

/// Without the key.
impl fmt::Debug for ForwardTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ForwardTarget::Service(to) => to.fmt(f),
            ForwardTarget::Link(_) => f.write_str("Link(..)"),
            ForwardTarget::StandardInput => f.write_str("StandardInput"),
        }
    }
}

impl ForwardArgs {
    /// Checked options, and where the identity is.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn options(self) -> Result<(Source, ForwardOptions), ExitError> {
        let source = self.source.source(IdentityRole::Agent);
        let (mut link, listen, alone) = (self.link, self.listen, self.alone);
        let (to, share) = match self.to.share_link()? {
            Ok(share) => {
                let scheme = if share.tls() { "wss" } else { "ws" };
                let wrong = |error: String| ExitError::new(Exit::Config, format!("in this link: {error}"));
                let relay = format!("{scheme}://{}", share.relay()).parse::<RelayUrl>();
                link.relay.get_or_insert(relay.map_err(|error| wrong(error.to_string()))?);
                let service =
                    share.service().parse::<ServiceName>().map_err(|error| wrong(error.to_string()))?;
                (ServiceAddress { owner: share.owner(), service }, Some(share))
            }
            Err(to) => (to, None),
        };
        let options = ForwardOptions { link, known_relays: known_relays(&source), to, listen, share, alone };
        options.check()?;
        Ok((source, options))
    }
}
