//! What a registry does, whatever its database.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use hvym_tunnel_registry::{
    ChangeError, DatabaseUrl, LoggedRequest, MAX_LOGGED_PER_SECOND, NewTunnel, TunnelChange, TunnelUpdate,
    TunnelUsage, unix_millis,
};

use super::{Witness, on_mariadb, on_postgres, on_sqlite, open, until};

const SOURCE: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));

fn new(domain: &str) -> NewTunnel {
    NewTunnel { domain: domain.to_owned(), source: SOURCE, ..NewTunnel::default() }
}

async fn a_tunnel_lives(url: DatabaseUrl) {
    let registry = open(&url).await;
    let described =
        NewTunnel { name: Some("Straße 🚲".into()), description: Some("d".into()), ..new("shop") };
    let (tunnel, token) = registry.create(described).await.expect("a new name");
    assert_eq!(
        (&*tunnel.domain, tunnel.mode.as_str(), tunnel.enabled, tunnel.logs_requests),
        ("shop", "tcp", true, false)
    );
    assert_eq!(registry.find(token.expose()).as_ref(), Some(&tunnel));
    assert_eq!(registry.create(new("shop")).await.map(drop), Err(ChangeError::NameTaken));
    assert_eq!(registry.create(new("Shop")).await.map(drop), Err(ChangeError::BadName));
    let update = TunnelUpdate {
        name: Some("n".into()),
        enabled: Some(false),
        logs_requests: Some(true),
        ..TunnelUpdate::default()
    };
    let updated = registry.update("shop", update, SOURCE).await.expect("it is there");
    assert_eq!((updated.name.as_deref(), updated.description.as_deref()), (Some("n"), Some("d")));
    assert!(!updated.enabled && registry.logs_requests("shop") && !registry.logs_requests("other"));
    let second = registry.rotate("shop", SOURCE).await.expect("it is there");
    assert_eq!(registry.find(token.expose()), None, "an earlier token is worth nothing");
    assert_eq!(registry.find(second.expose()).map(|found| found.id), Some(tunnel.id));

    // Another process reads what this one has written.
    let reader = open(&url).await;
    assert_eq!(reader.list(), registry.list());
    assert_eq!(reader.find(second.expose()).and_then(|found| found.name).as_deref(), Some("n"));

    for absent in [
        registry.update("none", TunnelUpdate::default(), None).await.map(drop),
        registry.rotate("none", None).await.map(drop),
        registry.delete("none", None).await,
    ] {
        assert_eq!(absent, Err(ChangeError::NotFound));
    }
    registry.delete("shop", SOURCE).await.expect("it is there");
    assert_eq!((registry.find(second.expose()), registry.list().len()), (None, 0));
    let log = registry.audit_log(10).await.expect("the database is there");
    let actions: Vec<_> = log.iter().map(|entry| (&*entry.action, entry.detail.as_deref())).collect();
    let expected = [
        ("delete", Some("")),
        ("regenerate", Some("rotated")),
        ("update", Some("changed:enabled,logs_requests,name")),
        ("create", Some("mode=tcp")),
    ];
    assert_eq!(actions, expected);
    assert!(log.iter().all(|entry| entry.source_ip.as_deref() == Some("192.0.2.7")));
}

async fn relays_see_each_other(url: DatabaseUrl) {
    let (one, two) = (open(&url).await, open(&url).await);
    let witness = Witness::of(&two);
    let (_, token) = one.create(new("shared")).await.expect("a new name");
    until("the other relay knows the tunnel", || two.find(token.expose()).is_some()).await;
    // Before it has seen it, the name is taken all the same.
    one.create(new("late")).await.expect("a new name");
    assert_eq!(two.create(new("late")).await.map(drop), Err(ChangeError::NameTaken));
    one.rotate("shared", None).await.expect("it is there");
    until("the other relay forgets the token", || two.find(token.expose()).is_none()).await;
    let disabled = TunnelUpdate { enabled: Some(false), ..TunnelUpdate::default() };
    one.update("shared", disabled, None).await.expect("it is there");
    until("the other relay has it disabled", || two.get("shared").is_some_and(|tunnel| !tunnel.enabled))
        .await;
    one.delete("shared", None).await.expect("it is there");
    until("the other relay has it no more", || two.get("shared").is_none()).await;
    let of_shared = |change: &TunnelChange| !format!("{change:?}").contains("late");
    let seen: Vec<TunnelChange> = witness.changes().into_iter().filter(of_shared).collect();
    let domain: Arc<str> = "shared".into();
    for expected in [
        TunnelChange::Created(Arc::clone(&domain)),
        TunnelChange::Rotated(Arc::clone(&domain)),
        TunnelChange::Disabled(Arc::clone(&domain)),
        TunnelChange::Deleted(domain),
    ] {
        assert!(seen.contains(&expected), "{expected:?} is not in {seen:?}");
    }
}

