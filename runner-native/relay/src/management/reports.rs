//! What the routes that read are answered, from the state of the relay.

use std::collections::BTreeMap;
use std::time::SystemTime;

use hvym_proxy::limits::VisitorLimitsConfig;
use hvym_tunnel_core::dialect::Proto;
use hvym_tunnel_core::names::PublicName;
use hvym_tunnel_core::relay::{Ban, Owner};
use hvym_tunnel_core::time::UnixTime;
use serde::Serialize;
use serde_json::{Value, json};

use super::ApiCaller;
use super::shapes::{
    AgentReport, AgentsReport, AuditEntry, AuditReport, BanReport, BansReport, ConfigReport, LimitReport,
    LimitsReport, NameOrigin, NameReport, NamesReport, ServiceReport, ServicesReport, SessionReport,
    SessionsReport, StatusReport,
};
use crate::metrics::Joined;
use crate::relay_state::RelayState;
use crate::sessions::{AgentSession, SessionKey};
use crate::unread::unread;

/// Seconds since 1970.
pub(super) fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The sessions of which a caller is told.
fn present_to(state: &RelayState, caller: ApiCaller) -> Vec<(SessionKey, AgentSession, Joined)> {
    let mut present = present(state);
    present.retain(|(_, _, joined)| caller.sees(&joined.owner));
    present
}

/// The sessions that are logged in and up.
fn present(state: &RelayState) -> Vec<(SessionKey, AgentSession, Joined)> {
    let entries = state.sessions.entries().into_iter();
    let joined = |(key, live): (SessionKey, AgentSession)| {
        let joined = live.record.joined.get().cloned()?;
        live.is_up().then_some((key, live, joined))
    };
    entries.filter_map(joined).collect()
}

fn distinct(present: &[(SessionKey, AgentSession, Joined)]) -> Vec<Owner> {
    let mut owners: Vec<Owner> = present.iter().map(|(_, _, joined)| joined.owner.clone()).collect();
    owners.sort_unstable();
    owners.dedup();
    owners
}

/// Who is logged in.
pub(super) fn owners(state: &RelayState) -> Vec<Owner> {
    distinct(&present(state))
}

fn services(live: &AgentSession) -> Vec<String> {
    live.session.look(|session| session.services().iter().map(|service| service.name.clone()).collect())
}

pub(super) fn status(state: &RelayState) -> StatusReport {
    let (counts, present) = (state.metrics.counts(), present(state));
    let owners = distinct(&present);
    let options = &state.settings.options;
    StatusReport {
        version: env!("CARGO_PKG_VERSION"),
        address: state.info.address.to_string(),
        domain: options.ingress.domain.clone(),
        url: options.public_url(&options.ingress.domain, state.info.port),
        started: seconds(state.info.started),
        draining: state.lifecycle.parting.is_cancelled(),
        agents: owners.len(),
        sessions: present.len(),
        connections: state.limits.connections(),
        requests: counts.total,
        pending_requests: counts.pending,
        failed_requests: counts.failed,
    }
}

pub(super) fn agents(state: &RelayState, caller: ApiCaller) -> AgentsReport {
    let mut agents: BTreeMap<Owner, AgentReport> = BTreeMap::new();
    for (_, live, joined) in present_to(state, caller) {
        let url = || state.url(&joined.owner, None);
        let report = agents.entry(joined.owner.clone()).or_insert_with(|| AgentReport {
            agent: joined.owner.to_string(),
            system: joined.system.as_str(),
            since: seconds(joined.at),
            sessions: 0,
            services: Vec::new(),
            url: url(),
        });
        report.sessions += 1;
        for service in services(&live) {
            if !report.services.contains(&service) {
                report.services.push(service);
            }
        }
    }
    AgentsReport { agents: agents.into_values().collect() }
}

pub(super) fn sessions(state: &RelayState, caller: ApiCaller) -> SessionsReport {
    let now = state.clock.now();
    let report = |(key, live, joined): (SessionKey, AgentSession, Joined)| {
        let (counts, carried) = (live.record.metrics.counts(), live.session.counters());
        let services = services(&live);
        live.session.look(|session| SessionReport {
            id: key.number(),
            agent: joined.owner.to_string(),
            key: session.delegation().map(|by| by.delegation().key.to_string()),
            system: joined.system.as_str(),
            version: joined.version.clone(),
            from: joined.from.to_canonical().to_string(),
            since: seconds(joined.at),
            silent_seconds: now.saturating_duration_since(session.last_received()).as_secs_f64(),
            services,
            links: session.links(),
            streams: session.stream_counts().map(|counts| counts.opened + counts.accepted).sum(),
            round_trip_ms: session
                .stream_counts()
                .filter_map(|counts| counts.rtt)
                .min()
                .map(|rtt| rtt.as_secs_f64() * 1000.0),
            requests: counts.total,
            failed_requests: counts.failed,
            average_ms: counts.average_micros as f64 / 1000.0,
            bytes_in: carried.written,
            bytes_out: carried.read,
        })
    };
    SessionsReport { sessions: present_to(state, caller).into_iter().map(report).collect() }
}

