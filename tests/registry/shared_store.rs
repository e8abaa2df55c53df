//! What several relays share, in each of its stores: both do the same with every exchange.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hvym_tunnel_cluster::{
    HvymTunnel, NodeId, RelayRecord, ServiceChange, ServiceClaim, ServiceKey, ServiceRecord, ServiceRelease,
    Store, SyncReply, SyncRequest, TunnelKeys,
};
use hvym_tunnel_core::dialect::{OnConflict, Proto};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;
use hvym_tunnel_net::runtime::{Runtime, spawn};
use hvym_tunnel_tests::databases::DatabaseServer;
use hvym_tunnel_tests::redis::RedisServer;

use super::until;

const LEASE: Duration = Duration::from_secs(60);
/// Services that are gone and remembered.
const MAX_GONE: usize = 10_000;
/// Services of one exchange.
const MAX_CHANGES: usize = 256;

/// A store with one relay after the other asking it.
struct Asked(Option<Store>);

impl Asked {
    async fn ask(&mut self, request: SyncRequest) -> SyncReply {
        let store = self.0.take().expect("one at a time");
        let (store, reply) = store.sync(request).await;
        self.0 = Some(store);
        reply.expect("the store is there")
    }

    async fn write(&mut self, keys: &mut TunnelKeys) {
        let Some(batch) = keys.poll_batch(Instant::ZERO) else { return };
        let store = self.0.take().expect("one at a time");
        let (store, written) = store.write_tunnels(batch).await;
        self.0 = Some(store);
        keys.handle_written(&written.expect("the store is there"), Instant::ZERO);
    }
}

fn address(seed: u8) -> Address {
    Address::from_public_key([seed; 32])
}

fn key(service: &str) -> ServiceKey {
    ServiceKey { owner: address(9).into(), service: service.to_owned() }
}

fn record(instance: &str) -> ServiceRecord {
    let instance = Some(instance.to_owned());
    ServiceRecord { instance, proto: Proto::Http, is_public: true, on_conflict: OnConflict::Takeover }
}

fn request(node: &str, seen: u64) -> SyncRequest {
    SyncRequest {
        node: NodeId::new(node),
        about: RelayRecord { url: format!("wss://{node}/connect"), address: address(1) },
        lease: LEASE,
        seen,
        wants_all: false,
        claims: Vec::new(),
        releases: Vec::new(),
    }
}

fn claiming(node: &str, seen: u64, services: &[&str], takes_over: bool) -> SyncRequest {
    let claim = |service: &&str| ServiceClaim { key: key(service), record: record(node), takes_over };
    SyncRequest { claims: services.iter().map(claim).collect(), ..request(node, seen) }
}

fn releasing(node: &str, seen: u64, releases: &[(&str, u64)]) -> SyncRequest {
    let release = |(service, epoch): &(&str, u64)| ServiceRelease { key: key(service), epoch: *epoch };
    SyncRequest { releases: releases.iter().map(release).collect(), ..request(node, seen) }
}

/// The changes of a reply, in order of their names: who has the service, if anybody.
fn changes(reply: &SyncReply) -> Vec<(&str, Option<&str>)> {
    let mut changes: Vec<(&str, Option<&str>)> = Vec::new();
    for ServiceChange { key, holder } in &reply.changes {
        assert!(holder.iter().all(|(node, _, told)| *told == record(node.as_str())), "{holder:?}");
        changes.push((&key.service, holder.as_ref().map(|held| held.0.as_str())));
    }
    changes.sort_unstable();
    changes
}

fn relays(reply: &SyncReply) -> Vec<&str> {
    let mut relays: Vec<&str> = reply.relays.iter().map(|(node, _)| node.as_str()).collect();
    relays.sort_unstable();
    relays
}

/// Relays take services from each other, and give them up.
async fn orders_claims(store: Store) {
    let mut store = Asked(Some(store));
    let first = store.ask(SyncRequest { wants_all: true, ..claiming("a", 0, &["web", "api"], true) }).await;
    assert!(first.is_new && first.is_complete);
    assert_eq!((relays(&first), changes(&first)), (vec!["a"], vec![("api", Some("a")), ("web", Some("a"))]));
    let [web, api] = first.claims[..] else { panic!("two claims: {first:?}") };
    assert!(0 < web && web < api && api == first.epoch, "{first:?}");
    let again = store.ask(request("a", first.epoch)).await;
    assert!(!again.is_new && !again.is_complete && again.changes.is_empty(), "{again:?}");
    assert_eq!(again.epoch, first.epoch, "nothing has changed");

    let refused = store.ask(SyncRequest { wants_all: true, ..claiming("b", 0, &["web"], false) }).await;
    assert_eq!((refused.claims.as_slice(), relays(&refused)), (&[0][..], vec!["a", "b"]));
    assert_eq!(changes(&refused), [("api", Some("a")), ("web", Some("a"))]);
    let own = store.ask(claiming("a", first.epoch, &["web"], false)).await;
    assert!(own.claims[0] > api, "what is its own may be claimed anew");
    let taken = store.ask(claiming("b", refused.epoch, &["web"], true)).await;
    assert!(taken.claims[0] > own.claims[0]);
    let told = store.ask(request("a", own.epoch)).await;
    assert_eq!(changes(&told), [("web", Some("b"))]);

    // By an epoch of before, or for somebody else, nothing is released.
    let late = store.ask(releasing("a", told.epoch, &[("web", own.claims[0]), ("api", web)])).await;
    assert_eq!((late.changes.len(), late.epoch), (0, told.epoch));
    let released = store.ask(releasing("a", told.epoch, &[("api", api)])).await;
    assert_eq!(changes(&released), [("api", None)]);
    let told = store.ask(request("b", taken.epoch)).await;
    assert_eq!(changes(&told), [("api", None)]);
    let free = store.ask(claiming("b", told.epoch, &["api"], false)).await;
    assert!(free.claims[0] > 0);
}

