//! `expose`: an agent, and a relay of its own beside it if none was named.

mod join;
mod lone_api;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use hvym_tunnel_agent::settings::{CompatSettings, LinkSettings, SettingsError};
use hvym_tunnel_agent::{
    Agent, AgentBuilder, AgentError, AgentHandle, RelayUrl, ServiceSpec, Signer, offered_services,
};
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_net::known_relays::KnownRelays;
use hvym_tunnel_net::runtime::RuntimeHandle;

use crate::agent_reports::{AgentKind, AgentReports, Subject};
use crate::embedded::{self, Embedded, OwnRelay};
use crate::exit::ExitError;
use crate::failure;
use crate::inspect::{self, InspectOptions};
use crate::joined;
use crate::keys;
use crate::report::{Report, Reporter};
use crate::run_agent::{Running, until_end};
use crate::signals::StopSignals;
use lone_api::LoneApi;

/// What `expose` does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ExposeOptions {
    /// The link to the relay; without one there is a relay of its own.
    pub(crate) link: LinkSettings,
    /// The login at a server of an older system, in place of one by identity.
    pub(crate) compat: Option<CompatSettings>,
    /// Where relays whose addresses nobody told are kept; `None` believes whoever answers.
    pub(crate) known_relays: Option<KnownRelays>,
    /// The relay of its own.
    pub(crate) own_relay: OwnRelay,
    /// What is exposed, never empty. The first is the one reached at the bare address.
    pub(crate) services: Vec<ServiceSpec>,
    /// Whether a person chose the name of the first service.
    pub(crate) is_named: bool,
    /// The names to ask the relay for.
    pub(crate) names: Vec<String>,
    /// Whether to stop (exit 7) when nothing listens at a target at the start.
    pub(crate) require_upstream: bool,
    /// What the relay, and other agents of the identity, may know of this process.
    pub(crate) process_label: Option<String>,
    /// Where requests are shown, if they are.
    pub(crate) inspect: Option<InspectOptions>,
    /// Whether to leave a manager alone that runs.
    pub(crate) alone: bool,
    /// Where it has the API of a manager, if it has.
    pub(crate) api: Option<SocketAddr>,
}

impl ExposeOptions {
    /// One service at a relay of its own, and everything else as it is unless told otherwise.
    pub(crate) fn new(service: ServiceSpec) -> Self {
        Self {
            link: LinkSettings::default(),
            compat: None,
            known_relays: None,
            own_relay: OwnRelay::default(),
            services: vec![service],
            is_named: true,
            names: Vec::new(),
            require_upstream: false,
            process_label: None,
            inspect: None,
            alone: false,
            api: None,
        }
    }

    /// Whether the options make sense together.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        if let Some(compat) = &self.compat {
            compat.check(&self.link, &self.services)?;
        }
        self.link.check()?;
        for (index, service) in self.services.iter().enumerate() {
            if self.services[..index].iter().any(|earlier| earlier.name == service.name) {
                return Err(SettingsError::DuplicateService(service.name.clone()));
            }
            service.check()?;
        }
        Ok(())
    }

    fn builder(&self, signer: Signer) -> AgentBuilder {
        let builder = Agent::builder(signer).link(self.link.clone()).known_relays(self.known_relays.clone());
        let builder = self.services.iter().cloned().fold(builder, AgentBuilder::service);
        let builder = match &self.process_label {
            Some(label) => builder.process_label(label),
            None => builder,
        };
        let builder = self.names.iter().fold(builder, |builder, name| builder.name(name.clone()));
        match &self.compat {
            Some(compat) => builder.compat(compat.clone()),
            None => builder,
        }
    }
}

/// Why an agent ended.
struct ServeError {
    error: ExitError,
    /// The relay is a server that takes services of certain names, and not of this one.
    is_service_refused: bool,
}

impl<E: Into<ExitError>> From<E> for ServeError {
    fn from(error: E) -> Self {
        Self { error: error.into(), is_service_refused: false }
    }
}

/// Exposes local services until a person, or the relay, ends it.
///
/// # Errors
/// Why it ended, unless a person asked for it after visitors could come.
pub(crate) async fn run(
    signer: Signer,
    mut options: ExposeOptions,
    reporter: Reporter,
    mut signals: StopSignals,
) -> Result<(), ExitError> {
    if let Some(wish) = join::wish(&signer, &options) {
        let subject = || subject(&signer, &options, options.link.relay.clone());
        if joined::while_it_runs(&wish, subject, &reporter, &mut signals).await? {
            reporter.tell(&Report::Stopped { reason: "as asked".to_owned() });
            return Ok(());
        }
    }
    while let Err(failure) = serve(&signer, &options, &reporter, &mut signals).await {
        let [service] = &mut options.services[..] else { return Err(failure.error) };
        let Some(relay) = options.link.relay.as_ref().filter(|_| failure.is_service_refused) else {
            return Err(failure.error);
        };
        let asked = pin!(offered_services(relay, &options.link));
        let offered = match select(asked, pin!(signals.next())).await {
            Either::Left((offered, _)) => {
                offered.inspect_err(|error| tracing::debug!(%error, "asked at /info"))
            }
            Either::Right(_) => return Err(ExitError::interrupted()),
        };
        let Some(first) = offered.ok().and_then(|offered| offered.into_iter().next()) else {
            return Err(failure.error);
        };
        reporter
            .tell(&Report::ServiceChosen { service: first.to_string(), refused: service.name.to_string() });
        // Once: what is refused under this name too is refused.
        (service.name, options.is_named) = (first, true);
    }
    reporter.tell(&Report::Stopped { reason: "as asked".to_owned() });
    Ok(())
}

