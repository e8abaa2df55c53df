//! `up`: runs the links and services of the settings file, and follows its changes.

pub(crate) mod link;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, FutureExt, select, select_all};
use hvym_tunnel_agent::AgentError;
use hvym_tunnel_net::target::ServiceName;
use hvym_tunnel_net::timer::Timer;
use hvym_tunnel_settings::{
    Change, FileWatcher, LinkEntry, Override, ServiceEntry, Settings, difference, load,
};

use crate::exit::{Exit, ExitError};
use crate::report::{Report, Reporter};
use crate::signals::{DRAIN_LIMIT, ReloadSignals, Stop, StopSignals};
use crate::supervisor;
use link::RunningLink;

/// How long the file must have been quiet before it is read: some programs write it in several steps, of which the first
/// leaves it empty.
const QUIET: Duration = Duration::from_millis(200);
/// How often a countdown on the screen is updated.
const COUNTDOWN: Duration = Duration::from_secs(1);

/// What `up` does.
#[derive(Clone, Debug)]
pub(crate) struct UpOptions {
    /// The settings at the start.
    pub(crate) settings: Settings,
    /// The links to start; empty is all that connect by themselves.
    pub(crate) links: Vec<ServiceName>,
    /// The settings file.
    pub(crate) path: PathBuf,
    /// What is set beside it.
    pub(crate) overrides: Vec<Override>,
}

/// Why the loop of [`run`] woke.
enum Woke {
    Stop(Stop),
    Reload,
    Ended(ServiceName, Result<(), AgentError>),
    Countdown,
}

/// Runs the links until a person ends it, or none is left.
///
/// # Errors
/// A link cannot start, or the last one ended by itself.
pub(crate) async fn run(
    options: UpOptions,
    reporter: Reporter,
    mut signals: StopSignals,
) -> Result<(), ExitError> {
    reporter.open_log_files(&options.settings);
    let mut reloads = ReloadSignals::new().ok();
    let watcher =
        FileWatcher::new(&options.path).map_err(|error| tracing::info!(%error, "only SIGHUP reloads")).ok();
    let mut running = Running { options, reporter, links: BTreeMap::new(), last_error: None };
    running.start()?;
    supervisor::ready();
    loop {
        match running.next(&mut signals, reloads.as_mut(), watcher.as_ref()).await {
            Woke::Stop(Stop::Drain) => break,
            Woke::Stop(Stop::Now) => return Ok(()),
            Woke::Reload => running.reload(),
            Woke::Ended(name, outcome) => running.ended(&name, outcome)?,
            Woke::Countdown => running.links.values().for_each(RunningLink::tell_waiting),
        }
    }
    supervisor::stopping();
    running.drain(&mut signals).await
}

/// The links that run.
struct Running {
    options: UpOptions,
    reporter: Reporter,
    links: BTreeMap<ServiceName, RunningLink>,
    /// Why the link that ended last did.
    last_error: Option<ExitError>,
}

impl Running {
    /// Starts what the settings say.
    fn start(&mut self) -> Result<(), ExitError> {
        let settings = self.options.settings.clone();
        let unknown = self.options.links.iter().find(|name| find(&settings, name).is_none());
        if let Some(name) = unknown {
            let message = format!("there is no link called {name} in {}", self.options.path.display());
            return Err(ExitError::new(Exit::Config, message));
        }
        let wanted: Vec<_> = settings.links.iter().filter(|link| self.is_wanted(link)).collect();
        for link in wanted {
            let started = RunningLink::start(&settings, link, &self.reporter)?;
            self.links.insert(link.name.clone(), started);
        }
        if self.links.is_empty() {
            let message = format!("{} names no link that is to run", self.options.path.display());
            return Err(ExitError::new(Exit::Config, message).with_hint(
                "add a [[link]] and a [[service]], or use expose (hvym-tunnel help up has an example)",
            ));
        }
        Ok(())
    }

    /// Whether a link is to run here.
    fn is_wanted(&self, link: &LinkEntry) -> bool {
        let named = &self.options.links;
        let by_itself = link.auto_connect && self.options.settings.start.auto_start_tunnel;
        link.enabled && if named.is_empty() { by_itself } else { named.contains(&link.name) }
    }

    async fn next(
        &self,
        signals: &mut StopSignals,
        reloads: Option<&mut ReloadSignals>,
        watcher: Option<&FileWatcher>,
    ) -> Woke {
        let stop = async { Woke::Stop(signals.next().await) };
        let signal = async {
            match reloads {
                Some(reloads) => reloads.next().await,
                None => std::future::pending().await,
            }
            Woke::Reload
        };
        let change = async {
            match watcher {
                Some(watcher) => settled(watcher).await,
                None => std::future::pending().await,
            }
            Woke::Reload
        };
        let ended = async {
            let ends = self
                .links
                .iter()
                .map(|(name, link)| async move { Woke::Ended(name.clone(), link.closed().await) }.boxed());
            let ends: Vec<_> = ends.collect();
            match ends.is_empty() {
                true => std::future::pending().await,
                false => select_all(ends).await.0,
            }
        };
        let countdown = async {
            match self.links.values().any(RunningLink::is_waiting) {
                true => Timer::after(COUNTDOWN).await,
                false => self.waiting_began().await,
            }
            Woke::Countdown
        };
        let all = [stop.boxed(), signal.boxed(), change.boxed(), ended.boxed(), countdown.boxed()];
        select_all(all).await.0
    }

