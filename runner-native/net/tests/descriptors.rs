//! A process that runs out of descriptors. It has this program to itself: the limit is that of the whole process.

#![cfg(unix)]

use std::fs::File;
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::Instant;

use hvym_tunnel_net::listener::{ACCEPT_PAUSE, TcpListener};
use hvym_tunnel_net::rlimit::raise_open_files;
use hvym_tunnel_net::runtime::Runtime;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that this process may have; the test harness has fewer than a third of it.
const LOW: u64 = 64;

#[test]
fn a_listener_waits_while_there_are_no_descriptors_and_goes_on_when_there_are() {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(LOW), maximum: hard }).expect("a lower limit");
    let runtime = Runtime::new().expect("threads and descriptors");
    let listener = {
        let _inside = runtime.handle().enter();
        TcpListener::listen((Ipv4Addr::LOCALHOST, 0).into(), None).expect("a free port")
    };
    let at = listener.local_addr().expect("its address");
    let visitor = TcpStream::connect(at).expect("it listens");
    let held: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(!held.is_empty());

    let begun = Instant::now();
    let listener = std::sync::Arc::new(listener);
    let accepting = runtime.spawn({
        let listener = std::sync::Arc::clone(&listener);
        async move { listener.accept().await.1 }
    });
    while listener.failures() < 3 {
        assert!(begun.elapsed().as_secs() < 60, "accepting does not fail: {}", listener.failures());
        thread::yield_now();
    }
    // However slow the machine is, so many pauses have passed.
    let most = begun.elapsed().as_millis() / ACCEPT_PAUSE.as_millis() + 1;
    assert!(u128::from(listener.failures()) <= most, "{} failures in a row", listener.failures());
    drop(held);
    assert_eq!(runtime.block_on(accepting), visitor.local_addr().expect("its address"));

    assert_eq!(raise_open_files(), hard);
    assert_eq!(getrlimit(Resource::Nofile).current, hard);
    assert_eq!(raise_open_files(), hard, "again");
}
