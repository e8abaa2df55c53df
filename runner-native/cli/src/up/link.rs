//! One link of the settings file as an agent that runs.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_agent::settings::{CompatSettings, SettingsError};
use hvym_tunnel_agent::token::{AuthToken, TokenFile};
use hvym_tunnel_agent::{Agent, AgentError, AgentHandle, Identity, ServiceSpec, Signer};
use hvym_tunnel_net::external_signer::ExternalSigner;
use hvym_tunnel_net::files;
use hvym_tunnel_net::key::Source;
use hvym_tunnel_net::known_relays::KnownRelays;
use hvym_tunnel_net::runtime::{RuntimeHandle, spawn};
use hvym_tunnel_net::target::ServiceName;
use hvym_tunnel_net::timer::Timer;
use hvym_tunnel_settings::{LinkEntry, ServiceEntry, Settings};

use crate::agent_reports::{AgentKind, AgentReports, Subject};
use crate::exit::{Exit, ExitError};
use crate::failure;
use crate::passphrase;
use crate::report::{Report, Reporter};
use crate::signals::DRAIN_LIMIT;

/// The longest token that a program may write; those of files are no longer.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// How long the link that replaces another may take to be up before the other one ends all the same.
const OVERLAP: Duration = Duration::from_secs(10);
/// How often it is asked whether it is up.
const OVERLAP_POLL: Duration = Duration::from_millis(50);

/// An agent, and what it tells.
pub(super) struct RunningLink {
    agent: Arc<AgentHandle>,
    reports: Arc<AgentReports>,
    compat: Option<CompatSettings>,
}

impl RunningLink {
    /// Starts the agent of a link with its services.
    ///
    /// # Errors
    /// Its identity, its token or a file that it names cannot be used.
    pub(super) fn start(
        settings: &Settings,
        link: &LinkEntry,
        reporter: &Reporter,
    ) -> Result<Self, ExitError> {
        let folder = &settings.folder;
        let services: Vec<_> = settings.services_of(link).filter(|service| service.enabled).collect();
        let specs = services.iter().map(|service| spec(service, folder)).collect::<Result<Vec<_>, _>>()?;
        if specs.is_empty() {
            return Err(ExitError::new(Exit::Config, format!("the link {} has no service", link.name))
                .with_hint("add a [[service]], or set enabled = false for the link"));
        }
        let compat = compat(link, folder)?;
        let (signer, known_relays) = match &compat {
            // A token is shown there, and no identity: one for nobody to see need not be kept.
            Some(_) => (Identity::generate()?.into(), None),
            None => signer(link, folder, reporter)?,
        };
        let names = services.iter().map(|service| service.name.to_string()).collect();
        let proto = specs[0].target.proto();
        let relay = match &compat {
            Some(compat) => compat.system.dial_url(link.relay.clone()),
            None => link.relay.clone(),
        };
        let subject = Subject {
            address: signer.address(),
            relay: relay.to_string(),
            purpose: AgentKind::Expose {
                services: names,
                compat: compat.as_ref().map(|compat| (compat.system, proto)),
            },
        };
        let reports = Arc::new(AgentReports::new(reporter.clone(), subject));
        let builder = Agent::builder(signer).link(link.settings(folder)).known_relays(known_relays);
        let builder = specs.into_iter().fold(builder, hvym_tunnel_agent::AgentBuilder::service);
        let builder = link.names.iter().fold(builder, |builder, name| builder.name(name.clone()));
        let builder = match &compat {
            Some(compat) => builder.compat(compat.clone()),
            None => builder,
        };
        builder.check()?;
        let agent = builder.observer(Arc::clone(&reports) as _).start(&RuntimeHandle::current())?;
        Ok(Self { agent: Arc::new(agent), reports, compat })
    }

    /// Offers one more service.
    ///
    /// # Errors
    /// Its files cannot be used, or the agent has ended.
    pub(super) fn add(&self, service: &ServiceEntry, settings: &Settings) -> Result<(), ExitError> {
        Ok(self.agent.add_service(spec(service, &settings.folder)?)?)
    }

    /// Offers a service with other settings.
    ///
    /// # Errors
    /// As for [`Self::add`].
    pub(super) fn update(&self, service: &ServiceEntry, settings: &Settings) -> Result<(), ExitError> {
        Ok(self.agent.update_service(spec(service, &settings.folder)?)?)
    }

    /// Withdraws a service.
    ///
    /// # Errors
    /// The agent has ended.
    pub(super) fn remove(&self, service: &ServiceName) -> Result<(), AgentError> {
        self.agent.remove_service(service)
    }

