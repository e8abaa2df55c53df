//! Names that agents ask for: a label is given at once, a host name when DNS was asked.

use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_core::names::{ClaimError, ClaimedName, CustomHost, PublicName};
use hvym_tunnel_core::relay::{BindRefusal, Owner};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::runtime::spawn;
use hvym_tunnel_net::timer::Timer;

use crate::names::proof::{self, Accepted, TEXT_LABEL};
use crate::relay_state::RelayState;

/// How often names of owners that stayed away are looked for.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(3600);

fn is_here(state: &RelayState, address: &Address) -> bool {
    state.sessions.is_here(&Owner::Identity(*address))
}

/// Has the file written, for what nobody waits for.
fn write_soon(state: &RelayState) {
    let names = Arc::clone(&state.names);
    spawn(async move { names.keep().await }).detach();
}

/// A name that an agent asked for.
pub(crate) struct Request {
    pub(crate) state: Arc<RelayState>,
    pub(crate) owner: Address,
}

impl Request {
    /// Gives a label to the agent's identity. Returns its URL, once it is kept.
    ///
    /// # Errors
    /// What the agent's owner is told.
    pub(crate) async fn label(&self, text: &str) -> Result<(ClaimedName, String), BindRefusal> {
        let state = &self.state;
        let name = ClaimedName::new(text).map_err(|error| refusal("bad_name", error.to_string()))?;
        match state.plugins.registry.may_claim(&self.owner, name.as_str()) {
            Some(Ok(())) => {}
            Some(Err(kept)) => return Err(refusal("not_allowed", kept.0)),
            None => check_offered(state)?,
        }
        if state.sessions.find_guest(name.as_str()).is_some() {
            return Err(refusal("taken", ClaimError::Taken.to_string()));
        }
        self.give(PublicName::Label(name.clone())).await?;
        let url = state.claimed_url(&name, &Owner::Identity(self.owner), None);
        Ok((name, url))
    }

    /// Gives a host name to the agent's identity, if DNS says that it is. Returns its URL, once it is kept.
    ///
    /// # Errors
    /// What the agent's owner is told.
    pub(crate) async fn host(&self, text: &str) -> Result<String, BindRefusal> {
        let state = &self.state;
        check_offered(state)?;
        let host = CustomHost::new(text).map_err(|error| refusal("bad_name", error.to_string()))?;
        if host.is_within(&state.settings.options.ingress.domain)
            || state.info.names.contains(host.as_str(), false)
        {
            return Err(refusal("bad_name", "this host name is the relay's own".to_owned()));
        }
        let Some(_place) = state.names.lookup() else {
            return Err(refusal("overloaded", "the relay looks up too many host names now".to_owned()));
        };
        let name = PublicName::Host(host.clone());
        match proof::is_proven(&*state.plugins.dns, &host, &accepted(state, &self.owner)).await {
            Ok(true) => {}
            Ok(false) => {
                lose(state, &name, &self.owner);
                return Err(refusal("not_proven", advice(state, &host, &self.owner)));
            }
            // Who had it by a proof keeps it while nobody can look.
            Err(_) if state.names.owner(&name) == Some(self.owner) => {}
            Err(error) => {
                return Err(refusal("lookup_failed", format!("{host} cannot be looked up: {error}")));
            }
        }
        // DNS says whose it is now, whoever had it before.
        if state.names.owner(&name).is_some_and(|owner| owner != self.owner) {
            state.names.remove(&name);
        }
        self.give(name).await?;
        Ok(state.url_of_host(host.as_str()))
    }

    async fn give(&self, name: PublicName) -> Result<(), BindRefusal> {
        let state = &self.state;
        let is_news = state.names.owner(&name) != Some(self.owner);
        let now = state.clock.wall().unix;
        state.names.claim(name.clone(), self.owner, |owner| is_here(state, owner), now).map_err(|error| {
            let code = match error {
                ClaimError::Taken => "taken",
                ClaimError::TooMany => "too_many",
                ClaimError::Full => "full",
            };
            refusal(code, error.to_string())
        })?;
        tracing::info!(owner = %self.owner, name = name.as_str(), "claimed");
        state.sessions.give_name(name, self.owner);
        // Before the agent is told: a relay that is killed then would give the name to somebody else.
        match is_news {
            true => state.names.keep().await,
            false => write_soon(state),
        }
        Ok(())
    }
}

fn check_offered(state: &RelayState) -> Result<(), BindRefusal> {
    match state.settings.options.names.claim_names {
        true => Ok(()),
        false => {
            let error = "this relay gives no names; its operator can offer them with --claim-names";
            Err(refusal("not_offered", error.to_owned()))
        }
    }
}

/// A host name is no longer proven to be this address's.
fn lose(state: &RelayState, name: &PublicName, owner: &Address) {
    if state.names.owner(name) == Some(*owner) {
        state.names.remove(name);
        state.sessions.withdraw_name(name);
        write_soon(state);
    }
}

fn refusal(code: &'static str, error: String) -> BindRefusal {
    BindRefusal { code, error }
}

/// Frees names whose owners stayed away, as long as the relay runs.
pub(crate) async fn expire(state: Arc<RelayState>) {
    loop {
        let freed = state.names.expire(|owner| is_here(&state, owner), state.clock.wall().unix);
        for name in &freed {
            tracing::info!(name = name.as_str(), "its owner stayed away: the name is free again");
            state.sessions.withdraw_name(name);
        }
        write_soon(&state);
        Timer::after(EXPIRY_INTERVAL).await;
    }
}

/// What is accepted for `owner`: its address, and every name that it has here.
fn accepted(state: &RelayState, owner: &Address) -> Accepted {
    let identity = Owner::Identity(*owner);
    let mut hosts = vec![state.sessions.host(&identity, None), state.sessions.long_host(&identity)];
    let claimed = state.names.all().into_iter().filter(|(_, of)| of == owner);
    let domain = &state.settings.options.ingress.domain;
    hosts.extend(claimed.map(|(name, _)| format!("{}.{domain}", name.as_str())));
    Accepted { address: *owner, hosts }
}

/// What the owner of a host name has to do.
fn advice(state: &RelayState, host: &CustomHost, owner: &Address) -> String {
    let alias = state.sessions.host(&Owner::Identity(*owner), None);
    format!(
        "{host} is not led to you: make it a CNAME of {alias}, or put {owner} into a TXT record of {TEXT_LABEL}.{host}"
    )
}