/// The same, by one agent.
async fn serve(
    signer: &Signer,
    options: &ExposeOptions,
    reporter: &Reporter,
    signals: &mut StopSignals,
) -> Result<(), ServeError> {
    let mut builder = options.builder(signer.clone());
    builder.check()?;
    if options.require_upstream {
        builder.probe().await?;
    }
    let (mut relay, mut own) = (options.link.relay.clone(), None);
    if relay.is_none() {
        let started =
            own.insert(embedded::start(options.own_relay, options.link.keepalive, signer.address())?);
        let url = started.url();
        let lan = options.own_relay.lan.is_some();
        reporter.tell(&Report::OwnRelay { relay: url.to_string(), lan });
        builder = builder.relay(url.clone()).relay_address(started.address());
        relay = Some(url);
    }
    let reports = Arc::new(AgentReports::new(reporter.clone(), subject(signer, options, relay.clone())));
    let outcome = match options.api {
        None => match builder.observer(Arc::clone(&reports) as _).start(&RuntimeHandle::current()) {
            Ok(agent) => watch(&agent, &agent, options, &reports, reporter, signals).await,
            Err(error) => Err(error.into()),
        },
        Some(at) => {
            let relay = (relay, own.as_ref().map(Embedded::address));
            let observer = Arc::clone(&reports) as _;
            match LoneApi::start(at, signer, options, relay, observer, reporter).await {
                Ok(lone) => {
                    let outcome = watch(&lone, &lone.agent(), options, &reports, reporter, signals).await;
                    lone.end().await;
                    outcome
                }
                Err(error) => Err(error.into()),
            }
        }
    };
    if let Some(own) = own {
        own.stop().await;
    }
    outcome
}

/// Shows its requests and listens to keys, until it ends.
async fn watch(
    running: &impl Running,
    agent: &AgentHandle,
    options: &ExposeOptions,
    reports: &Arc<AgentReports>,
    reporter: &Reporter,
    signals: &mut StopSignals,
) -> Result<(), ServeError> {
    let _inspecting = inspect::begin(options.inspect, agent, reporter)?;
    let keys = (!reporter.is_json())
        .then(|| keys::listen(reports, reporter, options.own_relay.lan.is_some()))
        .flatten();
    let mut is_service_refused = false;
    let failure = |error: AgentError| {
        is_service_refused = !options.is_named && names_service(&error);
        failure::ended(error, options.compat.as_ref())
    };
    let outcome = until_end(running, reports, signals, failure).await;
    if let Some(keys) = keys {
        // Waits until the terminal is as it was.
        keys.cancel().await;
    }
    outcome.map_err(|error| ServeError { error, is_service_refused })
}

/// Which agent it is, for its reports.
fn subject(signer: &Signer, options: &ExposeOptions, relay: Option<RelayUrl>) -> Subject {
    let compat = options.compat.as_ref();
    let proto = options.services.first().map(|service| service.target.proto());
    let purpose = AgentKind::Expose {
        services: options.services.iter().map(|service| service.name.to_string()).collect(),
        compat: compat.map(|compat| compat.system).zip(proto),
    };
    let relay = relay.map(|url| match compat {
        Some(compat) => compat.system.dial_url(url),
        None => url,
    });
    let relay = relay.map(|url| url.to_string()).unwrap_or_default();
    Subject { address: signer.address(), relay, purpose }
}

/// Whether an existing HVYM server refused the name of a service, which it does in these words.
fn names_service(error: &AgentError) -> bool {
    matches!(error, AgentError::Ended(DownReason::NotAllowed(text)) if text.starts_with("Service not allowed: "))
}

#[cfg(test)]
mod tests {
    use hvym_tunnel_agent::settings::Auth;

    use super::*;

    fn expose(bindings: &[&str]) -> ExposeOptions {
        let service = |text: &&str| {
            let (name, target) = text.split_once('=').expect("NAME=TARGET");
            ServiceSpec::new(name.parse().expect("a name"), target.parse().expect("a target"))
        };
        let services = bindings.iter().map(service).collect();
        let relay = Some("relay.example".parse().expect("a relay"));
        let link = LinkSettings { relay, ..LinkSettings::default() };
        ExposeOptions { link, services, ..ExposeOptions::new(service(&"web=1")) }
    }

    #[test]
    fn contradictions_are_named() {
        let good = expose(&["web=1", "api=2"]);
        assert_eq!(good.check(), Ok(()));
        let link = LinkSettings { auth: Auth::Bearer, ..good.link.clone() };
        assert_eq!(ExposeOptions { link, ..good }.check(), Err(SettingsError::BearerWithoutAddress));
        let twice = expose(&["web=1", "api=2", "web=3"]);
        assert!(
            matches!(twice.check(), Err(SettingsError::DuplicateService(name)) if name.as_str() == "web")
        );
    }
}
