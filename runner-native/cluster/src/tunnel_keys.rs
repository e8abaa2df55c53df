//! The records of tunnels that HVYM's server keeps in Redis, for programs that read there who is connected: which of them to write and to
//! remove, and when. Their shape is recorded from that server.
//!
//! It has no clock and no socket. A record lives longer than it takes to write it again, and not much longer than its relay: theirs ended
//! with the token of the agent, whose tunnel went on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;

use crate::record::{NodeId, ServiceKey};

/// How long a record outlives the relay that wrote it, where no other relay is left to remove it.
pub const TUNNEL_TTL: Duration = Duration::from_secs(60);
/// How often a record is written again: two may fail before it is gone.
const RENEW_AFTER: Duration = Duration::from_secs(20);
/// Records that are written at once, beside one exchange of services: a thousandth of a second of Redis.
const MAX_WRITES: usize = 256;

/// What HVYM's server says of a tunnel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HvymTunnel {
    /// Whose it is.
    pub address: Address,
    /// Where visitors reach it.
    pub endpoint_url: String,
    /// Its public services.
    pub services: Vec<String>,
    /// When its agent connected, as that server writes it.
    pub connected_at: String,
    /// Seconds since 1970 at which the token of its agent expires.
    pub expires_at: Option<u64>,
    /// Who the relay is.
    pub server_address: Address,
}

/// A record to be written, or to be removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TunnelWrite {
    pub(crate) address: Address,
    /// The service by whose claim it is written, and the record; `None` removes it.
    pub(crate) record: Option<(ServiceKey, String)>,
}

/// Records to be written at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TunnelBatch {
    pub(crate) node: NodeId,
    /// Whether records are removed whose relays are gone, whoever wrote them.
    pub(crate) sweeps: bool,
    pub(crate) writes: Vec<TunnelWrite>,
}

/// A record of this relay.
struct OwnTunnel {
    service: ServiceKey,
    json: String,
    due: Instant,
}

/// The records of one relay.
pub struct TunnelKeys {
    node: NodeId,
    own: BTreeMap<Address, OwnTunnel>,
    /// What may be left of tunnels that this relay or another one had.
    gone: BTreeSet<Address>,
    sweeps: bool,
}

impl HvymTunnel {
    /// As `json.dumps` of Python writes it.
    fn to_json(&self) -> String {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let services: Vec<String> = self.services.iter().map(|service| text(service)).collect();
        let expires_at = self.expires_at.map_or("null".to_owned(), |at| at.to_string());
        format!(
            r#"{{"stellar_address": "{}", "endpoint_url": {}, "services": [{}], "connected_at": {}, "expires_at": {expires_at}, "server_address": "{}"}}"#,
            self.address,
            text(&self.endpoint_url),
            services.join(", "),
            text(&self.connected_at),
            self.server_address,
        )
    }
}

impl TunnelKeys {
    /// Of the relay `node`, which has no tunnel yet.
    pub fn new(node: NodeId) -> Self {
        Self { node, own: BTreeMap::new(), gone: BTreeSet::new(), sweeps: true }
    }

    /// What this relay serves of `address` now: one of its services, and the record.
    pub fn set_own(&mut self, address: Address, tunnel: Option<(ServiceKey, HvymTunnel)>, now: Instant) {
        let Some((service, record)) = tunnel else {
            if self.own.remove(&address).is_some() {
                self.gone.insert(address);
            }
            return;
        };
        self.gone.remove(&address);
        let json = record.to_json();
        if self.own.get(&address).is_none_or(|own| (&own.service, &own.json) != (&service, &json)) {
            self.own.insert(address, OwnTunnel { service, json, due: now });
        }
    }

    /// Another relay serves something of `address` no longer: its record may be left, or be in the place of this relay's.
    pub fn handle_withdrawn(&mut self, address: Address, now: Instant) {
        match self.own.get_mut(&address) {
            Some(own) => own.due = now,
            None => drop(self.gone.insert(address)),
        }
    }

    /// What is to be written now, if anything.
    pub fn poll_batch(&self, now: Instant) -> Option<TunnelBatch> {
        let gone = self.gone.iter().map(|address| TunnelWrite { address: *address, record: None });
        let due = self.own.iter().filter(|(_, own)| own.due <= now).map(|(address, own)| TunnelWrite {
            address: *address,
            record: Some((own.service.clone(), own.json.clone())),
        });
        let writes: Vec<TunnelWrite> = gone.chain(due).take(MAX_WRITES).collect();
        let batch = TunnelBatch { node: self.node.clone(), sweeps: self.sweeps, writes };
        (batch.sweeps || !batch.writes.is_empty()).then_some(batch)
    }

