//! `forward`: local connections that reach the service of another identity.

use std::net::SocketAddr;
use std::sync::Arc;

use hvym_tunnel_agent::settings::{LinkSettings, SettingsError};
use hvym_tunnel_agent::{Forward, ServiceAddress, Signer};
use hvym_tunnel_core::stellar::delegation::ShareLink;
use hvym_tunnel_net::known_relays::KnownRelays;
use hvym_tunnel_net::runtime::RuntimeHandle;

use crate::agent_reports::{AgentKind, AgentReports, Subject};
use crate::exit::ExitError;
use crate::report::{Report, Reporter};
use crate::run_agent::until_end;
use crate::signals::StopSignals;

/// What `forward` does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ForwardOptions {
    /// The link to the relay, which is named.
    pub(crate) link: LinkSettings,
    /// Where relays whose addresses nobody told are kept; `None` believes whoever answers.
    pub(crate) known_relays: Option<KnownRelays>,
    /// Whose service it is, and which.
    pub(crate) to: ServiceAddress,
    /// Where local connections are taken. Port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// The link with which it was shared: its key is the identity.
    pub(crate) share: Option<ShareLink>,
}

impl ForwardOptions {
    /// Whether the options make sense together.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        if self.link.relay.is_none() {
            return Err(SettingsError::NoRelay);
        }
        self.link.check()
    }
}

/// Leads local connections to the service of another identity until a person, or the relay, ends it.
///
/// # Errors
/// Why it ended, unless a person asked for it after connections could come.
pub(crate) async fn run(
    signer: Signer,
    options: ForwardOptions,
    reporter: Reporter,
    mut signals: StopSignals,
) -> Result<(), ExitError> {
    let ForwardOptions { link, known_relays, to, listen, share } = options;
    let relay = link.relay.as_ref().map(ToString::to_string).unwrap_or_default();
    let (address, service) = (signer.address(), to.to_string());
    let subject = Subject { address, relay, purpose: AgentKind::Forward { service } };
    let reports = Arc::new(AgentReports::new(reporter.clone(), subject));
    let builder = Forward::builder(signer).link(link).known_relays(known_relays).to(to).listen(listen);
    let builder = match share {
        Some(share) => builder.delegation(share.delegation().signed().clone()),
        None => builder,
    };
    let forward = builder.observer(Arc::clone(&reports) as _).start(&RuntimeHandle::current())?;
    until_end(&forward, &reports, &mut signals, ExitError::from).await?;
    reporter.tell(&Report::Stopped { reason: "as asked".to_owned() });
    Ok(())
}
