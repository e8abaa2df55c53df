//! A relay's registry of tunnels in each of its databases, and what several relays share: SQLite always, PostgreSQL, MariaDB and Redis where
//! they are installed.
#![cfg(unix)]

mod adoption;
mod behaviour;
mod outage;
mod schema;
mod shared_store;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hvym_tunnel_net::runtime::Runtime;
use hvym_tunnel_registry::{
    DatabaseUrl, Migrate, RegistryError, RegistryObserver, TunnelChange, TunnelRegistry,
};
use hvym_tunnel_tests::databases::DatabaseServer;
use hvym_tunnel_tests::program::{Home, PATIENCE};

/// Runs `test` on an SQLite database.
fn on_sqlite<F: Future<Output = ()> + Send + 'static>(test: fn(DatabaseUrl) -> F) {
    let home = Home::new();
    on(DatabaseUrl::sqlite(&home.path("tunnels.db")), test);
}

/// The same on PostgreSQL, if it is installed.
fn on_postgres<F: Future<Output = ()> + Send + 'static>(test: fn(DatabaseUrl) -> F) {
    let Some(server) = DatabaseServer::postgres() else { return };
    on(url(&server), test);
}

/// The same on MariaDB, if it is installed.
fn on_mariadb<F: Future<Output = ()> + Send + 'static>(test: fn(DatabaseUrl) -> F) {
    let Some(server) = DatabaseServer::mariadb() else { return };
    on(url(&server), test);
}

fn on<F: Future<Output = ()> + Send + 'static>(url: DatabaseUrl, test: fn(DatabaseUrl) -> F) {
    Runtime::new().expect("threads").run(test(url));
}

fn url(server: &DatabaseServer) -> DatabaseUrl {
    server.url().parse().expect("a URL")
}

async fn open(url: &DatabaseUrl) -> TunnelRegistry {
    TunnelRegistry::open(url, Migrate::IfEmpty).await.expect("the database is there")
}

/// Remembers what it is told.
#[derive(Default)]
struct Witness {
    changes: Mutex<Vec<TunnelChange>>,
    database: Mutex<Vec<Option<RegistryError>>>,
}

impl Witness {
    fn of(registry: &TunnelRegistry) -> Arc<Self> {
        let witness = Arc::<Self>::default();
        registry.observe(Arc::clone(&witness) as Arc<dyn RegistryObserver>);
        witness
    }

    fn changes(&self) -> Vec<TunnelChange> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn database(&self) -> Vec<Option<RegistryError>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl RegistryObserver for Witness {
    fn handle_changes(&self, changes: &[TunnelChange]) {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(changes);
    }

    fn handle_database(&self, lost: Option<&RegistryError>) {
        self.database.lock().unwrap_or_else(PoisonError::into_inner).push(lost.cloned());
    }
}

/// Waits until something is so.
async fn until(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        smol::Timer::after(Duration::from_millis(20)).await;
    }
}
