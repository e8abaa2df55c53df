//! Whether the service of an identity can be reached at a relay. No connection to the service is made.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hvym_tunnel_core::dialect::{OpenResult, StreamHeader};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_net::known_relays::KnownRelays;
use hvym_tunnel_net::signer::Signer;
use hvym_tunnel_net::target::ServiceAddress;
use hvym_tunnel_net::timeout::within;

use crate::builder::Launch;
use crate::error::AgentError;
use crate::event::{AgentEvent, ForwardError};
use crate::handle::AgentControl;
use crate::link_status::Purpose;
use crate::runner::Shared;
use crate::service::ServiceTable;
use crate::settings::LinkSettings;

/// How long a verdict may take. The relay gives up on the owner after 10 s and says so.
pub(super) const VERDICT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the login and the answer may take. A refusal takes the relay half a second.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Logs in at the relay of `link`, and asks whether this identity can have the service `to` now. The address of that relay, if
/// nobody told it, is that in `known_relays`. To be called on a runtime.
///
/// # Errors
/// The relay cannot be reached, does not let the identity in, or does not answer.
pub async fn can_reach(
    signer: impl Into<Signer>,
    mut link: LinkSettings,
    known_relays: Option<KnownRelays>,
    to: &ServiceAddress,
) -> Result<bool, AgentError> {
    link.retry.no_retry = true;
    let mut launch = Launch::new(signer.into());
    (launch.link, launch.known_relays) = (link, known_relays);
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let prepared =
        launch.prepare(Purpose::Forward { listen: nowhere }, None, ServiceTable::new(Vec::new())?)?;
    let control = prepared.run(None);
    match within(ANSWER_TIMEOUT, answer(&control, to)).await {
        Some(answer) => answer,
        None => {
            let text = "the relay did not say whether the service is there";
            Err(AgentError::Unreachable { reason: DownReason::TimedOut(text.to_owned()), problem: None })
        }
    }
}

async fn answer(control: &AgentControl, to: &ServiceAddress) -> Result<bool, AgentError> {
    while let Some(event) = control.events.next().await {
        if let AgentEvent::ForwardOnline { .. } = event
            && let Some(answer) = ask(&control.shared, to).await
        {
            return Ok(answer.is_ok());
        }
    }
    control.closed().await.and(Err(AgentError::Closed))
}

/// Asks by a link that is there whether the service can be reached; `None`: the link is gone, or ended meanwhile.
pub(super) async fn ask(shared: &Shared, to: &ServiceAddress) -> Option<Result<(), ForwardError>> {
    let opening = StreamHeader::probing(to.owner, to.service.as_str());
    let id = shared.agent.with(|agent, now| agent.open(&opening, now)).ok()?;
    let (mut reader, _writer) = shared.agent.stream(id).split();
    let verdict = within(VERDICT_TIMEOUT, reader.read_verdict()).await;
    Some(judged(verdict)).filter(|verdict| !matches!(verdict, Err(ForwardError::NoVerdict(_))))
}

/// What a verdict means, if one came in time.
pub(super) fn judged(verdict: Option<io::Result<OpenResult>>) -> Result<(), ForwardError> {
    match verdict {
        Some(Ok(OpenResult::Accepted)) => Ok(()),
        Some(Ok(OpenResult::Refused { code, message })) => Err(ForwardError::Refused { code, message }),
        Some(Err(error)) => Err(ForwardError::NoVerdict(error.to_string())),
        None => Err(ForwardError::TimedOut),
    }
}
