//! A relay that is stopped while the store that it shares with others is away.
#![cfg(unix)]

use std::time::{Duration, Instant};

use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::PATIENCE;
use hvym_tunnel_tests::redis::RedisServer;
use hvym_tunnel_tests::tunnel::Agent;

use super::cluster::{relay, stop, until, visit};

/// By then the lease of a relay is over that has lost its store, three seconds after it has last asked.
const BEYOND_LEASE: Duration = Duration::from_secs(4);

#[test]
fn a_relay_that_is_stopped_without_the_store_says_so_to_the_others_which_go_on() {
    let Some(mut redis) = RedisServer::start() else { return };
    let [mut a, mut b] = [(); 2].map(|()| relay(&redis.url(), &[]));
    let origin = Origin::saying(b"here");
    let moving = Agent::start(&a, origin.port, &["--standby-relay", &b.url()]);
    let staying = Agent::start(&b, origin.port, &[]);
    until(&b, moving.host(), "here");
    until(&a, staying.host(), "here");
    redis.kill();
    assert!(a.program.tells("cluster_lost", PATIENCE) && b.program.tells("cluster_lost", PATIENCE));
    stop(&mut a);
    until(&b, moving.host(), "here");
    let end = Instant::now() + BEYOND_LEASE;
    while Instant::now() < end {
        assert_eq!([visit(&b, moving.host()), visit(&b, staying.host())], ["here", "here"]);
    }
    redis.restart();
    assert!(b.program.tells("cluster_back", PATIENCE));
    until(&b, moving.host(), "here");
    assert!(!b.program.transcript().contains("cluster_cut_off"), "{:?}", b.program);
    // One that says nothing may serve whatever it has, as far as anybody knows.
    let mut c = relay(&redis.url(), &[]);
    until(&c, staying.host(), "here");
    redis.kill();
    c.program.kill();
    until(&b, staying.host(), "503");
    assert!(b.program.tells("cluster_cut_off", PATIENCE));
}
