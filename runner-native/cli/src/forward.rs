//! `forward`: local connections that reach the service of another identity.

use std::net::SocketAddr;
use std::sync::Arc;

use hvym_tunnel_agent::settings::{LinkSettings, SettingsError};
use hvym_tunnel_agent::{Forward, ServiceAddress, Signer};
use hvym_tunnel_core::stellar::delegation::ShareLink;
use hvym_tunnel_net::known_relays::KnownRelays;
use hvym_tunnel_net::runtime::RuntimeHandle;
use serde_json::{Value, json};

use crate::agent_reports::{AgentKind, AgentReports, Subject};
use crate::exit::ExitError;
use crate::joined::{self, Wish};
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
    /// Whether to leave a manager alone that runs.
    pub(crate) alone: bool,
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

    /// What it wants of a manager; `None`: it needs a link of its own.
    fn wish(&self, signer: &Signer) -> Option<Wish> {
        let link = LinkSettings { relay: None, relay_address: None, ..self.link.clone() };
        let is_shareable = !self.alone && self.share.is_none() && link == LinkSettings::default();
        let text = |value: Option<String>| value.map_or(Value::Null, Value::String);
        is_shareable.then(|| Wish {
            request: json!({
                "relay": text(self.link.relay.as_ref().map(ToString::to_string)),
                "relay_address": text(self.link.relay_address.map(|address| address.to_string())),
                "address": signer.address().to_string(),
                "forward": { "to": self.to.to_string(), "listen": self.listen.to_string() },
            }),
            is_one_service: false,
            hint: "choose another port, or leave the manager out of it with --alone",
        })
    }

    fn subject(&self, signer: &Signer) -> Subject {
        let relay = self.link.relay.as_ref().map(ToString::to_string).unwrap_or_default();
        let purpose = AgentKind::Forward { service: self.to.to_string() };
        Subject { address: signer.address(), relay, purpose }
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
    let stopped = Report::Stopped { reason: "as asked".to_owned() };
    if let Some(wish) = options.wish(&signer)
        && joined::while_it_runs(&wish, || options.subject(&signer), &reporter, &mut signals).await?
    {
        reporter.tell(&stopped);
        return Ok(());
    }
    let reports = Arc::new(AgentReports::new(reporter.clone(), options.subject(&signer)));
    let ForwardOptions { link, known_relays, to, listen, share, .. } = options;
    let builder = Forward::builder(signer).link(link).known_relays(known_relays).to(to).listen(listen);
    let builder = match share {
        Some(share) => builder.delegation(share.delegation().signed().clone()),
        None => builder,
    };
    let forward = builder.observer(Arc::clone(&reports) as _).start(&RuntimeHandle::current())?;
    until_end(&forward, &reports, &mut signals, ExitError::from).await?;
    reporter.tell(&stopped);
    Ok(())
}

#[cfg(test)]
mod tests {
    use hvym_tunnel_agent::Identity;

    use super::*;

    fn options() -> ForwardOptions {
        let signer = Signer::from(Identity::generate().expect("entropy"));
        let to = format!("{}/db", signer.address()).parse().expect("a service");
        let relay = Some("tunnel.example".parse().expect("a relay"));
        ForwardOptions {
            link: LinkSettings { relay, ..LinkSettings::default() },
            known_relays: None,
            to,
            listen: ([127, 0, 0, 1], 5432).into(),
            share: None,
            alone: false,
        }
    }

    #[test]
    fn what_needs_a_link_of_its_own_is_not_asked_of_a_manager() {
        let signer = Signer::from(Identity::generate().expect("entropy"));
        let wish = options().wish(&signer).expect("it can be shared");
        assert_eq!(
            (&wish.request["relay"], &wish.request["forward"]["listen"]),
            (&"wss://tunnel.example".into(), &"127.0.0.1:5432".into())
        );
        let changes: [fn(&mut ForwardOptions); 2] =
            [|options| options.alone = true, |options| options.link.retry.no_retry = true];
        for (number, change) in changes.into_iter().enumerate() {
            let mut options = options();
            change(&mut options);
            assert!(options.wish(&signer).is_none(), "{number}");
        }
    }
}