pub(super) fn service_list(state: &RelayState, caller: ApiCaller) -> ServicesReport {
    let mut all: BTreeMap<(Owner, String), ServiceReport> = BTreeMap::new();
    for (_, live, joined) in present_to(state, caller) {
        for service in live.session.look(|session| session.services().to_vec()) {
            let name = service.name.clone();
            let url = || match (service.public, service.proto) {
                (false, _) => None,
                (true, Proto::Tcp) => state.ports.port(&joined.owner, &name).map(|port| state.tcp_url(port)),
                (true, _) => Some(state.url(&joined.owner, Some(&name))),
            };
            let report = all.entry((joined.owner.clone(), name.clone())).or_insert_with(|| ServiceReport {
                agent: joined.owner.to_string(),
                service: name.clone(),
                protocol: match service.proto {
                    Proto::Http => "http",
                    Proto::H2 => "h2",
                    Proto::Tcp => "tcp",
                },
                public: service.public,
                url: url(),
                sessions: 0,
            });
            report.sessions += 1;
        }
    }
    ServicesReport { services: all.into_values().collect() }
}

pub(super) fn names(state: &RelayState, caller: ApiCaller) -> NamesReport {
    let claimed = state.names.all().into_iter().filter(|(_, owner)| caller.sees(&Owner::Identity(*owner)));
    let claimed = claimed.map(|(name, owner)| NameReport {
        name: match name {
            PublicName::Label(label) => label.to_string(),
            PublicName::Host(host) => host.to_string(),
        },
        origin: NameOrigin::Claimed,
        agent: Some(owner.to_string()),
        connected: state.sessions.is_here(&Owner::Identity(owner)),
    });
    let configured = state.live.get().compat_agents.names().into_iter();
    let configured =
        configured.filter(|name| caller.sees(&Owner::Named(name.clone()))).map(|name| NameReport {
            connected: state.sessions.is_here(&Owner::Named(name.clone())),
            name: name.to_string(),
            origin: NameOrigin::Configured,
            agent: None,
        });
    let mut names: Vec<NameReport> = claimed.chain(configured).collect();
    names.sort_unstable();
    NamesReport { names }
}

pub(super) fn bans(state: &RelayState) -> BansReport {
    let now = state.clock.wall().unix;
    fn report((subject, ban): (impl ToString, Ban)) -> BanReport {
        let until = ban.until.map(UnixTime::as_secs);
        BanReport { subject: subject.to_string(), until, reason: ban.reason }
    }
    let identities = state.bans.all(now).into_iter().map(report);
    BansReport { bans: identities.chain(state.network_bans.all(now).into_iter().map(report)).collect() }
}

pub(super) fn limits(state: &RelayState) -> LimitsReport {
    fn limit(max: impl Into<Option<usize>>, used: impl Into<Option<usize>>) -> LimitReport {
        let number = |count: usize| count as f64;
        LimitReport { max: max.into().map(number), used: used.into().map(number) }
    }
    let (VisitorLimitsConfig { connections, requests, service_requests, visitor }, pending) =
        state.limits.config();
    let options = &state.settings.options;
    let rate = |per_second: u32| limit(usize::try_from(per_second).unwrap_or(usize::MAX), None);
    let unread: usize = state.sessions.all().iter().map(unread).sum();
    let ports = options.ingress.tcp_ports.as_ref().map(|ports| ports.len());
    let limits = [
        ("max_connections", limit(connections, state.limits.connections())),
        ("max_requests", limit(requests, pending)),
        ("max_agents", limit(options.limits.sessions, present(state).len())),
        ("service_requests", limit(service_requests, None)),
        ("link_streams", limit(options.limits.link_streams, None)),
        ("max_unread", limit(options.limits.unread_mib, unread / (1024 * 1024))),
        ("visitor_connections", limit(visitor.connections, None)),
        ("visitor_rate", rate(visitor.connection_rate.per_second)),
        ("visitor_requests", limit(visitor.service_requests, None)),
        ("visitor_tunnels", limit(visitor.service_tunnels, None)),
        ("visitor_resets", rate(visitor.reset_rate.per_second)),
        ("tcp_ports", limit(ports, state.ports.taken())),
    ];
    LimitsReport { limits: limits.into() }
}

pub(super) fn config(state: &RelayState) -> ConfigReport {
    fn group(settings: &impl Serialize) -> Value {
        serde_json::to_value(settings).unwrap_or_default()
    }
    let (options, guests) = (&state.settings.options, state.live.get());
    let groups = [
        ("listen", group(&options.ingress)),
        ("public", group(&options.public)),
        ("https", group(&options.https)),
        ("admission", group(&options.admission)),
        ("access", group(&options.access)),
        ("login", group(&options.login)),
        ("state", group(&options.state)),
        ("admin", group(&options.admin)),
        ("restart", group(&options.restart)),
        ("cluster", group(&options.cluster)),
        ("upstream", group(&options.upstream)),
        ("names", group(&options.names)),
        ("keepalive", group(&options.keepalive)),
        ("limits", group(&options.limits)),
        ("visitors", group(&options.visitors)),
        ("tunnel_ports", group(&options.tunnel_ports)),
        (
            "compat",
            json!({
                "tunnels": guests.compat_agents.names().len(),
                "cloudtolocalllm": guests.compat_agents.has_cloud(),
                "seal": options.guests.seal,
                "public_tunnels": guests.is_list_public(),
            }),
        ),
    ];
    ConfigReport { options: groups.into() }
}

pub(super) fn audit(state: &RelayState, limit: usize) -> AuditReport {
    let latest = state.audit.latest();
    let entry = |(at, record): &(SystemTime, crate::audit::AuditRecord)| AuditEntry {
        at: seconds(*at),
        action: record.kind.as_str(),
        agent: record.agent.as_ref().map(ToString::to_string),
        peer: record.peer.map(|peer| peer.to_string()),
        detail: record.detail.clone(),
        suppressed: record.suppressed,
    };
    AuditReport { records: latest.iter().rev().take(limit).map(entry).collect() }
}
