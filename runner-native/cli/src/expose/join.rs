//! What `expose` says to a manager of the same user, so that its services are offered over the link that runs.

use hvym_tunnel_agent::settings::LinkSettings;
use hvym_tunnel_agent::{ServiceSpec, Signer};
use hvym_tunnel_core::access::Access;
use serde_json::{Value, json};

use super::ExposeOptions;
use crate::embedded::OwnRelay;
use crate::joined::Wish;
use crate::manager_client::absolute;

/// What it wants; `None`: it needs an agent of its own.
pub(super) fn wish(signer: &Signer, options: &ExposeOptions) -> Option<Wish> {
    is_shareable(options).then(|| Wish {
        request: request(signer, options),
        is_one_service: options.services.len() == 1,
        hint: "choose another name with --service, or leave the manager out of it with --alone",
    })
}

/// Whether nothing is wanted but services, on a link as it is by default: everything else needs an agent of its own.
fn is_shareable(options: &ExposeOptions) -> bool {
    let link = LinkSettings { relay: None, relay_address: None, ..options.link.clone() };
    !options.alone
        && options.api.is_none()
        && options.compat.is_none()
        && options.names.is_empty()
        && options.process_label.is_none()
        && !options.require_upstream
        && options.inspect.is_none_or(|inspect| !inspect.is_asked_for)
        && options.own_relay == OwnRelay::default()
        && link == LinkSettings::default()
        && options.services.iter().all(is_plain)
}

/// Whether a service has nothing but a name, a place, and somebody who may reach it.
fn is_plain(service: &ServiceSpec) -> bool {
    let mut plain = ServiceSpec::new(service.name.clone(), service.target.clone());
    plain.access = service.access.clone();
    plain == *service
}

fn request(signer: &Signer, options: &ExposeOptions) -> Value {
    let services = options.services.iter().map(|service| {
        let allow: Vec<_> = match &service.access {
            Access::Private(allowed) => allowed.iter().map(|address| address.to_string()).collect(),
            _ => Vec::new(),
        };
        json!({
            "name": service.name.as_str(),
            "target": absolute(&service.target.to_string()),
            "private": !service.access.is_public(),
            "allow": allow,
        })
    });
    json!({
        "relay": options.link.relay.as_ref().map(ToString::to_string),
        "relay_address": options.link.relay_address.map(|address| address.to_string()),
        "address": signer.address().to_string(),
        "services": services.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::InspectOptions;

    fn options() -> ExposeOptions {
        let target = "3000".parse().expect("a target");
        ExposeOptions::new(ServiceSpec::new("web".parse().expect("a name"), target))
    }

    #[test]
    fn what_needs_an_agent_of_its_own_is_not_shared() {
        assert!(is_shareable(&options()));
        let mut private = options();
        private.services[0].access = Access::Private([].into());
        assert!(is_shareable(&private), "who may reach it is said");
        let changes: [fn(&mut ExposeOptions); 8] = [
            |options| options.api = Some(([127, 0, 0, 1], 8765).into()),
            |options| options.alone = true,
            |options| options.names.push("cool".to_owned()),
            |options| options.require_upstream = true,
            |options| options.services[0].filter.cors_preflight = true,
            |options| options.link.retry.no_retry = true,
            |options| options.own_relay.port = Some(0),
            |options| {
                let at = ([127, 0, 0, 1], 4300).into();
                options.inspect = Some(InspectOptions { at, private: false, is_asked_for: true });
            },
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut options = options();
            change(&mut options);
            assert!(!is_shareable(&options), "{number}");
        }
        let mut relay = options();
        relay.link.relay = Some("tunnel.example".parse().expect("a relay"));
        let asked = request(&hvym_tunnel_agent::Identity::generate().expect("entropy").into(), &relay);
        let expected = (&"wss://tunnel.example".into(), &"http://localhost:3000".into());
        assert_eq!((&asked["relay"], &asked["services"][0]["target"]), expected);
    }
}
