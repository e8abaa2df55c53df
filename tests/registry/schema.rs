//! The tables: made, found, taken back, carried elsewhere.

use hvym_tunnel_registry::{
    DatabaseUrl, Export, Migrate, NewTunnel, RegistryError, TunnelRegistry, migrate, rollback, status,
    unix_millis,
};
use hvym_tunnel_tests::databases::DatabaseServer;
use hvym_tunnel_tests::program::Home;

use super::{on_mariadb, on_postgres, on_sqlite, open, url};

async fn up_and_down(url: DatabaseUrl) {
    assert!(status(&url).await.expect("there").iter().all(|step| step.applied_at.is_none()));
    assert_eq!(migrate(&url, unix_millis()).await, Ok(1));
    assert_eq!(migrate(&url, unix_millis()).await, Ok(0), "a second time there is nothing to do");
    assert!(status(&url).await.expect("there").iter().all(|step| step.applied_at.is_some()));
    let registry = open(&url).await;
    registry.create(NewTunnel { domain: "shop".into(), ..NewTunnel::default() }).await.expect("a new name");
    drop(registry);
    assert_eq!(rollback(&url).await, Ok(Some("0001_tunnels")));
    assert_eq!(rollback(&url).await, Ok(None));
    let registry = open(&url).await;
    assert_eq!(registry.list().len(), 0, "an empty database gets its tables at the start");
}

#[test]
fn the_tables_of_sqlite_are_made_and_taken_back() {
    on_sqlite(up_and_down);
}

#[test]
fn the_tables_of_postgresql_are_made_and_taken_back() {
    on_postgres(up_and_down);
}

#[test]
fn the_tables_of_mariadb_are_made_and_taken_back() {
    on_mariadb(up_and_down);
}

/// Carries tunnels from the first database to the second.
async fn carry(from: DatabaseUrl, to: DatabaseUrl) {
    let registry = open(&from).await;
    let owned = NewTunnel {
        domain: "shop".into(),
        name: Some("é".into()),
        owner: Some("ann".into()),
        ..NewTunnel::default()
    };
    registry.create(owned).await.expect("a new name");
    let (_, token) =
        registry.create(NewTunnel { domain: "b".into(), ..NewTunnel::default() }).await.expect("a new name");
    let json = Export::read(&from).await.expect("there").to_json().expect("JSON");
    assert!(!json.contains(token.expose()), "an export holds no token");
    migrate(&to, unix_millis()).await.expect("there");
    let export = Export::parse(json.as_bytes()).expect("an export");
    assert_eq!(export.write(&to).await, Ok(2));
    let other = open(&to).await;
    assert_eq!(other.list(), registry.list());
    assert!(other.find(token.expose()).is_some(), "agents log in as before");
    // Numbers go on behind those that came along.
    let (third, _) =
        other.create(NewTunnel { domain: "c".into(), ..NewTunnel::default() }).await.expect("a new name");
    assert!(other.list().iter().all(|tunnel| tunnel.id <= third.id));
    assert!(export.write(&to).await.is_err(), "what is there is not written over");
}

#[test]
fn tunnels_are_carried_from_one_database_to_another() {
    let home = Home::new();
    let [one, two] = ["one.db", "two.db"].map(|name| DatabaseUrl::sqlite(&home.path(name)));
    let runtime = hvym_tunnel_net::runtime::Runtime::new().expect("threads");
    runtime.run(carry(one, two));
    for (name, server) in [("p.db", DatabaseServer::postgres()), ("m.db", DatabaseServer::mariadb())] {
        if let Some(server) = server {
            runtime.run(carry(DatabaseUrl::sqlite(&home.path(name)), url(&server)));
        }
    }
}

async fn newer(url: DatabaseUrl) {
    migrate(&url, unix_millis()).await.expect("there");
    let file = url.file().expect("a file").to_owned();
    let at = file.clone();
    smol::unblock(move || sqlite(&at, "INSERT INTO registry_migrations VALUES (2, 'later', 0)")).await;
    let opened = TunnelRegistry::open(&url, Migrate::Always).await;
    assert!(matches!(opened, Err(RegistryError::Newer { version: 2, .. })), "{opened:?}");
    smol::unblock(move || sqlite(&file, "DELETE FROM registry_migrations")).await;
    let opened = TunnelRegistry::open(&url, Migrate::Always).await;
    assert!(matches!(opened, Err(RegistryError::Foreign { .. })), "{opened:?}");
}

/// Runs statements in an SQLite database, by the library that Python has.
pub(super) fn sqlite(file: &std::path::Path, statements: &str) {
    let script =
        "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nc.executescript(sys.argv[2])\nc.commit()";
    let done = std::process::Command::new("python3").args(["-c", script]).arg(file).arg(statements).output();
    let done = done.expect("python3 is there");
    assert!(done.status.success(), "{statements}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn tables_of_a_newer_program_and_of_another_one_are_left_alone() {
    on_sqlite(newer);
}
