//! Databases of Tunely that become registries, of each of its versions.

use hvym_tunnel_net::runtime::Runtime;
use hvym_tunnel_registry::{DatabaseUrl, NewTunnel, import_tunely, migrate, unix_millis};
use hvym_tunnel_tests::databases::DatabaseServer;
use hvym_tunnel_tests::program::Home;

use super::schema::sqlite;
use super::{open, url};

/// What Tunely's first versions make, in the words that all three databases understand.
const OLD: &str = "CREATE TABLE tunnels (id INTEGER NOT NULL, domain VARCHAR(255) NOT NULL, token VARCHAR(64) NOT NULL, \
    name VARCHAR(100), description TEXT, mode VARCHAR(10) NOT NULL, enabled BOOLEAN NOT NULL, created_at TIMESTAMP NOT NULL, \
    updated_at TIMESTAMP NULL, last_connected_at TIMESTAMP NULL, total_requests INTEGER NOT NULL, PRIMARY KEY (id));";
/// What 0.12 adds.
const NEW: &str = "CREATE TABLE users (id INTEGER NOT NULL, username VARCHAR(32) NOT NULL, PRIMARY KEY (id)); \
    ALTER TABLE tunnels ADD bytes_in BIGINT DEFAULT 0 NOT NULL; ALTER TABLE tunnels ADD bytes_out BIGINT DEFAULT 0 NOT NULL; \
    ALTER TABLE tunnels ADD owner_id INTEGER;";
const ROWS: &str = "INSERT INTO tunnels (id, domain, token, name, description, mode, enabled, created_at, updated_at, \
    last_connected_at, total_requests) VALUES \
    (3, 'shop', 'tun_one', 'n', 'd', 'http', TRUE, '2026-11-21 10:08:42', NULL, '2026-11-21 10:08:43', 7), \
    (5, 'off', 'tun_two', NULL, NULL, 'tcp', FALSE, '2026-11-21 10:08:42', NULL, NULL, 0), \
    (6, 'Upper-Case', 'tun_three', NULL, NULL, 'tcp', TRUE, '2026-11-21 10:08:42', NULL, NULL, 0), \
    (7, 'taken', 'tun_four', NULL, NULL, 'tcp', TRUE, '2026-11-21 10:08:42', NULL, NULL, 0);";
const NEW_ROWS: &str = "INSERT INTO users (id, username) VALUES (1, 'ann'); \
    UPDATE tunnels SET bytes_in = 11, bytes_out = 12, owner_id = 1 WHERE id = 3;";

async fn adopts(from: DatabaseUrl, to: DatabaseUrl, is_new: bool) {
    migrate(&to, unix_millis()).await.expect("there");
    let before = open(&to).await;
    before.create(NewTunnel { domain: "taken".into(), ..NewTunnel::default() }).await.expect("a new name");
    let report = import_tunely(&from, &to).await.expect("a database of Tunely");
    assert_eq!(
        (report.imported, &*report.unusable, &*report.taken),
        (2, &["Upper-Case".to_owned()][..], &["taken".to_owned()][..])
    );
    let registry = open(&to).await;
    let shop = registry.find("tun_one").expect("its agent logs in as before");
    assert_eq!(
        (shop.id, &*shop.domain, shop.name.as_deref(), shop.description.as_deref()),
        (3, "shop", Some("n"), Some("d"))
    );
    assert_eq!((shop.created_at, shop.last_connected_at), (1_795_255_722_000, Some(1_795_255_723_000)));
    assert_eq!((shop.total_requests, shop.enabled), (7, true));
    let expected = if is_new { (11, 12, Some("ann")) } else { (0, 0, None) };
    assert_eq!((shop.bytes_in, shop.bytes_out, shop.owner.as_deref()), expected);
    let off = registry.find("tun_two").expect("it is there");
    assert!(!off.enabled && off.last_connected_at.is_none());
    let again = import_tunely(&from, &to).await.expect("a database of Tunely");
    assert_eq!((again.imported, again.taken.len()), (0, 3), "a second time there is nothing to adopt");
}

#[test]
fn the_sqlite_databases_of_tunely_are_adopted() {
    let home = Home::new();
    let runtime = Runtime::new().expect("threads");
    for (name, statements, is_new) in
        [("old", [OLD, ROWS, "", ""], false), ("new", [OLD, NEW, ROWS, NEW_ROWS], true)]
    {
        let from = home.path(&format!("{name}.db"));
        sqlite(&from, &statements.concat());
        let to = DatabaseUrl::sqlite(&home.path(&format!("{name}-registry.db")));
        runtime.run(adopts(DatabaseUrl::sqlite(&from), to, is_new));
    }
}

#[test]
fn the_server_databases_of_tunely_are_adopted() {
    let home = Home::new();
    let runtime = Runtime::new().expect("threads");
    for (name, server) in [("p", DatabaseServer::postgres()), ("m", DatabaseServer::mariadb())] {
        let Some(server) = server else { continue };
        // MariaDB's TIMESTAMP has a time zone, and Tunely does not use it.
        let kind = if name == "m" { "DATETIME" } else { "TIMESTAMP" };
        server.sql("tunnels", &[OLD, NEW, ROWS, NEW_ROWS].concat().replace("TIMESTAMP", kind));
        let to = DatabaseUrl::sqlite(&home.path(&format!("{name}.db")));
        runtime.run(adopts(url(&server), to, true));
    }
}