    /// The batch was written.
    pub fn handle_written(&mut self, batch: &TunnelBatch, now: Instant) {
        self.sweeps &= !batch.sweeps;
        for TunnelWrite { address, record } in &batch.writes {
            match (record, self.own.get_mut(address)) {
                (Some((_, json)), Some(own)) if own.json == *json => own.due = now + RENEW_AFTER,
                (None, None) => drop(self.gone.remove(address)),
                // It is another one by now.
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hvym_tunnel_core::relay::Owner;

    use super::*;

    fn address(seed: u8) -> Address {
        Address::from_public_key([seed; 32])
    }

    fn tunnel(seed: u8) -> Option<(ServiceKey, HvymTunnel)> {
        let key = ServiceKey { owner: Owner::Identity(address(seed)), service: "web".to_owned() };
        let record = HvymTunnel {
            address: address(seed),
            endpoint_url: "https://g.example".to_owned(),
            services: vec!["web".to_owned(), "api".to_owned()],
            connected_at: "2026-11-21T09:52:45.158753+00:00".to_owned(),
            expires_at: Some(1_795_258_365),
            server_address: address(0),
        };
        Some((key, record))
    }

    /// What a batch writes and removes.
    fn batch(keys: &mut TunnelKeys, now: Instant) -> (Vec<Address>, Vec<Address>) {
        let Some(batch) = keys.poll_batch(now) else { return (Vec::new(), Vec::new()) };
        keys.handle_written(&batch, now);
        let (written, removed): (Vec<_>, Vec<_>) =
            batch.writes.into_iter().partition(|write| write.record.is_some());
        let addresses = |writes: Vec<TunnelWrite>| writes.iter().map(|write| write.address).collect();
        (addresses(written), addresses(removed))
    }

    #[test]
    fn a_record_is_written_as_python_does() {
        let (_, record) = tunnel(7).expect("a tunnel");
        let expected = format!(
            r#"{{"stellar_address": "{}", "endpoint_url": "https://g.example", "services": ["web", "api"], "connected_at": "2026-11-21T09:52:45.158753+00:00", "expires_at": 1795258365, "server_address": "{}"}}"#,
            address(7),
            address(0)
        );
        assert_eq!(record.to_json(), expected);
        let endless = HvymTunnel { expires_at: None, services: Vec::new(), ..record };
        assert!(endless.to_json().contains(r#""services": [], "#), "{}", endless.to_json());
        assert!(endless.to_json().contains(r#""expires_at": null, "#), "{}", endless.to_json());
    }

    #[test]
    fn a_record_is_written_again_while_its_tunnel_lives_and_removed_after_it() {
        let (mut keys, mut now) = (TunnelKeys::new(NodeId::new("a")), Instant::ZERO);
        let first = keys.poll_batch(now).expect("a sweep");
        assert!(first.sweeps && first.writes.is_empty());
        keys.handle_written(&first, now);
        assert_eq!(keys.poll_batch(now), None);
        keys.set_own(address(1), tunnel(1), now);
        assert_eq!(batch(&mut keys, now), (vec![address(1)], vec![]));
        keys.set_own(address(1), tunnel(1), now);
        assert_eq!(
            keys.poll_batch(now + (RENEW_AFTER - Duration::from_millis(1))),
            None,
            "nothing has changed"
        );
        now = now + RENEW_AFTER;
        assert_eq!(batch(&mut keys, now), (vec![address(1)], vec![]));
        keys.set_own(address(1), None, now);
        assert_eq!(batch(&mut keys, now), (vec![], vec![address(1)]));
        assert_eq!(keys.poll_batch(now + 2 * RENEW_AFTER), None);
    }

    #[test]
    fn what_another_relay_leaves_is_removed_or_replaced_by_what_is_served_here() {
        let (mut keys, now) = (TunnelKeys::new(NodeId::new("a")), Instant::ZERO);
        keys.set_own(address(1), tunnel(1), now);
        assert_eq!(batch(&mut keys, now).0, [address(1)]);
        keys.handle_withdrawn(address(1), now);
        keys.handle_withdrawn(address(2), now);
        assert_eq!(batch(&mut keys, now), (vec![address(1)], vec![address(2)]));
        // It comes here before its record was removed.
        keys.handle_withdrawn(address(3), now);
        keys.set_own(address(3), tunnel(3), now);
        assert_eq!(batch(&mut keys, now), (vec![address(3)], vec![]));
    }

    #[test]
    fn a_batch_that_was_not_written_is_due_again_and_one_is_no_larger_than_it_may_be() {
        let (mut keys, now) = (TunnelKeys::new(NodeId::new("a")), Instant::ZERO);
        let all = u8::try_from(MAX_WRITES - 1).expect("a byte");
        for seed in 0..=all {
            keys.set_own(address(seed), tunnel(seed), now);
        }
        let written = keys.poll_batch(now).expect("a batch");
        assert_eq!(written.writes.len(), MAX_WRITES);
        assert_eq!(keys.poll_batch(now).as_ref(), Some(&written), "it failed");
        keys.handle_written(&written, now);
        assert_eq!(keys.poll_batch(now), None);
        // One more than fits.
        for seed in 0..=all {
            keys.handle_withdrawn(address(seed), now);
        }
        let other = Address::from_public_key(std::array::from_fn(|at| u8::from(at > 0)));
        keys.handle_withdrawn(other, now);
        assert_eq!(batch(&mut keys, now).0.len() + 1, MAX_WRITES, "what is gone goes first");
        assert_eq!(batch(&mut keys, now).0.len(), 1);
    }

    #[test]
    fn what_changes_while_it_is_written_is_written_again() {
        let (mut keys, now) = (TunnelKeys::new(NodeId::new("a")), Instant::ZERO);
        keys.set_own(address(1), tunnel(1), now);
        let written = keys.poll_batch(now).expect("a batch");
        let changed = tunnel(1).map(|(key, record)| (key, HvymTunnel { expires_at: None, ..record }));
        keys.set_own(address(1), changed, now);
        keys.handle_written(&written, now);
        assert_eq!(batch(&mut keys, now).0, [address(1)]);
        keys.set_own(address(1), None, now);
        let removed = keys.poll_batch(now).expect("a batch");
        keys.set_own(address(1), tunnel(1), now);
        keys.handle_written(&removed, now);
        assert_eq!(batch(&mut keys, now), (vec![address(1)], vec![]));
    }
}
