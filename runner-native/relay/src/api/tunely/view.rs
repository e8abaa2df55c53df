//! What Tunely's tools are told of a tunnel: of the registry, of the config file, or of an identity that is connected.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_registry::{EpochMillis, TunnelRecord};
use serde::Serialize;

use super::super::{forward, hvym, stamp};
use crate::metrics::Joined;
use crate::relay_state::RelayState;
use crate::sessions::AgentSession;
use crate::tunnels;

/// What is said of tunnels that are changed elsewhere.
const OF_CONFIG_FILE: &str = "Set in the relay's configuration file";

// Fields: those of the JSON object that Tunely's tools read.
/// One tunnel. Counters of one of the registry last; those of others begin with their agent's connection.
#[derive(Serialize)]
pub(super) struct Tunnel {
    domain: String,
    name: Option<String>,
    description: Option<String>,
    mode: String,
    enabled: bool,
    /// Bytes from visitors.
    bytes_in: u64,
    /// Bytes to visitors.
    bytes_out: u64,
    connected: bool,
    /// Always `null`.
    token: Option<String>,
    /// Of a tunnel of the config file the start of the relay, of an identity its login.
    created_at: String,
    last_connected_at: Option<String>,
    /// When its agent last sent something; Tunely's own relay does not have it.
    last_seen: Option<String>,
    total_requests: u64,
    client_version: Option<String>,
}

/// The connected agents, and all tunnels of the config file and of the registry.
pub(super) fn list(state: &RelayState) -> Vec<Tunnel> {
    let mut all: BTreeMap<String, Tunnel> = BTreeMap::new();
    let live = state.live.get();
    for name in live.compat_agents.tunnels() {
        all.insert(name.to_string(), Tunnel::absent(state, name.to_string()));
    }
    tunnels::record_all(state);
    for record in state.plugins.tunnels.iter().flat_map(|registry| registry.list()) {
        if !live.compat_agents.has_tunnel(&record.domain) {
            all.insert(record.domain.to_string(), Tunnel::registered(&record));
        }
    }
    for live in state.sessions.all() {
        if let Some(joined) = hvym::present(&live) {
            let tunnel = Tunnel::live(state, &live, joined);
            match all.get_mut(&tunnel.domain) {
                Some(known) if state.live.get().compat_agents.is_registered(&tunnel.domain) => {
                    known.connect(&tunnel)
                }
                _ => drop(all.insert(tunnel.domain.clone(), tunnel)),
            }
        }
    }
    all.into_values().collect()
}

/// The tunnels of this owner.
pub(super) fn list_of(state: &RelayState, owner: &str) -> Vec<Tunnel> {
    let all = state.plugins.tunnels.iter().flat_map(|registry| registry.list());
    let own = all.filter(|record| record.owner.as_deref() == Some(owner));
    own.filter_map(|record| tunnel(state, &record.domain)).collect()
}

/// The tunnel of this name, if there is one.
pub(super) fn tunnel(state: &RelayState, domain: &str) -> Option<Tunnel> {
    let name = state.sessions.resolve(&forward::host(state, domain)).ok()?;
    let lives = state.sessions.sessions_of(&name.owner);
    let live = lives.iter().find_map(|live| Some((live, Tunnel::live(state, live, hvym::present(live)?))));
    if let Some((registry, Owner::Named(name))) = state.plugins.tunnels.as_ref().zip(Some(&name.owner))
        && state.live.get().compat_agents.is_registered(name)
    {
        lives.iter().for_each(|live| tunnels::record_usage(state, live));
        let mut tunnel = Tunnel::registered(&registry.get(name)?);
        live.iter().for_each(|(_, live)| tunnel.connect(live));
        return Some(tunnel);
    }
    live.map(|(_, live)| live).or_else(|| match name.owner {
        Owner::Named(name) => Some(Tunnel::absent(state, name.to_string())),
        // An address whose agent is not connected is no tunnel.
        Owner::Identity(_) => None,
    })
}

/// The first label of the host name.
fn label(owner: &Owner) -> String {
    match owner {
        Owner::Identity(address) => address.label(),
        Owner::Named(name) => name.to_string(),
    }
}

impl Tunnel {
    /// A tunnel of the registry, as if its agent were not connected.
    fn registered(record: &TunnelRecord) -> Self {
        let count = |count: i64| u64::try_from(count).unwrap_or_default();
        Self {
            domain: record.domain.to_string(),
            name: record.name.clone(),
            description: record.description.clone(),
            mode: record.mode.clone(),
            enabled: record.enabled,
            bytes_in: count(record.bytes_in),
            bytes_out: count(record.bytes_out),
            connected: false,
            token: None,
            created_at: stamp::whole_seconds(moment(record.created_at)),
            last_connected_at: record.last_connected_at.map(|at| stamp::without_zone(moment(at))),
            last_seen: None,
            total_requests: count(record.total_requests),
            client_version: None,
        }
    }

    /// Its agent is connected, of which `live` tells.
    fn connect(&mut self, live: &Tunnel) {
        self.connected = true;
        self.last_seen.clone_from(&live.last_seen);
        self.client_version.clone_from(&live.client_version);
    }

    /// A tunnel whose agent is not connected.
    fn absent(state: &RelayState, domain: String) -> Self {
        Self {
            enabled: state.live.get().compat_agents.is_enabled(&domain),
            domain,
            name: None,
            description: Some(OF_CONFIG_FILE.to_owned()),
            mode: "http".to_owned(),
            bytes_in: 0,
            bytes_out: 0,
            connected: false,
            token: None,
            created_at: stamp::without_zone(state.info.started),
            last_connected_at: None,
            last_seen: None,
            total_requests: 0,
            client_version: None,
        }
    }

    fn live(state: &RelayState, live: &AgentSession, joined: &Joined) -> Self {
        let carried = live.session.counters();
        let heard = hvym::last_heard(state, live);
        let mut tunnel = Self {
            enabled: true,
            bytes_in: carried.written,
            bytes_out: carried.read,
            connected: true,
            last_connected_at: Some(stamp::without_zone(joined.at)),
            last_seen: Some(stamp::without_zone(heard)),
            total_requests: live.record.metrics.counts().total,
            client_version: joined.version.clone(),
            ..Self::absent(state, label(&joined.owner))
        };
        if let Owner::Identity(_) = joined.owner {
            tunnel.description = None;
            tunnel.created_at = stamp::without_zone(joined.at);
        }
        tunnel
    }
}

/// A moment of the database.
pub(super) fn moment(at: EpochMillis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or_default())
}
