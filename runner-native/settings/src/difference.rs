//! What to change in a running program when its settings change.
//!
//! A pure function: it applies nothing. Who applies the changes in their order has what the new settings say, and has
//! touched nothing that both say alike.

use hvym_tunnel_net::target::ServiceName;

use crate::settings::Settings;

/// One change. Links and services are named; what they are now, the new settings say.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Change {
    /// A service of a link that stays goes.
    ServiceRemoved {
        /// The link.
        link: ServiceName,
        /// The service.
        service: ServiceName,
    },
    /// A link goes, with its services.
    LinkRemoved(ServiceName),
    /// A link is dialled anew with other settings, and offers the services that it has now.
    LinkChanged(ServiceName),
    /// A link comes, with its services.
    LinkAdded(ServiceName),
    /// A service of a link that stays has other settings. The streams of the others do not notice.
    ServiceChanged {
        /// The link.
        link: ServiceName,
        /// The service.
        service: ServiceName,
    },
    /// A service comes on a link that stays.
    ServiceAdded {
        /// The link.
        link: ServiceName,
        /// The service.
        service: ServiceName,
    },
    /// The control API has other settings; with `rebind` it listens elsewhere.
    Api {
        /// Whether its sockets are others.
        rebind: bool,
    },
    /// Checks have other intervals.
    Health,
    /// Alerts have other limits.
    Alerts,
    /// Other hooks are called.
    Hooks,
    /// Logs are written elsewhere, or with other words.
    Log,
    /// What windows do.
    Ui,
    /// What starts by itself, the next time.
    Start,
    /// How much at once.
    Limits,
}

/// What to change, in order: what frees names and ports comes before what takes them. Empty if both say the same.
pub fn difference(old: &Settings, new: &Settings) -> Vec<Change> {
    let mut changes = Vec::new();
    let links = |settings: &Settings| -> Vec<ServiceName> {
        settings.links.iter().filter(|link| link.enabled).map(|link| link.name.clone()).collect()
    };
    let (before, after) = (links(old), links(new));
    for name in &before {
        if !after.contains(name) {
            changes.push(Change::LinkRemoved(name.clone()));
        }
    }
    let mut added = Vec::new();
    for name in after {
        if !before.contains(&name) {
            added.push(Change::LinkAdded(name));
        } else if is_redialled(old, new, &name) {
            added.push(Change::LinkChanged(name));
        } else {
            let (removed, kept) = services(old, new, &name);
            changes.extend(removed);
            added.extend(kept);
        }
    }
    changes.extend(added);
    changes.extend(sections(old, new));
    changes
}

/// Whether the link must be dialled anew: its own settings are others, or its first service, which has the bare address, or
/// the folder that its paths count from.
fn is_redialled(old: &Settings, new: &Settings, name: &ServiceName) -> bool {
    let link = |settings: &Settings| settings.links.iter().find(|link| link.name == *name).cloned();
    old.folder != new.folder || link(old) != link(new) || first(old, name) != first(new, name)
}

fn enabled<'a>(
    settings: &'a Settings,
    name: &ServiceName,
) -> impl Iterator<Item = &'a crate::ServiceEntry> + use<'a> {
    let link = settings.links.iter().find(|link| link.name == *name);
    link.into_iter().flat_map(|link| settings.services_of(link)).filter(|service| service.enabled)
}

fn find<'a>(
    settings: &'a Settings,
    link: &ServiceName,
    name: &ServiceName,
) -> Option<&'a crate::ServiceEntry> {
    enabled(settings, link).find(|service| service.name == *name)
}

fn first<'a>(settings: &'a Settings, name: &ServiceName) -> Option<&'a ServiceName> {
    enabled(settings, name).next().map(|service| &service.name)
}

/// The services of a link that stays: which go, and which come or change.
fn services(old: &Settings, new: &Settings, link: &ServiceName) -> (Vec<Change>, Vec<Change>) {
    let removed = enabled(old, link).filter(|service| find(new, link, &service.name).is_none());
    let removed = removed
        .map(|service| Change::ServiceRemoved { link: link.clone(), service: service.name.clone() })
        .collect();
    let kept = enabled(new, link).filter_map(|service| {
        let (link, name) = (link.clone(), service.name.clone());
        match find(old, &link, &service.name) {
            None => Some(Change::ServiceAdded { link, service: name }),
            Some(before) if is_offered_alike(before, service) => None,
            Some(_) => Some(Change::ServiceChanged { link, service: name }),
        }
    });
    (removed, kept.collect())
}

/// Whether two services differ at most in whether they name the one link that there is.
fn is_offered_alike(before: &crate::ServiceEntry, after: &crate::ServiceEntry) -> bool {
    *before == crate::ServiceEntry { link: before.link.clone(), ..after.clone() }
}

fn sections(old: &Settings, new: &Settings) -> Vec<Change> {
    let api = |settings: &Settings| {
        let api = &settings.api;
        (api.enabled, api.listen.clone(), api.port, api.tls_cert.clone(), api.tls_key.clone())
    };
    let changed = [
        (old.api != new.api, Change::Api { rebind: api(old) != api(new) }),
        (old.health != new.health, Change::Health),
        (old.alerts != new.alerts, Change::Alerts),
        (old.hooks != new.hooks, Change::Hooks),
        (old.log != new.log, Change::Log),
        (old.ui != new.ui, Change::Ui),
        (old.start != new.start, Change::Start),
        (old.limits != new.limits, Change::Limits),
    ];
    changed.into_iter().filter(|(is_changed, _)| *is_changed).map(|(_, change)| change).collect()
}
