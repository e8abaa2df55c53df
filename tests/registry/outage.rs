//! Databases that are killed and come back under load.

use std::sync::Arc;

use hvym_tunnel_net::runtime::Runtime;
use hvym_tunnel_registry::{ChangeError, LoggedRequest, NewTunnel, TunnelUpdate, TunnelUsage, unix_millis};
use hvym_tunnel_tests::databases::DatabaseServer;

use super::{Witness, open, until, url};

fn new(domain: &str) -> NewTunnel {
    NewTunnel { domain: domain.to_owned(), ..NewTunnel::default() }
}

async fn survives(mut server: DatabaseServer) {
    let registry = open(&url(&server)).await;
    let witness = Witness::of(&registry);
    let (_, token) = registry.create(new("shop")).await.expect("a new name");
    let domain: Arc<str> = "shop".into();
    let usage = TunnelUsage { requests: 1, ..TunnelUsage::default() };
    let log = || {
        let domain = Arc::clone(&domain);
        registry.log_request(LoggedRequest { domain, at: unix_millis(), ..LoggedRequest::default() });
    };
    for _ in 0..100 {
        registry.add_usage(&domain, usage);
        log();
    }
    server.kill();
    let refused = registry.create(new("late")).await.map(drop);
    assert_eq!(refused, Err(ChangeError::Unavailable));
    for _ in 0..100 {
        assert!(registry.find(token.expose()).is_some(), "agents log in as before");
        registry.add_usage(&domain, usage);
        log();
    }
    assert_eq!(registry.get("shop").map(|tunnel| tunnel.total_requests), Some(200));
    assert!(!registry.status().is_available);
    let said = witness.database();
    assert!(matches!(&said[..], [Some(_)]), "it is said once: {said:?}");
    let shown = said[0].as_ref().map(ToString::to_string).unwrap_or_default();
    assert!(shown.contains("tunnels") && shown.lines().count() == 1, "{shown}");
    server.restart();
    until("the registry finds its database again", || registry.status().is_available).await;
    assert_eq!(witness.database().last(), Some(&None));
    registry.create(new("late")).await.expect("it recovers by itself");
    registry
        .update("shop", TunnelUpdate { name: Some("n".into()), ..TunnelUpdate::default() }, None)
        .await
        .expect("there");
    registry.flush().await;
    let read = open(&url(&server)).await.get("shop").expect("it is there");
    assert_eq!(read.total_requests, 200, "counters wait for the database");
    let total = registry.logs("shop", 1, 0).await.expect("there").total;
    let dropped = i64::try_from(registry.status().dropped_logs).expect("a count");
    assert_eq!(total + dropped, 200, "what is not logged is counted");
}

#[test]
fn a_postgresql_that_is_killed_leaves_tunnels_alone_and_is_found_again() {
    let Some(server) = DatabaseServer::postgres() else { return };
    Runtime::new().expect("threads").run(survives(server));
}

#[test]
fn a_mariadb_that_is_killed_leaves_tunnels_alone_and_is_found_again() {
    let Some(server) = DatabaseServer::mariadb() else { return };
    Runtime::new().expect("threads").run(survives(server));
}

/// What a server does whose disk is full, or that another one has taken over from.
async fn is_back_when_it_can_be_written(mut server: DatabaseServer) {
    let registry = open(&url(&server)).await;
    let witness = Witness::of(&registry);
    registry.create(new("shop")).await.expect("a new name");
    server.sql("tunnels", "ALTER DATABASE tunnels SET default_transaction_read_only = on");
    server.kill();
    assert_eq!(registry.create(new("late")).await.map(drop), Err(ChangeError::Unavailable));
    server.restart();
    let requests = TunnelUsage { requests: 1, ..TunnelUsage::default() };
    registry.add_usage(&"shop".into(), requests);
    // It is dialed some times, by what it counts itself.
    let dialed = "SELECT sessions FROM pg_stat_database WHERE datname = 'tunnels'";
    let before: u64 = server.sql("postgres", dialed).parse().unwrap_or_default();
    until("the database is dialed", || {
        server.sql("postgres", dialed).parse::<u64>().is_ok_and(|sessions| sessions >= before + 2)
    })
    .await;
    assert!(!registry.status().is_available);
    server.sql("postgres", "ALTER DATABASE tunnels RESET default_transaction_read_only");
    until("the registry finds its database again", || registry.status().is_available).await;
    let told = witness.database();
    assert!(matches!(&told[..], [Some(_), None]), "it is lost once and back once: {told:?}");
}

#[test]
fn a_database_that_takes_no_writes_is_not_back() {
    let Some(server) = DatabaseServer::postgres() else { return };
    Runtime::new().expect("threads").run(is_back_when_it_can_be_written(server));
}
