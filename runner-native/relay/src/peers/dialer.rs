//! The link to another relay, at which this one is an agent: kept up for as long as that relay is alive.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use hvym_tunnel_cluster::{NodeId, RelayRecord};
use hvym_tunnel_core::agent::{Agent, AgentConfig, AgentEvent, AttemptId};
use hvym_tunnel_core::backoff::BackoffConfig;
use hvym_tunnel_core::dialect::{Process, SessionRole};
use hvym_tunnel_core::handshake::AgentLogin;
use hvym_tunnel_core::keepalive::KeepaliveConfig;
use hvym_tunnel_core::link::LinkConfig;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::mux::MuxConfig;
use hvym_tunnel_net::clock;
use hvym_tunnel_net::dial_error::DialError;
use hvym_tunnel_net::link_driver::{DriverEvent, LinkHandle};
use hvym_tunnel_net::link_task::LinkTask;
use hvym_tunnel_net::runtime::{Task, spawn};
use hvym_tunnel_net::socket::{self, DialOptions, Socket};
use hvym_tunnel_net::target::RelayUrl;
use hvym_tunnel_net::timer::Timer;
use hvym_tunnel_net::tls::Trust;

use super::forwarded;
use crate::relay_state::RelayState;

/// Relays are near each other, and each costs the others one message in a second.
const KEEPALIVE: KeepaliveConfig =
    KeepaliveConfig { ping_interval: Duration::from_secs(1), ping_timeout: Duration::from_secs(2) };
/// The longest wait between two dials: visitors wait for the link.
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// How long a relay that wants no link is left alone: its operator has not named this one yet, perhaps.
const REFUSED_DELAY: Duration = Duration::from_secs(5);

type Dial = Task<Result<Box<Socket>, DialError>>;

/// What the others dial, with a port in it.
pub(super) fn url(own: &RelayUrl) -> String {
    let scheme = if own.tls { "wss" } else { "ws" };
    format!("{scheme}://{}{}", own.authority(), own.path)
}

fn config(state: &RelayState, node: &str, peer: &RelayRecord) -> AgentConfig {
    let login = AgentLogin { relay_address: Some(peer.address), ..AgentLogin::new(state.info.address) };
    // Nobody else's: the other end is known by its key, and counts each visitor.
    let streams = state.settings.options.limits.link_streams;
    AgentConfig {
        link: LinkConfig {
            keepalive: KEEPALIVE,
            mux: MuxConfig::acceptor().with(|config| config.max_inbound_streams = streams),
            fallback: None,
        },
        backoff: BackoffConfig { initial: MAX_BACKOFF / 8, max: MAX_BACKOFF, ..BackoffConfig::default() },
        max_links: 1,
        process: Process { instance: Some(node.to_owned()), role: SessionRole::Agent, label: None },
        ..AgentConfig::new(peer.url.as_str(), login)
    }
}

/// Keeps a link to the relay `node` and serves what it asks for, until it is dropped.
pub(super) async fn run(state: Arc<RelayState>, node: NodeId, peer: RelayRecord, trust: Trust) {
    loop {
        link(&state, &node, &peer, &trust).await;
        Timer::after(REFUSED_DELAY).await;
    }
}

/// The same, until the other relay wants none.
async fn link(state: &Arc<RelayState>, node: &NodeId, peer: &RelayRecord, trust: &Trust) {
    let Some(cluster) = &state.cluster else { return };
    let is_private = cluster.about.url.starts_with("ws://");
    let options = DialOptions { allow_plaintext: is_private, trust: trust.clone(), proxy: None, token: None };
    let clock = state.clock;
    let machine =
        Agent::new(config(state, cluster.node.as_str(), peer), clock.wall(), clock::seed(), clock.now());
    let agent = LinkHandle::new(machine, clock);
    let mut link = LinkTask::spawn(agent.clone());
    let mut dialling: Option<(AttemptId, Dial)> = None;
    loop {
        let dialled = async {
            match &mut dialling {
                Some((attempt, dial)) => (*attempt, dial.await),
                None => pending().await,
            }
        };
        let woke = {
            let (dialled, next) = (pin!(dialled), pin!(link.next()));
            match select(dialled, next).await {
                Either::Left(((attempt, outcome), _)) => Woke::Dialled(attempt, outcome),
                Either::Right((event, _)) => Woke::Link(event),
            }
        };
        match woke {
            Woke::Dialled(attempt, Ok(socket)) => {
                dialling = None;
                if agent.with(|agent, now| agent.handle_open(attempt, clock.wall(), now)) {
                    link.attach(attempt, *socket);
                }
            }
            Woke::Dialled(attempt, Err(error)) => {
                dialling = None;
                agent.with(|agent, now| agent.handle_close_from(attempt, error.close, now));
            }
            Woke::Link(DriverEvent::Opened { stream, opening }) => forwarded::serve(state, stream, *opening),
            Woke::Link(DriverEvent::Event(AgentEvent::Dial(target))) => {
                let (attempt, options) = (target.attempt, options.clone());
                // In a task of its own, so that a slow handshake holds up no stream.
                dialling = Some((
                    attempt,
                    spawn(async move { socket::dial(&target, &options).await.map(Box::new) }),
                ));
            }
            Woke::Link(DriverEvent::Event(event)) => {
                if handle_event(state, (node, peer), &agent, event) == LinkState::Refused {
                    return;
                }
            }
        }
    }
}

/// Why the loop woke.
enum Woke {
    Dialled(AttemptId, Result<Box<Socket>, DialError>),
    Link(DriverEvent<AgentEvent>),
}

/// Whether the link goes on, or is dialled again by itself.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum LinkState {
    Kept,
    Refused,
}

fn handle_event(
    state: &RelayState,
    (node, peer): (&NodeId, &RelayRecord),
    agent: &LinkHandle<Agent>,
    event: AgentEvent,
) -> LinkState {
    match event {
        AgentEvent::Sign(input) => {
            let input = input.reissued(state.clock.wall().unix);
            let signature = state.info.identity.sign(&input);
            agent.with(|agent, now| agent.handle_signature(&input, Some(signature), now));
        }
        AgentEvent::Up(_) => {
            tracing::info!(url = peer.url, "linked to another relay");
            note_login(state, node, true);
        }
        AgentEvent::Draining { .. } => {
            tracing::info!(url = peer.url, "another relay ends");
            if let Some(cluster) = &state.cluster {
                cluster.handle_leaving(node);
            }
        }
        AgentEvent::Down { reason, retry_at } => {
            tracing::info!(url = peer.url, %reason, "no link to another relay");
            note_login(state, node, false);
            if retry_at.is_none() {
                return LinkState::Refused;
            }
        }
        _ => {}
    }
    LinkState::Kept
}

fn note_login(state: &RelayState, node: &NodeId, is_up: bool) {
    if let Some(cluster) = &state.cluster {
        cluster.handle_login(node, is_up);
    }
}
