//! What can be looked at without a relay: the key, the local service, the ports.

use std::net::{Ipv4Addr, TcpListener};

use hvym_tunnel_agent::{Agent, AgentError, ServiceSpec};
use hvym_tunnel_net::external_signer::{ExternalSigner, SignerPlace};
use hvym_tunnel_net::key::{Identity, KeyError, SECRET_VARIABLE, Source};
use hvym_tunnel_net::signer::Signer;
use hvym_tunnel_net::target::{ServiceName, Target};
use hvym_tunnel_relay::config::DEFAULT_PORT;

use super::check::{Check, Diagnosis};
use crate::exit::{Exit, ExitError};

/// The ports of this machine that parts of this program take if they are free.
const PORTS: [(u16, &str); 3] =
    [(DEFAULT_PORT, "a relay"), (8765, "the control API"), (4300, "the inspector")];

/// The key; `None` if there is none that can be used.
///
/// # Errors
/// Nobody reads.
pub(super) fn key(source: &Source, found: &mut Diagnosis) -> Result<Option<Signer>, ExitError> {
    if let Some(place) = &source.signer {
        return asked(place, found);
    }
    let place = match (&source.file, source.destination()) {
        _ if source.stdin => "standard input".to_owned(),
        (None, _) if std::env::var_os(SECRET_VARIABLE).is_some_and(|value| !value.is_empty()) => {
            format!("the variable {SECRET_VARIABLE}")
        }
        (_, Ok(path)) => path.display().to_string(),
        (_, Err(_)) => "no file".to_owned(),
    };
    match Identity::load(source) {
        Ok(identity) => {
            found.add(Check::ok("key", format!("{} from {place}", identity.address())), Exit::Refused)?;
            Ok(Some(identity.into()))
        }
        Err(KeyError::NotFound { path }) if source.file.is_none() => {
            let check = Check::warn("key", format!("there is none at {path} yet"));
            found.add(
                check.with_hint("expose makes one, and so does hvym-tunnel identity new"),
                Exit::Refused,
            )?;
            Ok(None)
        }
        Err(error) => {
            found.add(Check::of_error("key", &error.into()), Exit::Refused)?;
            Ok(None)
        }
    }
}

/// The key of another program.
fn asked(place: &SignerPlace, found: &mut Diagnosis) -> Result<Option<Signer>, ExitError> {
    match ExternalSigner::connect(place.clone()) {
        Ok(external) => {
            let text = format!("{} by the signer", external.address());
            found.add(Check::ok("key", text), Exit::Refused)?;
            Ok(Some(Signer::asked_each_time(external)))
        }
        Err(error) => {
            found.add(Check::of_error("key", &error.into()), Exit::Refused)?;
            Ok(None)
        }
    }
}

/// The local service.
///
/// # Errors
/// Nobody reads.
pub(super) async fn target(target: Option<&Target>, found: &mut Diagnosis) -> Result<(), ExitError> {
    const NAME: &str = "target";
    let Some(target) = target else {
        return found.add(Check::skip(NAME, "none is named"), Exit::UpstreamUnreachable);
    };
    let service: ServiceName = "doctor".parse().expect("a name");
    let agent = Agent::builder(Identity::generate()?).service(ServiceSpec::new(service, target.clone()));
    let check = match agent.probe().await {
        Ok(()) => Check::ok(NAME, format!("{target} answers")),
        Err(AgentError::Upstream(error)) => Check::fail(NAME, error.to_string())
            .with_hint("start it, or correct the place; https+insecure:// takes any certificate"),
        Err(error) => Check::of_error(NAME, &error.into()),
    };
    found.add(check, Exit::UpstreamUnreachable)
}

/// Ports of this machine.
///
/// # Errors
/// Nobody reads.
pub(super) fn ports(found: &mut Diagnosis) -> Result<(), ExitError> {
    let state = |(port, what): (u16, &str)| {
        let is_free = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        format!("{port} ({what}) is {}", if is_free { "free" } else { "in use" })
    };
    found.add(Check::ok("ports", PORTS.map(state).join(", ")), Exit::Unexpected)
}
