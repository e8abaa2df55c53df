//! Delegations that signers outside give for a time: the next one is asked for before this one is over, and a link by it takes
//! the place of the one before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hvym_tunnel_core::time::{Instant, UnixTime, earliest};
use hvym_tunnel_net::clock::Clock;
use hvym_tunnel_net::runtime::spawn;

use super::{Inner, TunnelManager};
use crate::link::ManagedLink;
use crate::settings::ManagedLinkSettings;

/// For which end of a delegation each link has asked. A no is final: such a link ends with its delegation.
#[derive(Default)]
pub(super) struct Renewals {
    asked: BTreeMap<String, UnixTime>,
    /// When the next one is due.
    next: Option<Instant>,
}

impl Renewals {
    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Asks for those that are due.
    pub(super) fn ask(&mut self, inner: &Arc<Inner>, now: Instant) {
        let (links, today) = (inner.links(), Clock::new().wall().unix);
        self.asked.retain(|name, _| links.iter().any(|link| link.name() == name));
        self.next = None;
        for link in links.into_iter().filter(|link| link.is_wanted()) {
            let Some(due) = link.settings().signer.renewal_at() else { continue };
            if self.asked.get(link.name()) == Some(&due) {
                continue;
            }
            if today < due {
                let left = Duration::from_secs(due.as_secs() - today.as_secs());
                self.next = earliest(self.next, Some(now + left));
                continue;
            }
            self.asked.insert(link.name().to_owned(), due);
            let manager = TunnelManager(Arc::clone(inner));
            spawn(async move { renew(&manager, &link).await }).detach();
        }
    }
}

async fn renew(manager: &TunnelManager, link: &Arc<ManagedLink>) {
    let (name, signer) = (link.name(), link.settings().signer.clone());
    // A person may be asked.
    let renewed = match smol::unblock(move || signer.renewed()).await {
        Ok(renewed) => renewed,
        Err(error) => return tracing::warn!(link = name, %error, "there is no further delegation"),
    };
    // Another one may have its place by now, with a delegation of its own.
    if !manager.0.link(name).is_some_and(|known| Arc::ptr_eq(&known, link)) {
        return;
    }
    let settings =
        ManagedLinkSettings { signer: renewed, services: link.services(), ..link.settings().clone() };
    match manager.replace_link(settings) {
        Ok(()) => tracing::info!(link = name, "goes on by another delegation"),
        Err(error) => tracing::debug!(link = name, %error, "it is gone"),
    }
}
