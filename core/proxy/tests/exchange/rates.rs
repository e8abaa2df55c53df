//! Visitors who send or read slowly: what they may where nobody is in their way, and where somebody is.

use std::time::Duration;

use hvym_proxy::{ExchangeError, ProxyConfig};

use crate::rig::{Rig, Said};

/// Ten bytes a second, and pauses of five seconds.
const CONFIG: ProxyConfig = ProxyConfig {
    min_rate: 10,
    body_timeout: Duration::from_secs(5),
    send_timeout: Duration::from_secs(5),
    ..ProxyConfig::DEFAULT
};
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n";

/// Sends so many bytes of a body each second; the second in which it was too slow, of a hundred.
fn upload(bytes_a_second: usize, is_enforced: bool, is_answered: bool) -> Option<u32> {
    let mut rig = Rig::with(CONFIG);
    rig.visit(POST);
    rig.exchange.set_rate_enforced(is_enforced);
    if is_answered {
        rig.answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    }
    (1..=100).find(|_| {
        rig.wait(1000);
        rig.visit("x".repeat(bytes_a_second));
        let said = rig.drained();
        said.iter().any(|said| matches!(said, Said::Failed(ExchangeError::BodyTimeout) | Said::Closed(_)))
    })
}

#[test]
fn a_body_below_the_minimum_rate_ends_where_that_is_demanded_and_its_response_has_not_begun() {
    assert_eq!(
        [upload(9, false, false), upload(1, false, false)],
        [None, None],
        "nobody waits for its place"
    );
    assert_eq!([upload(10, true, false), upload(11, true, false)], [None, None], "it is fast enough");
    assert_eq!(upload(1, true, true), None, "both sides talk");
    let (slower, slowest) = (upload(9, true, false), upload(1, true, false));
    assert!(slower.is_some_and(|second| second > 40), "the pause is used up little by little: {slower:?}");
    assert!(slowest.is_some_and(|second| (5..8).contains(&second)), "{slowest:?}");
}

#[test]
fn the_time_that_a_service_takes_is_not_its_visitors() {
    let mut rig = Rig::with(ProxyConfig { max_unsent: 100, ..CONFIG });
    rig.service_reads = false;
    rig.visit(POST);
    rig.exchange.set_rate_enforced(true);
    rig.visit("x".repeat(500));
    for _ in 0..20 {
        rig.wait(1000);
    }
    assert!(!rig.drained().contains(&Said::Failed(ExchangeError::BodyTimeout)), "the service was waited for");
    rig.service_reads = true;
    rig.run();
    rig.wait(4000);
    assert!(!rig.drained().contains(&Said::Failed(ExchangeError::BodyTimeout)), "it has its pause");
    rig.wait(2000);
    assert!(rig.drained().contains(&Said::Failed(ExchangeError::BodyTimeout)), "and no more");
}

/// Reads so many bytes of a response each second; the second in which it was too slow, of a hundred.
fn download(bytes_a_second: usize, is_enforced: bool) -> Option<u32> {
    let mut rig = Rig::with(CONFIG);
    rig.visit("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    rig.exchange.set_rate_enforced(is_enforced);
    rig.visitor_reads = false;
    let body = "x".repeat(2000);
    rig.answer(format!("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n{body}"));
    (1..=100).find(|_| {
        rig.wait(1000);
        let is_cut = rig.exchange.visitor_output().is_empty();
        if !is_cut {
            rig.exchange.handle_visitor_sent(bytes_a_second, rig.now);
        }
        is_cut
    })
}

#[test]
fn a_visitor_who_reads_below_the_minimum_rate_is_cut_where_that_is_demanded() {
    assert_eq!([download(9, false), download(1, false)], [None, None], "nobody waits for its place");
    assert_eq!([download(10, true), download(11, true)], [None, None], "it is fast enough");
    let (slower, slowest) = (download(9, true), download(1, true));
    assert!(slower.is_some_and(|second| second > 40), "the pause is used up little by little: {slower:?}");
    assert!(slowest.is_some_and(|second| (5..8).contains(&second)), "{slowest:?}");
}

#[test]
fn a_visitor_who_has_read_everything_is_not_blamed_for_a_slow_service() {
    let mut rig = Rig::with(CONFIG);
    rig.visit("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    rig.exchange.set_rate_enforced(true);
    rig.answer("HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n");
    rig.drained();
    for second in 1..=100 {
        rig.wait(1000);
        rig.answer("x");
        assert_eq!(rig.drained(), [], "second {second}");
    }
}
