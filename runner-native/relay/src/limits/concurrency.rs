//! The limit of requests at once, for the relay and for each service.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hvym_tunnel_core::relay::{Name, Owner};

/// A service as visitors name it. The first one of an agent has two names, which are counted apart.
type Service = (Owner, Option<String>);

#[derive(Default)]
struct RequestCounts {
    all: usize,
    /// Has only services with requests.
    each: BTreeMap<Service, usize>,
}

/// Counts the requests in progress.
pub(crate) struct ConcurrencyLimit {
    most: usize,
    most_each: usize,
    counts: Mutex<RequestCounts>,
}

/// One request, counted until it is dropped.
pub(crate) struct ConcurrencyPermit {
    load: Arc<ConcurrencyLimit>,
    service: Service,
}

impl Drop for ConcurrencyPermit {
    fn drop(&mut self) {
        let mut counts = self.load.lock();
        counts.all -= 1;
        if let Some(count) = counts.each.get_mut(&self.service) {
            *count -= 1;
            if *count == 0 {
                counts.each.remove(&self.service);
            }
        }
    }
}

impl ConcurrencyLimit {
    /// At most `most` requests, and at most `most_each` for one service.
    pub(crate) fn new(most: usize, most_each: usize) -> Self {
        Self { most, most_each, counts: Mutex::default() }
    }

    /// Counts one more request for the service `name`. `None`: a limit is reached.
    pub(crate) fn enter(self: &Arc<Self>, name: &Name) -> Option<ConcurrencyPermit> {
        let mut counts = self.lock();
        if counts.all >= self.most {
            return None;
        }
        let service = (name.owner.clone(), name.service.clone());
        let count = counts.each.entry(service.clone()).or_insert(0);
        if *count >= self.most_each {
            return None;
        }
        *count += 1;
        counts.all += 1;
        Some(ConcurrencyPermit { load: Arc::clone(self), service })
    }

    fn lock(&self) -> MutexGuard<'_, RequestCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use hvym_tunnel_core::stellar::Address;

    use super::*;

    #[test]
    fn one_service_cannot_take_the_place_of_all() {
        let load = Arc::new(ConcurrencyLimit::new(3, 2));
        let owner = |byte| Owner::Identity(Address::from_public_key([byte; 32]));
        let name = |byte| Name { owner: owner(byte), service: None };
        let busy = [load.enter(&name(1)), load.enter(&name(1))];
        assert!(busy.iter().all(Option::is_some) && load.enter(&name(1)).is_none());
        let other = load.enter(&name(2));
        assert!(other.is_some() && load.enter(&name(3)).is_none());
        drop(busy);
        assert!(load.enter(&name(1)).is_some());
        drop(other);
        assert!(load.lock().each.is_empty() && load.lock().all == 0);
    }
}
