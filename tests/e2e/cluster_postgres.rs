//! Several relays that share a PostgreSQL, as those of `cluster.rs` share a Redis.
#![cfg(unix)]

use std::time::Instant;

use hvym_tunnel_tests::databases::DatabaseServer;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::PATIENCE;
use hvym_tunnel_tests::tunnel::Agent;

use super::cluster::{relay, until, visit};

/// Its database, as relays name it.
fn url(server: &DatabaseServer) -> String {
    server.url().replace("+asyncpg", "")
}

#[test]
fn three_relays_with_a_postgresql_go_on_without_it_and_without_the_one_that_is_killed() {
    let Some(mut server) = DatabaseServer::postgres() else { return };
    let url = url(&server);
    let [mut a, mut b, mut c] = [(); 3].map(|()| relay(&url, &[]));
    let origin = Origin::saying(b"here");
    let moving = Agent::start(&a, origin.port, &["--standby-relay", &b.url()]);
    let staying = Agent::start(&c, origin.port, &[]);
    for relay in [&a, &b, &c] {
        until(relay, moving.host(), "here");
        until(relay, staying.host(), "here");
    }
    a.program.kill();
    until(&b, moving.host(), "here");
    until(&c, moving.host(), "here");
    let rows = || server.sql("tunnels", "SELECT count(*) FROM hvym_tunnel_cluster_relays");
    let deadline = Instant::now() + PATIENCE;
    while rows() != "2" {
        assert!(Instant::now() < deadline, "{:?}", b.program);
    }
    let hosts = [moving.host(), staying.host()];
    let all = |relays: [&_; 2]| relays.map(|relay| hosts.map(|host| visit(relay, host)));
    server.kill();
    assert!(b.program.tells("cluster_lost", PATIENCE) && c.program.tells("cluster_lost", PATIENCE));
    assert!(b.program.transcript().contains("PostgreSQL does not answer"), "{:?}", b.program);
    for _ in 0..20 {
        assert_eq!(all([&b, &c]), [["here"; 2]; 2]);
    }
    let late = Agent::start(&b, origin.port, &[]);
    assert_eq!([visit(&b, late.host()), visit(&c, late.host())], ["here", "503"]);
    server.restart();
    let deadline = Instant::now() + PATIENCE;
    while visit(&c, late.host()) != "here" {
        assert_eq!(all([&b, &c]), [["here"; 2]; 2]);
        assert!(Instant::now() < deadline, "{:?}", b.program);
    }
    assert!(b.program.tells("cluster_back", PATIENCE) && c.program.tells("cluster_back", PATIENCE));
    assert_eq!(all([&b, &c]), [["here"; 2]; 2]);
    for transcript in [&b, &c].map(|relay| relay.program.transcript()) {
        let count = |event: &str| transcript.matches(&format!("\"{event}\"")).count();
        assert_eq!((count("cluster_lost"), count("cluster_cut_off")), (1, 0), "{transcript}");
    }
}
