//! `share`: whether the service that a link leads to is served, which only its relay knows.

use hvym_tunnel_agent::settings::LinkSettings;
use hvym_tunnel_agent::{AgentError, ServiceAddress, can_reach};
use hvym_tunnel_net::key::Identity;
use hvym_tunnel_net::known_relays::KnownRelays;
use hvym_tunnel_settings::config_file;

use crate::config::load_or_default;
use crate::exit::ExitError;

/// What a link leads to.
pub(crate) struct SharedService {
    /// The service.
    pub(crate) to: ServiceAddress,
    /// The link to the relay where it is exposed.
    pub(crate) link: LinkSettings,
    /// Where relays whose addresses nobody told are kept.
    pub(crate) known_relays: Option<KnownRelays>,
    /// Its owner.
    pub(crate) identity: Identity,
}

/// Warns if nobody serves the service now. It may be served later, so that is no failure.
pub(crate) async fn warn_if_not_served(shared: SharedService) -> Result<(), ExitError> {
    let SharedService { to, link, known_relays, identity } = shared;
    let relay = link.relay.as_ref().map(ToString::to_string).unwrap_or_default();
    let service = &to.service;
    match can_reach(identity, link, known_relays, &to).await {
        Ok(true) => {}
        Ok(false) => {
            let names = configured();
            let known = match &names[..] {
                [] => String::new(),
                names => format!("; the settings file has {}", names.join(", ")),
            };
            eprintln!("warning: you serve no {service} at {relay} now{known}");
            eprintln!("hint: hvym-tunnel expose PORT --service {service} --private --relay {relay}");
        }
        Err(error) => eprintln!("warning: whether you serve {service} now is not known: {}", reason(error)),
    }
    Ok(())
}

/// The services of the settings file, if there is one that is right.
fn configured() -> Vec<String> {
    let loaded = config_file(None).ok().and_then(|path| load_or_default(&path, false, &[]).ok());
    let services = loaded.map(|loaded| loaded.settings.services).unwrap_or_default();
    services.into_iter().map(|service| service.name.to_string()).collect()
}

fn reason(error: AgentError) -> String {
    ExitError::from(error).message
}