    /// Waits for the end.
    pub(super) async fn closed(&self) -> Result<(), AgentError> {
        self.agent.closed().await
    }

    /// Asks it to finish.
    pub(super) fn drain(&self) {
        self.agent.drain(DRAIN_LIMIT);
    }

    /// Lets it end by itself, once `successor` serves in its place.
    pub(super) fn retire(self, successor: Option<&RunningLink>) {
        let successor = successor.map(|link| Arc::clone(&link.agent));
        spawn(async move {
            if let Some(successor) = successor {
                let mut waited = Duration::ZERO;
                while !successor.status().was_online && waited < OVERLAP {
                    Timer::after(OVERLAP_POLL).await;
                    waited += OVERLAP_POLL;
                }
            }
            self.drain();
            let _however_it_ends = self.closed().await;
        })
        .detach();
    }

    /// What the end of the agent is in words.
    pub(super) fn failure(&self, error: AgentError) -> ExitError {
        failure::ended(error, self.compat.as_ref())
    }

    /// Whether the next attempt to connect is still to come.
    pub(super) fn is_waiting(&self) -> bool {
        self.reports.is_waiting()
    }

    /// Waits until an attempt failed and another is to come.
    pub(super) async fn waiting_began(&self) {
        self.reports.waiting_began().await;
    }

    /// Updates the countdown to the next attempt, if there is one.
    pub(super) fn tell_waiting(&self) {
        if self.is_waiting() {
            self.reports.tell_waiting();
        }
    }
}

/// A service with the accounts of its file.
pub(crate) fn spec(service: &ServiceEntry, folder: &Path) -> Result<ServiceSpec, ExitError> {
    let mut spec = service.spec(folder);
    spec.filter = spec.filter.with_file().map_err(SettingsError::from)?;
    Ok(spec)
}

/// What signs for a link, and where the relays that it knows are kept. An identity that no file is named for is made if it is missing.
/// Blocks while another program is asked.
pub(crate) fn signer(
    link: &LinkEntry,
    folder: &Path,
    reporter: &Reporter,
) -> Result<(Signer, Option<KnownRelays>), ExitError> {
    let path = link.identity_file(folder);
    if let Some(place) = link.signer_place(folder) {
        let signer = Signer::external(ExternalSigner::connect(place)?, Some(link.relay.host_field()))?;
        return Ok((signer, Some(KnownRelays::beside(&path))));
    }
    let file = link.identity.is_some().then(|| path.clone());
    let source =
        Source { file, stdin: false, default: Ok(path), passphrase: passphrase::source(), signer: None };
    let (identity, created) = Identity::load_or_create(&source)?;
    if let Some(path) = created {
        let path = path.display().to_string();
        reporter.tell(&Report::IdentityCreated { address: identity.address(), path });
    }
    let known_relays = source.destination().ok().map(KnownRelays::beside);
    Ok((identity.into(), known_relays))
}

/// The login at a server that knows agents by tokens, with the token as it is now.
pub(crate) fn compat(link: &LinkEntry, folder: &Path) -> Result<Option<CompatSettings>, ExitError> {
    let Some(system) = link.system() else { return Ok(None) };
    let token_file = link.token_file(folder).filter(|_| link.token_command.is_none());
    let token = match &link.token_command {
        Some(words) => written_token(words)?,
        None => AuthToken::load(token_file.as_deref(), &passphrase::source())?
            .ok_or_else(|| ExitError::new(Exit::Config, format!("the link {} has no token", link.name)))?,
    };
    link.check_audience(token.as_str()).map_err(|error| ExitError::new(Exit::Refused, error.to_string()))?;
    Ok(Some(CompatSettings {
        system,
        token,
        token_file: token_file.map(|path| TokenFile { path, passphrase: passphrase::source() }),
        force: link.force,
    }))
}

/// What a program writes to its standard output, without the end of its line.
fn written_token(words: &[String]) -> Result<AuthToken, ExitError> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(ExitError::new(Exit::Config, "token_command names no program"));
    };
    let failed = |reason: String| ExitError::new(Exit::Config, format!("token_command ({program}) {reason}"));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    let text = match child.stdout.take() {
        Some(stdout) => files::read_text_limited(stdout.take(MAX_TOKEN_BYTES as u64 + 1), MAX_TOKEN_BYTES),
        None => return Err(failed("has no output".to_owned())),
    };
    let status = child.wait().map_err(|error| failed(format!("cannot be waited for: {error}")))?;
    if !status.success() {
        return Err(failed(format!("ended with {status}")));
    }
    let text = text.map_err(|error| failed(format!("wrote no token: {error}")))?;
    text.trim().parse().map_err(|_| failed("wrote no token".to_owned()))
}
