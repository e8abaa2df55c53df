//! All tunnels in memory, for lookups that never wait.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::token::TokenHash;
use crate::tunnel::TunnelRecord;
use crate::usage::{TunnelUsage, stored};

/// How many tunnels a registry has at most: about 50 MB of memory.
pub const MAX_TUNNELS: usize = 100_000;

/// What became of a tunnel.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TunnelChange {
    /// It is new.
    Created(Arc<str>),
    /// It has another title, or is enabled again.
    Updated(Arc<str>),
    /// It has another token.
    Rotated(Arc<str>),
    /// Its agent is let in no more.
    Disabled(Arc<str>),
    /// It is gone.
    Deleted(Arc<str>),
}

/// The tunnels, as of one revision of the database.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    tunnels: BTreeMap<Arc<str>, TunnelRecord>,
    by_token: HashMap<TokenHash, Arc<str>>,
    pub(crate) revision: i64,
}

impl Snapshot {
    /// All these.
    pub(crate) fn new(tunnels: Vec<TunnelRecord>, revision: i64) -> Self {
        let mut snapshot = Self { revision, ..Self::default() };
        tunnels.into_iter().for_each(|tunnel| snapshot.put(tunnel));
        snapshot
    }

    /// Adds a tunnel, or replaces the one of its name.
    pub(crate) fn put(&mut self, tunnel: TunnelRecord) {
        let domain = Arc::clone(&tunnel.domain);
        self.by_token.insert(tunnel.token_hash, Arc::clone(&domain));
        let hash = tunnel.token_hash;
        if let Some(before) = self.tunnels.insert(domain, tunnel)
            && before.token_hash != hash
        {
            self.by_token.remove(&before.token_hash);
        }
    }

    /// Removes a tunnel.
    pub(crate) fn remove(&mut self, domain: &str) {
        if let Some(tunnel) = self.tunnels.remove(domain) {
            self.by_token.remove(&tunnel.token_hash);
        }
    }

    /// The tunnel of this name.
    pub(crate) fn get(&self, domain: &str) -> Option<&TunnelRecord> {
        self.tunnels.get(domain)
    }

    /// The tunnel with this token.
    pub(crate) fn find(&self, token: &TokenHash) -> Option<&TunnelRecord> {
        self.tunnels.get(self.by_token.get(token)?)
    }

    /// All tunnels, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &TunnelRecord> {
        self.tunnels.values()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.tunnels.len()
    }

    /// Counts what a tunnel carried, which the database does not know yet.
    pub(crate) fn add_usage(&mut self, domain: &str, usage: TunnelUsage) {
        if let Some(tunnel) = self.tunnels.get_mut(domain) {
            tunnel.total_requests = tunnel.total_requests.saturating_add(stored(usage.requests));
            tunnel.bytes_in = tunnel.bytes_in.saturating_add(stored(usage.bytes_in));
            tunnel.bytes_out = tunnel.bytes_out.saturating_add(stored(usage.bytes_out));
            tunnel.last_connected_at = tunnel.last_connected_at.max(usage.connected_at);
        }
    }

    /// What became of the tunnels between `before` and this.
    pub(crate) fn changes_since(&self, before: &Snapshot) -> Vec<TunnelChange> {
        let gone = before.tunnels.keys().filter(|domain| !self.tunnels.contains_key(*domain));
        let mut changes: Vec<TunnelChange> = gone.cloned().map(TunnelChange::Deleted).collect();
        for (domain, tunnel) in &self.tunnels {
            let change = match before.tunnels.get(domain) {
                None => TunnelChange::Created,
                Some(older) if older.token_hash != tunnel.token_hash => TunnelChange::Rotated,
                Some(older) if older.enabled && !tunnel.enabled => TunnelChange::Disabled,
                Some(older) if is_shown_alike(older, tunnel) => continue,
                Some(_) => TunnelChange::Updated,
            };
            changes.push(change(Arc::clone(domain)));
        }
        changes
    }
}

/// Whether both differ in counters at most.
fn is_shown_alike(one: &TunnelRecord, other: &TunnelRecord) -> bool {
    let shown = |tunnel: &TunnelRecord| (tunnel.enabled, tunnel.logs_requests, tunnel.updated_at);
    shown(one) == shown(other) && one.name == other.name && one.description == other.description
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnel(domain: &str, token: &str, enabled: bool) -> TunnelRecord {
        TunnelRecord {
            id: 1,
            domain: domain.into(),
            token_hash: TokenHash::new(token),
            name: None,
            description: None,
            mode: "tcp".to_owned(),
            enabled,
            logs_requests: false,
            owner: None,
            created_at: 0,
            updated_at: None,
            last_connected_at: None,
            total_requests: 0,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    #[test]
    fn a_token_finds_its_tunnel_and_an_earlier_one_nothing() {
        let mut snapshot = Snapshot::new(vec![tunnel("a", "one", true)], 1);
        assert_eq!(snapshot.find(&TokenHash::new("one")).map(|found| &*found.domain), Some("a"));
        snapshot.put(tunnel("a", "two", true));
        assert_eq!(snapshot.find(&TokenHash::new("one")), None);
        assert_eq!(snapshot.find(&TokenHash::new("two")).map(|found| &*found.domain), Some("a"));
        snapshot.remove("a");
        assert_eq!((snapshot.find(&TokenHash::new("two")), snapshot.len()), (None, 0));
    }

    #[test]
    fn what_another_relay_changed_is_found_out() {
        let before = Snapshot::new(
            vec![
                tunnel("a", "1", true),
                tunnel("b", "2", true),
                tunnel("c", "3", true),
                tunnel("d", "4", true),
            ],
            1,
        );
        let mut counted = tunnel("d", "4", true);
        counted.total_requests = 7;
        let after = Snapshot::new(
            vec![tunnel("b", "9", true), tunnel("c", "3", false), counted, tunnel("e", "5", true)],
            2,
        );
        let expected = [
            TunnelChange::Deleted("a".into()),
            TunnelChange::Rotated("b".into()),
            TunnelChange::Disabled("c".into()),
            TunnelChange::Created("e".into()),
        ];
        assert_eq!(after.changes_since(&before), expected);
        assert_eq!(before.changes_since(&before), []);
    }

    #[test]
    fn usage_is_shown_before_it_is_written() {
        let mut snapshot = Snapshot::new(vec![tunnel("a", "1", true)], 1);
        let usage = TunnelUsage { requests: 2, bytes_in: 3, bytes_out: 4, connected_at: Some(5) };
        snapshot.add_usage("a", usage);
        snapshot.add_usage("a", TunnelUsage { connected_at: None, ..usage });
        let found = snapshot.get("a").expect("it is there");
        assert_eq!((found.total_requests, found.bytes_in, found.bytes_out), (4, 6, 8));
        assert_eq!(found.last_connected_at, Some(5));
    }
}
