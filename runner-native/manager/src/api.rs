//! The local API: where it listens, who may use it, and what it answers.

mod answer;
mod content;
mod guard;
mod handlers;
mod join;
mod openapi;
mod owner;
mod page;
mod passed_sockets;
mod peer_user;
mod query;
mod routes;
mod server;
mod stored_settings;
mod token_file;
mod updates;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hvym_tunnel_net::connection_slots::ConnectionSlots;

pub use self::join::{LineSink, Narrate};
pub use self::openapi::document;
pub use self::passed_sockets::PassedSockets;
pub use self::server::{ApiError, ApiServer, MAX_CONNECTIONS};
use crate::settings_store::SettingsStore;
use crate::shapes::ApiServerMetrics;
use crate::{TunnelManager, timestamp};

/// What the API cannot do by itself.
#[derive(Clone, Default)]
pub struct ApiHooks {
    /// The settings file, if the manager runs by one.
    pub settings: Option<Arc<dyn SettingsStore>>,
    /// Tells programs that join; without it none can.
    pub narrate: Option<Narrate>,
    /// Where it listens, if somebody else has opened its sockets.
    pub sockets: Option<Arc<PassedSockets>>,
}

/// What all requests share.
struct ApiState {
    manager: TunnelManager,
    guard: guard::RequestGuard,
    /// Whether programs of the same user may start and stop links without the token.
    local_control: bool,
    /// Whether there is `/metrics`.
    has_metrics: bool,
    hooks: ApiHooks,
    counts: ApiCounts,
    connections: Arc<ConnectionSlots>,
}

/// Counts the requests of the API.
#[derive(Default)]
struct ApiCounts {
    total: AtomicU64,
    successful: AtomicU64,
    failed: AtomicU64,
    last: Mutex<Option<String>>,
}

impl ApiCounts {
    /// A request came.
    fn begin(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(timestamp::now());
    }

    /// It was answered with this status.
    fn end(&self, status: http::StatusCode) {
        let is_error = status.is_client_error() || status.is_server_error();
        let counter = if is_error { &self.failed } else { &self.successful };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn report(&self) -> ApiServerMetrics {
        let [total, successful, failed] =
            [&self.total, &self.successful, &self.failed].map(|count| count.load(Ordering::Relaxed));
        ApiServerMetrics {
            total_requests: total,
            successful_requests: successful,
            error_requests: failed,
            success_rate: if total == 0 { 1.0 } else { successful as f64 / total as f64 },
            last_request: self.last.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
