//! `relay`: runs a relay until a person ends it, and tells that person what happens.

mod inherited;

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use crate::access_log::AccessLogFile;
use crate::args::registry::RegistryArgs;
use crate::args::tunely_env::TunelyEnv;
use crate::args::{admin, relay};
use crate::exit::{Exit, ExitError};
use crate::registry;
use crate::report::{AuditFile, Report, Reporter, Who};
use crate::signals::{ReloadSignals, Stop, StopSignals, UpgradeSignals};
use crate::supervisor;
use crate::upgrade::Successor;
use futures_util::future::{Either, select};
use hvym_tunnel_net::key::Identity;
use hvym_tunnel_net::observer::Observer;
use hvym_tunnel_net::runtime::RuntimeHandle;
use hvym_tunnel_net::state_dir::StateDir;
use hvym_tunnel_relay::config::RelayOptions;
use hvym_tunnel_relay::{AcmeEvent, AuditRecord, Relay, RelayEvent, RelayHandle};
use inherited::{Inherited, PassedAddresses};
use smol::future::or;

/// What the relay is asked to do.
enum RelayTask {
    /// To end.
    Stop(Stop),
    /// To read its files again.
    Reload,
    /// To start its next process.
    Upgrade,
    /// It has ended, since its operator wanted that by the management API.
    Ended,
}

/// The signals that a relay hears.
struct RelaySignals {
    stops: StopSignals,
    /// Without files to read again SIGHUP means what it always means: the terminal is gone.
    reloads: Option<ReloadSignals>,
    upgrades: UpgradeSignals,
}

impl RelaySignals {
    /// The next thing that the relay is asked to do, or does by itself.
    async fn next(&mut self, relay: &RelayHandle) -> RelayTask {
        let Self { stops, reloads, upgrades } = self;
        let reload = async {
            match reloads {
                Some(reloads) => reloads.next().await,
                None => std::future::pending().await,
            }
            RelayTask::Reload
        };
        let stop = async { RelayTask::Stop(stops.next().await) };
        let upgrade = async {
            upgrades.next().await;
            RelayTask::Upgrade
        };
        let ended = async {
            relay.closed().await;
            RelayTask::Ended
        };
        or(or(stop, ended), or(reload, upgrade)).await
    }
}

/// Runs a relay until a person ends it.
///
/// # Errors
/// It could not start.
pub(crate) async fn run(
    identity: Identity,
    options: RelayOptions,
    registry: RegistryArgs,
    reports: Reports,
    signals: StopSignals,
) -> Result<(), ExitError> {
    let (has_config, address) = (options.admission.config.is_some(), identity.address());
    let drain_timeout = options.restart.drain_timeout;
    warn_of_open_proxy(&options);
    let Inherited { predecessor, listeners, passed } = Inherited::find()?;
    check_state_dir(options.state.state_dir.as_deref())?;
    let options = settled(options, &passed);
    let successor = Successor::of_this_process(passed.roles());
    let tunnels = registry::open(&registry, &options).await?;
    if registry.tunely_env {
        TunelyEnv::of_process().notes().iter().for_each(|note| tracing::warn!("{note}"));
    }
    let builder = Relay::builder(identity).options(options).observer(Arc::new(reports.clone()));
    let mut builder = builder.inherit(listeners);
    if let Some(file) = &reports.access_log {
        builder = builder.access_log(file.log());
    }
    if let Some(tunnels) = tunnels {
        builder = builder.tunnels(tunnels);
    }
    if has_config {
        // Those about sockets of a supervisor do not count.
        builder =
            builder.options_source(move || relay::options_again().map(|options| settled(options, &passed)));
    }
    let relay = builder.start(&RuntimeHandle::current())?;
    // Signals are heard before anybody is told that the relay runs, or they would end a relay that has just begun.
    let has_logs = reports.audit.is_some() || reports.access_log.as_ref().is_some_and(AccessLogFile::is_file);
    let has_files = has_config || relay.has_files() || has_logs;
    let reloads = has_files.then(ReloadSignals::new).and_then(Result::ok);
    let mut signals = RelaySignals { stops: signals, reloads, upgrades: UpgradeSignals::new() };
    let (url, agent_url) = relay.urls();
    let listen = relay.local_addr().to_string();
    let admin = relay.admin_addr().map(|at| at.to_string());
    reports.reporter.tell(&Report::Listening { url, relay: agent_url, address, listen, admin });
    supervisor::ready();
    if let Some(predecessor) = predecessor {
        let gone = |error| ExitError::new(Exit::Unexpected, format!("cannot take over: {error}"));
        predecessor.release().map_err(gone)?;
    }
    let reason = serve(&relay, &reports, &mut signals, successor, drain_timeout).await;
    relay.stop();
    relay.closed().await;
    reports.reporter.tell(&Report::Stopped { reason: reason.to_owned() });
    reports.finish();
    Ok(())
}