/// Relays end, and the store is newer than they are.
async fn ends_leases(store: Store) {
    let mut store = Asked(Some(store));
    // A store that has lost its data goes on from where relays have been.
    let ahead = 1000;
    let first = store.ask(claiming("a", ahead, &["kept"], true)).await;
    assert_eq!(first.claims, [ahead + 1]);
    let taken = store.ask(claiming("b", first.epoch, &["web", "api"], true)).await;
    let later = store.ask(claiming("c", taken.epoch, &["late"], true)).await;

    // The lease of one is over: it has nothing any more, and is told so.
    let last = store.ask(SyncRequest { lease: Duration::ZERO, ..request("b", later.epoch) }).await;
    let told = store.ask(request("c", last.epoch)).await;
    assert_eq!((relays(&told), changes(&told)), (vec!["a", "c"], vec![("api", None), ("web", None)]));
    let back = store.ask(claiming("b", told.epoch, &["web"], false)).await;
    assert!(back.is_new && back.claims[0] > told.epoch);
    let all = store.ask(SyncRequest { wants_all: true, ..request("a", back.epoch) }).await;
    assert_eq!(changes(&all), [("kept", Some("a")), ("late", Some("c")), ("web", Some("b"))]);
}

/// A relay that asks after more has gone than is remembered is told all there is.
async fn forgets_what_is_long_gone(store: Store) {
    let mut store = Asked(Some(store));
    let first = store.ask(claiming("a", 0, &["kept"], true)).await;
    let mut epoch = first.epoch;
    let mut gone = 0;
    while gone <= MAX_GONE {
        let names: Vec<String> = (gone..gone + MAX_CHANGES).map(|at| format!("s{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let claimed = store.ask(claiming("a", epoch, &names, true)).await;
        let releases: Vec<(&str, u64)> = names.iter().copied().zip(claimed.claims.iter().copied()).collect();
        let released = store.ask(releasing("a", claimed.epoch, &releases)).await;
        (epoch, gone) = (released.epoch, gone + releases.len());
        if gone == MAX_CHANGES {
            let told = store.ask(request("b", first.epoch)).await;
            assert!(!told.is_complete && told.changes.len() == gone, "{}", told.changes.len());
        }
    }
    // Enough for PostgreSQL, which forgets now and then.
    for _ in 0..1000_usize.div_ceil(MAX_CHANGES) {
        let names: Vec<String> = (0..MAX_CHANGES).map(|at| format!("t{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        epoch = store.ask(claiming("a", epoch, &names, true)).await.epoch;
    }
    let told = store.ask(request("b", first.epoch)).await;
    assert!(told.is_complete && told.changes.len() == 1 + MAX_CHANGES, "{}", told.changes.len());
    assert!(told.changes.iter().all(|change| change.holder.is_some()));
    let told = store.ask(request("b", epoch - 1)).await;
    assert!(!told.is_complete && told.changes.len() == 1, "{told:?}");
}

fn on_redis<F: Future<Output = ()> + Send + 'static>(test: fn(Store) -> F) {
    let Some(server) = RedisServer::start() else { return };
    Runtime::new().expect("threads").run(test(store(&server.url())));
}

fn on_postgres<F: Future<Output = ()> + Send + 'static>(test: fn(Store) -> F) {
    let Some(server) = DatabaseServer::postgres() else { return };
    Runtime::new().expect("threads").run(test(store(&url(&server))));
}

fn url(server: &DatabaseServer) -> String {
    server.url().replace("+asyncpg", "")
}

fn store(url: &str) -> Store {
    Store::new(&url.parse().expect("a URL")).expect("a store")
}

#[test]
fn redis_orders_the_claims_of_relays_by_their_epochs() {
    on_redis(orders_claims);
}

#[test]
fn postgresql_orders_the_claims_of_relays_by_their_epochs() {
    on_postgres(orders_claims);
}

#[test]
fn redis_takes_what_a_relay_had_when_its_lease_is_over() {
    on_redis(ends_leases);
}

#[test]
fn postgresql_takes_what_a_relay_had_when_its_lease_is_over() {
    on_postgres(ends_leases);
}

#[test]
fn a_relay_that_was_away_for_long_is_told_everything_by_redis() {
    on_redis(forgets_what_is_long_gone);
}

#[test]
fn a_relay_that_was_away_for_long_is_told_everything_by_postgresql() {
    on_postgres(forgets_what_is_long_gone);
}

#[test]
fn postgresql_tells_relays_at_once_what_others_have_changed() {
    let Some(server) = DatabaseServer::postgres() else { return };
    let url = url(&server);
    Runtime::new().expect("threads").run(async move {
        let heard = Arc::new(AtomicUsize::new(0));
        let listener = store(&url).listener().expect("it listens");
        let hears = Arc::clone(&heard);
        let hear = move || {
            hears.fetch_add(1, Ordering::SeqCst);
        };
        let _listening = spawn(listener.run(NodeId::new("b"), hear));
        let listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'";
        until("it listens", || server.sql("tunnels", listening) == "1").await;
        let mut store = Asked(Some(store(&url)));
        // A new relay is news, its own changes are not, nor is a lease that is renewed.
        let first = store.ask(request("b", 0)).await;
        store.ask(claiming("b", first.epoch, &["web"], true)).await;
        let second = store.ask(request("a", 0)).await;
        until("a relay is there", || heard.load(Ordering::SeqCst) == 1).await;
        store.ask(request("a", second.epoch)).await;
        let third = store.ask(claiming("a", second.epoch, &["api"], true)).await;
        until("a claim is heard of", || heard.load(Ordering::SeqCst) == 2).await;
        store.ask(releasing("a", third.epoch, &[("api", third.claims[0])])).await;
        until("a release is heard of", || heard.load(Ordering::SeqCst) == 3).await;
    });
}

#[test]
fn the_record_of_a_tunnel_is_that_of_the_relay_with_the_newest_claim_and_is_removed_with_the_last() {
    let Some(server) = RedisServer::start() else { return };
    let url = server.url();
    Runtime::new().expect("threads").run(async move {
        let mut store = Asked(Some(store(&url)));
        let [mut a, mut b] = ["a", "b"].map(|node| TunnelKeys::new(NodeId::new(node)));
        let record = || server.ask(&format!("GET hvym_tunnel:{}", address(9)));
        let tunnel = |service: &str, node: &str| {
            let record = HvymTunnel {
                address: address(9),
                endpoint_url: format!("https://{node}.example"),
                services: vec![service.to_owned()],
                connected_at: String::new(),
                expires_at: None,
                server_address: address(1),
            };
            Some((key(service), record))
        };
        // What it does not hold, a relay writes nothing of.
        a.set_own(address(9), tunnel("web", "a"), Instant::ZERO);
        store.write(&mut a).await;
        assert!(record().starts_with("$-1"), "{}", record());
        store.ask(claiming("a", 0, &["web"], true)).await;
        a.handle_withdrawn(address(9), Instant::ZERO);
        store.write(&mut a).await;
        assert!(record().contains("//a.example"), "{}", record());
        // Another program of the same owner comes to another relay.
        let claimed = store.ask(claiming("b", 0, &["api"], true)).await;
        b.set_own(address(9), tunnel("api", "b"), Instant::ZERO);
        store.write(&mut b).await;
        assert!(record().contains("//b.example"), "{}", record());
        a.handle_withdrawn(address(9), Instant::ZERO);
        store.write(&mut a).await;
        assert!(record().contains("//b.example"), "{}", record());
        // Nor does the older one take it away when it ends.
        a.set_own(address(9), None, Instant::ZERO);
        store.write(&mut a).await;
        assert!(record().contains("//b.example"), "{}", record());
        a.set_own(address(9), tunnel("web", "a"), Instant::ZERO);
        // It ends: whoever removes its record leaves room for the one that is still there.
        store.ask(releasing("b", claimed.epoch, &[("api", claimed.claims[0])])).await;
        b.set_own(address(9), None, Instant::ZERO);
        store.write(&mut b).await;
        assert!(record().starts_with("$-1"), "{}", record());
        a.handle_withdrawn(address(9), Instant::ZERO);
        store.write(&mut a).await;
        assert!(record().contains("//a.example"), "{}", record());
        // All relays end, and the next one removes what they left.
        store.ask(SyncRequest { lease: Duration::ZERO, ..request("a", 0) }).await;
        store.ask(request("c", 0)).await;
        store.write(&mut TunnelKeys::new(NodeId::new("c"))).await;
        assert!(record().starts_with("$-1"), "{}", record());
        assert!(server.ask(&format!("SISMEMBER hvym_tunnel:active {}", address(9))).starts_with(":0"));
    });
}