    async fn waiting_began(&self) {
        let began: Vec<_> = self.links.values().map(|link| link.waiting_began().boxed()).collect();
        match began.is_empty() {
            true => std::future::pending().await,
            false => drop(select_all(began).await),
        }
    }

    /// Reads the file again and applies what is different; a mistake changes nothing.
    fn reload(&mut self) {
        let loaded = match load(&self.options.path, &self.options.overrides) {
            Ok(loaded) => loaded,
            Err(error) => return self.reporter.tell(&Report::ConfigKept { message: error.to_string() }),
        };
        let old = std::mem::replace(&mut self.options.settings, loaded.settings);
        let changes = difference(&old, &self.options.settings);
        for change in &changes {
            self.apply(change);
        }
        self.reporter.tell(&Report::ConfigLoaded { changes: Some(changes.len()), restart: Vec::new() });
    }

    fn apply(&mut self, change: &Change) {
        let settings = self.options.settings.clone();
        match change {
            Change::LinkAdded(name) => {
                if let Some(link) = find(&settings, name).filter(|link| self.is_wanted(link)) {
                    self.dial(&settings, link);
                }
            }
            Change::LinkRemoved(name) => {
                if let Some(link) = self.links.remove(name) {
                    link.retire(None);
                }
            }
            Change::LinkChanged(name) => {
                let Some(link) = find(&settings, name) else { return };
                let old = self.links.remove(name);
                if self.is_wanted(link) {
                    self.dial(&settings, link);
                }
                if let Some(old) = old {
                    old.retire(self.links.get(name));
                }
            }
            Change::ServiceAdded { link, service } => self.serve(&settings, link, service, RunningLink::add),
            Change::ServiceChanged { link, service } => {
                self.serve(&settings, link, service, RunningLink::update)
            }
            Change::ServiceRemoved { link, service } => {
                let Some(running) = self.links.get(link) else { return };
                if let Err(error) = running.remove(service) {
                    self.failed(link, error.into());
                }
            }
            Change::Log => self.reporter.open_log_files(&settings),
            // Nothing of the others runs here.
            _ => {}
        }
    }

    fn dial(&mut self, settings: &Settings, link: &LinkEntry) {
        match RunningLink::start(settings, link, &self.reporter) {
            Ok(started) => drop(self.links.insert(link.name.clone(), started)),
            Err(error) => self.failed(&link.name, error),
        }
    }

    fn serve(
        &self,
        settings: &Settings,
        link: &ServiceName,
        service: &ServiceName,
        change: fn(&RunningLink, &ServiceEntry, &Settings) -> Result<(), ExitError>,
    ) {
        let entry = find(settings, link)
            .and_then(|link| settings.services_of(link).find(|known| known.name == *service));
        let (Some(running), Some(entry)) = (self.links.get(link), entry) else { return };
        if let Err(error) = change(running, entry, settings) {
            self.failed(link, error);
        }
    }

    fn failed(&self, link: &ServiceName, error: ExitError) {
        let ExitError { message, hint, .. } = error;
        self.reporter.tell(&Report::LinkFailed { link: link.to_string(), message, hint });
    }

    /// A link ended by itself. The others go on.
    fn ended(&mut self, name: &ServiceName, outcome: Result<(), AgentError>) -> Result<(), ExitError> {
        let Some(link) = self.links.remove(name) else { return Ok(()) };
        if let Err(error) = outcome {
            let error = link.failure(error);
            self.last_error = Some(error.clone());
            if !self.links.is_empty() {
                self.failed(name, error);
            }
        }
        match self.links.is_empty() {
            true => Err(self
                .last_error
                .take()
                .unwrap_or_else(|| ExitError::new(Exit::Unexpected, "no link is left"))),
            false => Ok(()),
        }
    }

    /// Ends all links: at most [`DRAIN_LIMIT`] for what is under way, less if a person asks again.
    async fn drain(self, signals: &mut StopSignals) -> Result<(), ExitError> {
        let reason = "as asked".to_owned();
        self.reporter.tell(&Report::Draining { reason: reason.clone(), deadline: DRAIN_LIMIT });
        self.links.values().for_each(RunningLink::drain);
        let ends = self.links.values().map(|link| link.closed().boxed());
        let all = futures_util::future::join_all(ends);
        if let Either::Right(_) = select(pin!(all), pin!(signals.next())).await {
            tracing::info!("asked again: stopping at once");
        }
        self.reporter.tell(&Report::Stopped { reason });
        Ok(())
    }
}

fn find<'a>(settings: &'a Settings, name: &ServiceName) -> Option<&'a LinkEntry> {
    settings.links.iter().find(|link| link.name == *name)
}

/// Waits until the file has changed and then been quiet for [`QUIET`].
pub(crate) async fn settled(watcher: &FileWatcher) {
    watcher.changed().await;
    loop {
        match select(pin!(watcher.changed()), pin!(Timer::after(QUIET))).await {
            Either::Left(_) => {}
            Either::Right(_) => return,
        }
    }
}