async fn counters_last(url: DatabaseUrl) {
    let (one, two) = (open(&url).await, open(&url).await);
    one.create(new("shop")).await.expect("a new name");
    until("the other relay knows the tunnel", || two.get("shop").is_some()).await;
    let domain: Arc<str> = "shop".into();
    let usage = TunnelUsage { requests: 2, bytes_in: 30, bytes_out: 400, connected_at: Some(1000) };
    one.add_usage(&domain, usage);
    assert_eq!(one.get("shop").map(|tunnel| tunnel.total_requests), Some(2), "told before it is written");
    two.add_usage(&domain, TunnelUsage { connected_at: Some(900), ..usage });
    one.add_usage(&"nobody".into(), usage);
    one.flush().await;
    two.flush().await;
    let read = open(&url).await.get("shop").expect("it is there");
    assert_eq!((read.total_requests, read.bytes_in, read.bytes_out), (4, 60, 800));
    assert_eq!(read.last_connected_at, Some(1000));
}

async fn requests_are_logged(url: DatabaseUrl) {
    let registry = open(&url).await;
    for domain in ["shop", "other"] {
        registry.create(new(domain)).await.expect("a new name");
    }
    let long = "é\0".repeat(20_000);
    for number in 0..5_u16 {
        registry.log_request(LoggedRequest {
            at: unix_millis(),
            domain: "shop".into(),
            method: "GET".into(),
            path: format!("/{number}"),
            request_headers: Some("{}".into()),
            request_body: Some(long.clone()),
            status_code: Some(200 + number),
            error: None,
            duration_ms: 7,
            ..LoggedRequest::default()
        });
    }
    let page = registry.logs("shop", 2, 1).await.expect("the database is there");
    assert_eq!(page.total, 5);
    let paths: Vec<&str> = page.logs.iter().map(|log| &*log.request.path).collect();
    assert_eq!(paths, ["/3", "/2"], "newest first");
    let kept = page.logs[0].request.request_body.as_ref().expect("a body");
    assert_eq!(kept.chars().count(), 5_000, "10 000 characters, without the half that is NUL");
    assert_eq!(page.logs[0].request.status_code, Some(203));
    assert_eq!(registry.logs("other", 10, 0).await.expect("there").total, 0);
    // What is older than a month is forgotten when a relay starts.
    registry.log_request(LoggedRequest { at: 1, domain: "shop".into(), ..LoggedRequest::default() });
    registry.flush().await;
    let second = open(&url).await;
    let total = async || second.logs("shop", 1, 0).await.expect("there").total;
    for _ in 0..200 {
        if total().await == 5 {
            break;
        }
        smol::Timer::after(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(total().await, 5);
    registry.delete("shop", None).await.expect("it is there");
    registry.create(new("shop")).await.expect("a free name");
    assert_eq!(
        registry.logs("shop", 1, 0).await.expect("there").total,
        0,
        "whoever has the name next reads nothing"
    );
}

async fn the_log_has_room_for_so_many(url: DatabaseUrl) {
    const ASKED: u64 = 100_000;
    let registry = open(&url).await;
    assert!(registry.has_log_room());
    let taken = (0..ASKED).filter(|_| registry.take_log_room()).count() as u64;
    assert!((MAX_LOGGED_PER_SECOND..ASKED).contains(&taken), "{taken}");
    assert_eq!(registry.status().dropped_logs, ASKED - taken, "those without a place are counted");
}

#[test]
fn requests_that_come_faster_than_the_log_takes_are_counted() {
    super::on_sqlite(the_log_has_room_for_so_many);
}

async fn owners_have_a_quota(url: DatabaseUrl) {
    let registry = open(&url).await;
    let of =
        |domain: &str, owner: &str| NewTunnel { owner: Some(owner.into()), quota: Some(2), ..new(domain) };
    for domain in ["a", "b"] {
        registry.create(of(domain, "ann")).await.expect("within the quota");
    }
    assert_eq!(registry.create(of("c", "ann")).await.map(drop), Err(ChangeError::Quota(2)));
    registry.create(of("c", "bob")).await.expect("somebody else's");
    registry.delete("a", None).await.expect("it is there");
    registry.create(of("d", "ann")).await.expect("one was deleted");
}

macro_rules! everywhere {
    ($($sentence:ident: $test:ident),* $(,)?) => {
        mod sqlite { $(#[test] fn $sentence() { super::on_sqlite(super::$test); })* }
        mod postgres { $(#[test] fn $sentence() { super::on_postgres(super::$test); })* }
        mod mariadb { $(#[test] fn $sentence() { super::on_mariadb(super::$test); })* }
    };
}

everywhere! {
    a_tunnel_is_created_found_changed_and_deleted: a_tunnel_lives,
    relays_with_one_database_see_each_others_changes: relays_see_each_other,
    counters_of_several_relays_are_added_and_last: counters_last,
    requests_are_logged_and_forgotten_in_the_end: requests_are_logged,
    an_owner_has_as_many_tunnels_as_it_may: owners_have_a_quota,
}