/// What a relay promises to keep must outlive it: a folder that was named takes files.
fn check_state_dir(named: Option<&Path>) -> Result<(), ExitError> {
    let Some(folder) = named else { return Ok(()) };
    StateDir::new(folder).probe().map_err(|error| {
        let message = format!("nothing can be kept in {}: {error}", folder.display());
        ExitError::new(Exit::Config, message)
            .with_hint("name a folder that this user can write, as --state-dir /var/lib/hvym-tunnel")
    })
}

/// The options with what is known where they are silent, and with what wins over them.
fn settled(mut options: RelayOptions, passed: &PassedAddresses) -> RelayOptions {
    options.state.state_dir = admin::state_dir(options.state.state_dir).ok();
    passed.apply(&mut options);
    options
}

/// Serves until somebody ends the relay, or another process serves, and then until what is under way is over. Returns why.
async fn serve(
    relay: &RelayHandle,
    reports: &Reports,
    signals: &mut RelaySignals,
    successor: io::Result<Successor>,
    drain_timeout: Duration,
) -> &'static str {
    let successor = successor.map(Arc::new);
    loop {
        match signals.next(relay).await {
            RelayTask::Ended => return "as its operator asked",
            RelayTask::Stop(Stop::Now) => {
                supervisor::stopping();
                return "as asked";
            }
            RelayTask::Stop(Stop::Drain) => {
                supervisor::stopping();
                let reason = "as asked".to_owned();
                reports.reporter.tell(&Report::Draining { reason, deadline: drain_timeout });
                relay.drain(drain_timeout);
                finish(relay, &mut signals.stops).await;
                return "as asked";
            }
            RelayTask::Reload => reload(relay, reports),
            RelayTask::Upgrade => match upgrade(relay, &successor).await {
                Ok(pid) => {
                    supervisor::handed_over(pid);
                    reports.reporter.tell(&Report::Upgraded { pid });
                    relay.hand_over(drain_timeout);
                    finish(relay, &mut signals.stops).await;
                    return "another process serves";
                }
                Err(error) => {
                    reports.reporter.tell(&Report::UpgradeFailed { message: error.to_string() });
                }
            },
        }
    }
}

/// Waits until what is under way is over, or somebody wants no more of it.
async fn finish(relay: &RelayHandle, stops: &mut StopSignals) {
    if let Either::Right(_) = select(pin!(relay.closed()), pin!(stops.next())).await {
        tracing::info!("asked again: stopping at once");
    }
}

/// Starts the next process, which gets the listeners of this one. Returns its id.
async fn upgrade(relay: &RelayHandle, successor: &io::Result<Arc<Successor>>) -> io::Result<u32> {
    let successor =
        successor.as_ref().map(Arc::clone).map_err(|error| io::Error::other(error.to_string()))?;
    let listeners = relay.listeners()?;
    smol::unblock(move || successor.start(listeners)).await
}

/// Opens logs anew, and reads options, certificates, keys and lists again.
fn reload(relay: &RelayHandle, reports: &Reports) {
    if let Some(audit) = &reports.audit {
        audit.reopen();
    }
    if let Some(access_log) = &reports.access_log {
        access_log.reopen();
    }
    relay.reload();
}

/// Says what somebody who puts a proxy before a relay may not know.
fn warn_of_open_proxy(options: &RelayOptions) {
    let is_behind_proxy =
        options.public.public_scheme.is_some() || !options.public.trusted_proxies.is_empty();
    if is_behind_proxy && !options.access.open && !options.access.has_list() {
        tracing::warn!(
            "everybody whom the proxy leads here can log in: name agents with --allow-agent, or say --open"
        );
    }
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
    access_log: Option<AccessLogFile>,
}

impl Reports {
    pub(crate) const fn new(
        reporter: Reporter,
        audit: Option<AuditFile>,
        access_log: Option<AccessLogFile>,
    ) -> Self {
        Self { reporter, audit, access_log }
    }

    /// Waits a moment until the files have everything.
    fn finish(&self) {
        if let Some(audit) = &self.audit {
            audit.finish();
        }
        if let Some(access_log) = &self.access_log {
            access_log.finish();
        }
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
            RelayEvent::Options(Ok(restart)) => Report::ConfigLoaded { changes: None, restart },
            RelayEvent::Options(Err(message)) => Report::ConfigKept { message },
            RelayEvent::Keys(Ok(())) => Report::KeysLoaded,
            RelayEvent::Keys(Err(error)) => Report::KeysKept { message: error.to_string() },
            RelayEvent::Certificate(Ok(())) => Report::CertificateLoaded,
            RelayEvent::Certificate(Err(error)) => Report::CertificateKept { message: error.to_string() },
            RelayEvent::TunnelDatabase(Ok(())) => Report::DatabaseBack,
            RelayEvent::TunnelDatabase(Err(error)) => Report::DatabaseLost { message: error.to_string() },
            RelayEvent::Cluster(Ok(())) => Report::ClusterBack,
            RelayEvent::Cluster(Err(message)) => Report::ClusterLost { message },
            RelayEvent::CutOff => Report::ClusterCutOff,
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
