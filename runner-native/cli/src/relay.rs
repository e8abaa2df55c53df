//! `relay`: runs a relay until a person ends it, and tells that person what happens.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use crate::args::registry::RegistryArgs;
use crate::args::{admin, relay};
use crate::exit::{Exit, ExitError};
use crate::registry;
use crate::report::{AuditFile, Report, Reporter, Who};
use crate::signals::{DRAIN_LIMIT, ReloadSignals, Stop, StopSignals};
use crate::supervisor;
use futures_util::future::{Either, select};
use hvym_tunnel_net::key::Identity;
use hvym_tunnel_net::observer::Observer;
use hvym_tunnel_net::runtime::RuntimeHandle;
use hvym_tunnel_relay::config::RelayOptions;
use hvym_tunnel_relay::{AcmeEvent, AuditRecord, Relay, RelayEvent, RelayHandle};

/// Runs a relay until a person ends it.
///
/// # Errors
/// It could not start.
pub(crate) async fn run(
    identity: Identity,
    options: RelayOptions,
    registry: RegistryArgs,
    reports: Reports,
    mut signals: StopSignals,
) -> Result<(), ExitError> {
    let has_config = options.admission.config.is_some();
    let address = identity.address();
    let reporter = reports.reporter.clone();
    let is_behind_proxy =
        options.public.public_scheme.is_some() || !options.public.trusted_proxies.is_empty();
    if is_behind_proxy && !options.access.open && !options.access.has_list() {
        tracing::warn!(
            "everybody whom the proxy leads here can log in: name agents with --allow-agent, or say --open"
        );
    }
    let mut options = options;
    options.state.state_dir = admin::state_dir(options.state.state_dir).ok();
    let tunnels = registry::open(&registry, &options).await?;
    let mut builder = Relay::builder(identity).options(options).observer(Arc::new(reports.clone()));
    if let Some(tunnels) = tunnels {
        builder = builder.tunnels(tunnels);
    }
    let relay = builder.start(&RuntimeHandle::current())?;
    // Without files to read again the signal means what it always means: the terminal is gone. It is heard before anybody
    // is told that the relay runs, or it would end a relay that has just begun.
    let has_files = has_config || relay.has_files() || reports.audit.is_some();
    let mut reloads = has_files.then(ReloadSignals::new).and_then(Result::ok);
    let (url, agent_url) = relay.urls();
    let listen = relay.local_addr().to_string();
    reporter.tell(&Report::Listening { url, relay: agent_url, address, listen });
    supervisor::ready();
    let stop = until_stop(&relay, &reports, &mut signals, &mut reloads, has_config).await;
    supervisor::stopping();
    if stop == Stop::Drain {
        let reason = "as asked".to_owned();
        reporter.tell(&Report::Draining { reason, deadline: DRAIN_LIMIT });
        relay.drain(DRAIN_LIMIT);
        if let Either::Right(_) = select(pin!(relay.closed()), pin!(signals.next())).await {
            tracing::info!("asked again: stopping at once");
        }
    }
    relay.stop();
    relay.closed().await;
    reporter.tell(&Report::Stopped { reason: "as asked".to_owned() });
    if let Some(audit) = &reports.audit {
        audit.finish();
    }
    Ok(())
}

/// Waits for the end, and reads certificate and keys again on SIGHUP meanwhile.
async fn until_stop(
    relay: &RelayHandle,
    reports: &Reports,
    signals: &mut StopSignals,
    reloads: &mut Option<ReloadSignals>,
    has_config: bool,
) -> Stop {
    loop {
        let Some(reloads) = reloads else { return signals.next().await };
        match select(pin!(signals.next()), pin!(reloads.next())).await {
            Either::Left((stop, _)) => return stop,
            Either::Right(_) => {
                if let Some(audit) = &reports.audit {
                    audit.reopen();
                }
                relay.reload();
                if has_config {
                    apply_file(relay, reports);
                }
            }
        }
    }
}

/// Reads the options again, as at the start, and takes over what may change. What is wrong changes nothing.
fn apply_file(relay: &RelayHandle, reports: &Reports) {
    let options = relay::options_again();
    let applied =
        options.and_then(|options| relay.apply(options).map_err(|error| ExitError::from(error).message));
    let report = match applied {
        Ok(restart) => Report::ConfigLoaded { changes: None, restart },
        Err(message) => Report::ConfigKept { message },
    };
    reports.reporter.tell(&report);
}

/// Opens the file of the audit log, if there is to be one.
///
/// # Errors
/// It cannot be opened.
pub(crate) fn audit_file(path: Option<&Path>) -> Result<Option<AuditFile>, ExitError> {
    let Some(path) = path else { return Ok(None) };
    AuditFile::open(path).map(Some).map_err(|error| {
        ExitError::new(Exit::Config, format!("cannot write the audit log to {}: {error}", path.display()))
    })
}

fn certificate_report(event: AcmeEvent) -> Option<Report> {
    Some(match event {
        AcmeEvent::Issued { names, not_after } => Report::CertificateIssued { names, not_after },
        AcmeEvent::Failed { names, error, retry_at } => {
            Report::CertificateFailed { names, message: error.to_string(), retry_at }
        }
        AcmeEvent::NotKept(error) => Report::StateFailed { message: error.to_string() },
        AcmeEvent::Damaged(file) => Report::StateFailed { message: file.to_string() },
        _ => return None,
    })
}

/// Tells a person what happens at a relay.
#[derive(Clone)]
pub(crate) struct Reports {
    reporter: Reporter,
    /// Where records of the audit log go, if not to the reporter.
    audit: Option<AuditFile>,
}

impl Reports {
    pub(crate) const fn new(reporter: Reporter, audit: Option<AuditFile>) -> Self {
        Self { reporter, audit }
    }

    fn audit(&self, record: AuditRecord) {
        let report = Report::Audit {
            action: record.kind.as_str(),
            who: record.agent.map(Who::from),
            peer: record.peer.map(|peer| peer.to_string()),
            detail: record.detail,
            suppressed: record.suppressed,
        };
        match &self.audit {
            Some(file) => file.write(&report),
            None => self.reporter.tell(&report),
        }
    }
}

impl Observer<RelayEvent> for Reports {
    fn handle_event(&self, event: &RelayEvent) {
        let report = match event.clone() {
            RelayEvent::AgentJoined { owner, key, url, peer } => {
                Report::AgentJoined { who: owner.into(), key, url, peer: peer.to_string() }
            }
            RelayEvent::AgentLeft { owner, key, reason } => {
                Report::AgentLeft { who: owner.into(), key, reason: reason.to_string() }
            }
            RelayEvent::DelegationRevoked { owner, id, persisted } => {
                Report::DelegationRevoked { address: owner, id: id.to_string(), persisted }
            }
            RelayEvent::Audit(record) => return self.audit(record),
            RelayEvent::Keys(Ok(())) => Report::KeysLoaded,
            RelayEvent::Keys(Err(error)) => Report::KeysKept { message: error.to_string() },
            RelayEvent::Certificate(Ok(())) => Report::CertificateLoaded,
            RelayEvent::Certificate(Err(error)) => Report::CertificateKept { message: error.to_string() },
            RelayEvent::TunnelDatabase(Ok(())) => Report::DatabaseBack,
            RelayEvent::TunnelDatabase(Err(error)) => Report::DatabaseLost { message: error.to_string() },
            RelayEvent::Acme(event) => match certificate_report(event) {
                Some(report) => report,
                None => return,
            },
            // Something that this program has no words for.
            _ => return,
        };
        self.reporter.tell(&report);
    }
}
