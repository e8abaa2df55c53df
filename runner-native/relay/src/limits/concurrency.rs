//! How many requests are under way at once, for the whole relay and for each service of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hvym_tunnel_core::relay::{Name, Owner};

/// A service as visitors name it; the first one of an agent is counted apart under its own name.
type Service = (Owner, Option<String>);

#[derive(Default)]
struct RequestCounts {
    all: usize,
    /// Only services with requests.
    each: BTreeMap<Service, usize>,
}

/// The requests under way.
pub(crate) struct ConcurrencyLimit {
    most: usize,
    most_each: usize,
    counts: Mutex<RequestCounts>,
}

/// One request under way.
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
    /// None yet; at most `most`, and at most `most_each` for one service.
    pub(crate) fn new(most: usize, most_each: usize) -> Self {
        Self { most, most_each, counts: Mutex::default() }
    }

    /// Counts one more request for the service `name`, if there is room for it.
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
