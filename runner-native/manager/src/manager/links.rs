//! The links of a manager: started, stopped, added, replaced and removed by name.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use hvym_tunnel_agent::{AgentHandle, AgentView, ServiceName};
use hvym_tunnel_net::runtime::spawn;

use super::{Inner, STOP_LIMIT, TunnelManager};
use crate::error::ManagerError;
use crate::link::ManagedLink;
use crate::settings::ManagedLinkSettings;

impl TunnelManager {
    /// Starts a link, or all of them. Those that run go on. Returns how many were started. They run again after the next start of
    /// the manager.
    ///
    /// # Errors
    /// There is none, or one cannot start; the others are started all the same.
    pub async fn start_links(&self, name: Option<&str>) -> Result<usize, ManagerError> {
        let (mut started, mut failed) = (0, None);
        let links = self.0.select(name)?;
        self.0.keep_wanted(&links, true).await;
        for link in links {
            match link.start().await {
                Ok(is_new) => started += usize::from(is_new),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(started), |error| Err(error.into()))
    }

    /// Stops a link, or all of them at the same time; what is under way may take `limit`. Returns how many were stopped. They stay
    /// so after the next start of the manager.
    ///
    /// # Errors
    /// There is none.
    pub async fn stop_links(&self, name: Option<&str>, limit: Duration) -> Result<usize, ManagerError> {
        let links = self.0.select(name)?;
        self.0.keep_wanted(&links, false).await;
        let stopped = futures_util::future::join_all(links.iter().map(|link| link.stop(limit))).await;
        Ok(stopped.into_iter().filter(|stopped| *stopped).count())
    }

    /// Stops and starts a link, or all of them.
    ///
    /// # Errors
    /// As for [`Self::start_links`].
    pub async fn restart_links(&self, name: Option<&str>) -> Result<usize, ManagerError> {
        let links = self.0.select(name)?;
        self.0.keep_wanted(&links, true).await;
        let restarted =
            futures_util::future::join_all(links.iter().map(|link| link.restart(STOP_LIMIT))).await;
        let restarted = restarted.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(restarted.len())
    }

    /// The agent of a link, if it runs; one that is being started, stopped or both is waited for.
    pub async fn agent(&self, link: &str) -> Option<Arc<AgentHandle>> {
        self.0.link(link)?.agent().await
    }

    /// A look at each agent that runs.
    pub fn views(&self) -> Vec<AgentView> {
        self.0.links().iter().filter_map(|link| link.view()).collect()
    }

    /// Adds a link, and starts it if it is to be started. The others do not notice.
    ///
    /// # Errors
    /// There is one of its name.
    pub fn add_link(&self, settings: ManagedLinkSettings) -> Result<(), ManagerError> {
        let inner = &self.0;
        let (name, is_wanted) = (settings.name.clone(), settings.auto_start);
        let link = ManagedLink::new(settings, is_wanted, inner.context.clone());
        {
            let mut links = inner.links.write().unwrap_or_else(PoisonError::into_inner);
            if links.contains_key(&name) {
                return Err(ManagerError::DuplicateLink(name));
            }
            links.insert(name, Arc::clone(&link));
        }
        let _inside = inner.context.runtime.enter();
        start_if_wanted(link);
        inner.context.notify();
        Ok(())
    }

    /// Puts a link with other settings in the place of the one of its name, which ends once the new one is connected, and after
    /// ten seconds all the same; what is under way there may take ten more. Services that were added to it stay, and so does that
    /// it was stopped, or started. The others do not notice.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn replace_link(&self, mut settings: ManagedLinkSettings) -> Result<(), ManagerError> {
        let inner = &self.0;
        let (link, old) = {
            let mut links = inner.links.write().unwrap_or_else(PoisonError::into_inner);
            let known = links.get_mut(&settings.name);
            let known = known.ok_or_else(|| ManagerError::UnknownLink(settings.name.clone()))?;
            let is_new =
                |name: &ServiceName| settings.services.iter().all(|service| service.spec.name != *name);
            let added = known.services().into_iter().filter(|old| old.is_added && is_new(&old.spec.name));
            let added: Vec<_> = added.collect();
            settings.services.extend(added);
            let is_wanted = match known.settings().auto_start == settings.auto_start {
                true => known.is_wanted(),
                false => settings.auto_start,
            };
            let link = ManagedLink::new(settings, is_wanted, inner.context.clone());
            link.observer.take_followers(&known.observer);
            (Arc::clone(&link), std::mem::replace(known, link))
        };
        let _inside = inner.context.runtime.enter();
        start_if_wanted(Arc::clone(&link));
        spawn(async move {
            if link.is_wanted() {
                link.connected(STOP_LIMIT).await;
            }
            old.stop(STOP_LIMIT).await;
        })
        .detach();
        inner.context.notify();
        Ok(())
    }

    /// Stops a link and forgets it; what is under way may take `limit`.
    ///
    /// # Errors
    /// There is none of this name.
    pub async fn remove_link(&self, name: &str, limit: Duration) -> Result<(), ManagerError> {
        let link = self.0.links.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        let link = link.ok_or_else(|| ManagerError::UnknownLink(name.to_owned()))?;
        self.0.context.journal.forget_link(name);
        self.0.lock_recalled().endpoints.retain(|(link, _), _| link != name);
        self.0.context.notify();
        link.stop(limit).await;
        Ok(())
    }

    /// The links that were stopped and stay so, although the settings would start them.
    pub fn links_that_stay_stopped(&self) -> Vec<String> {
        let links = self.0.links().into_iter();
        let stopped = links.filter(|link| link.settings().auto_start && !link.is_wanted());
        stopped.map(|link| link.name().to_owned()).collect()
    }
}

impl Inner {
    /// Whether these are to run is known to the next process too, from the end of this on.
    async fn keep_wanted(&self, links: &[Arc<ManagedLink>], is_wanted: bool) {
        links.iter().for_each(|link| self.context.journal.set_wanted(link.name(), is_wanted));
        self.context.journal.flush().await;
    }
}

/// On a thread that is inside the runtime.
pub(super) fn start_if_wanted(link: Arc<ManagedLink>) {
    if link.is_wanted() {
        spawn(async move {
            if let Err(error) = link.start().await {
                tracing::error!(link = link.name(), %error, "cannot start a link");
            }
        })
        .detach();
    }
}
