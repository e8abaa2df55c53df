//! Each limit of a visitor's connection: below it nothing happens, at it something does.

use std::time::Duration;

use bytes::Bytes;
use hvym_http1::{HeadError, MAX_HEAD_BYTES, RequestError, ResponseHead};
use hvym_proxy::{Closing, ExchangeError, HeadRefusal, LocalBody, ProxyConfig};

use crate::rig::{GET, Rig, Said};

const POST: &str = "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n";

/// Timeouts that differ, so that one is not taken for another.
fn rig() -> Rig {
    Rig::with(ProxyConfig {
        head_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(200),
        body_timeout: Duration::from_millis(300),
        tunnel_timeout: Duration::from_millis(700),
        send_timeout: Duration::from_millis(400),
        min_rate: 10,
        response_timeout: Duration::from_millis(500),
        continue_timeout: Duration::from_millis(50),
        half_closed_timeout: Duration::from_millis(600),
        max_unsent: 10,
        max_early: 20,
        relay_domain: None,
        hsts: None,
    })
}

/// What is said when `millis` have passed, but not a millisecond sooner.
fn at(rig: &mut Rig, millis: u64) -> Vec<Said> {
    rig.drained();
    assert_eq!(rig.deadline(), Some(millis));
    rig.wait(millis - 1);
    assert_eq!(rig.drained(), [], "too soon");
    rig.wait(1);
    rig.drained()
}

#[test]
fn a_connection_is_kept_for_so_long_between_requests() {
    let mut rig = rig();
    assert_eq!(at(&mut rig, 200), [Said::Closed(Closing::Orderly)]);
    let mut used = self::rig();
    used.visit(GET);
    used.answer("HTTP/1.1 204 No Content\r\n\r\n");
    used.wait(10);
    assert_eq!(at(&mut used, 190), [Said::Closed(Closing::Orderly)]);
    used.visit(GET);
    assert_eq!(used.drained(), [], "nothing is read any more");
}

#[test]
fn a_head_has_its_time_from_its_first_byte_to_its_last() {
    let mut rig = rig();
    rig.wait(150);
    rig.visit("GET / HTTP/1.1\r\n");
    rig.wait(60);
    rig.visit("Host: h\r\n");
    assert_eq!(at(&mut rig, 40), [Said::Refused(HeadRefusal::Late)]);
    assert_eq!(rig.exchange.request_head(), b"GET / HTTP/1.1\r\nHost: h\r\n");
}

#[test]
fn an_exchange_whose_request_is_incomplete_may_stand_still_for_so_long() {
    let mut rig = rig();
    rig.visit(format!("{POST}abc"));
    rig.wait(200);
    rig.visit("d");
    let late = [Said::Released(false), Said::Failed(ExchangeError::BodyTimeout)];
    assert_eq!(at(&mut rig, 300), late);
    // What moves in the other direction is a sign of life too.
    let mut answered = self::rig();
    answered.visit(format!("{POST}abc"));
    answered.answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    for _ in 0..8 {
        answered.wait(699);
        answered.answer("x");
    }
    assert_eq!(answered.said.iter().filter(|said| matches!(said, Said::Closed(_))).count(), 0);
}

#[test]
fn two_sides_that_stream_may_both_be_silent_as_long_as_a_tunnel() {
    let mut rig = rig();
    rig.visit(format!("{POST}abc"));
    rig.answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    let ended = [Said::Released(false), Said::Finished, Said::Closed(Closing::Orderly)];
    assert_eq!(at(&mut rig, 700), ended);
}

#[test]
fn a_visitor_is_not_blamed_for_a_service_that_takes_nothing() {
    let mut rig = rig();
    rig.service_reads = false;
    rig.visit(format!("{POST}abc"));
    let late = [Said::Released(false), Said::Failed(ExchangeError::ResponseTimeout)];
    assert_eq!(at(&mut rig, 500), late);
}

#[test]
fn a_service_may_take_so_long_to_begin_its_answer() {
    let mut rig = rig();
    rig.visit(GET);
    rig.wait(100);
    rig.answer("HTTP/1.1 102 Processing\r\n\r\n");
    let late = [Said::Released(false), Said::Failed(ExchangeError::ResponseTimeout)];
    assert_eq!(at(&mut rig, 500), late);
    // A head that comes in pieces is a sign of life.
    let mut slow = self::rig();
    slow.visit(GET);
    slow.wait(400);
    slow.answer("HTTP/1.1 200 OK\r\n");
    assert_eq!(at(&mut slow, 500), late);
    // And for as long as it likes to go on.
    let mut begun = self::rig();
    begun.visit(GET);
    begun.answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(begun.deadline(), None);
}

#[test]
fn a_visitor_may_take_nothing_of_its_answer_for_so_long() {
    let mut rig = rig();
    rig.visit(GET);
    rig.visitor_reads = false;
    rig.answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    let cut = [Said::Released(false), Said::Finished, Said::Closed(Closing::Reset)];
    assert_eq!(at(&mut rig, 400), cut);
    // Also of an earlier one, while the next is awaited.
    let mut earlier = self::rig();
    earlier.visit(GET);
    earlier.visitor_reads = false;
    earlier.answer("HTTP/1.1 204 No Content\r\n\r\n");
    earlier.visit(GET);
    assert_eq!(at(&mut earlier, 400), cut);
    // Also of one that is complete.
    let mut whole = self::rig();
    whole.visit(GET);
    whole.visitor_reads = false;
    whole.answer("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(at(&mut whole, 400), [Said::Closed(Closing::Reset)]);
}

#[test]
fn a_visitor_that_waits_for_continue_is_told_to_go_on_after_so_long() {
    let mut rig = rig();
    rig.visit(POST.replace("Content-Length", "Expect: 100-continue\r\nContent-Length"));
    assert_eq!(at(&mut rig, 50), []);
    assert_eq!(rig.seen(), "HTTP/1.1 100 Continue\r\n\r\n");
    // A visitor that sends without waiting is told nothing.
    let mut hasty = self::rig();
    hasty.visit(POST.replace("Content-Length", "Expect: 100-continue\r\nContent-Length") + "a");
    hasty.wait(60);
    assert_eq!(hasty.seen(), "");
}

#[test]
fn a_visitor_that_has_ended_its_half_is_given_up_when_nothing_passes_for_so_long() {
    let mut rig = rig();
    rig.visit(GET);
    rig.answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    rig.end_visitor();
    rig.wait(500);
    rig.answer("d");
    let cut = [Said::Released(false), Said::Finished, Said::Closed(Closing::Reset)];
    assert_eq!(at(&mut rig, 600), cut);
}

#[test]
fn a_visitor_that_has_ended_its_half_gets_what_the_runner_streams_for_as_long_as_that_lasts() {
    let mut rig = rig();
    rig.connects = false;
    rig.visit(GET);
    rig.exchange.respond(ResponseHead::new(200, "OK"), LocalBody::Streamed, rig.now).expect("a head");
    rig.end_visitor();
    rig.wait(599);
    rig.exchange.send_local_body(Bytes::from("x"), rig.now);
    assert_eq!(rig.deadline(), Some(400), "the visitor is waited for, who has what was sent before");
    rig.run();
    assert_eq!(rig.deadline(), Some(600));
}

#[test]
fn a_head_may_have_so_many_bytes() {
    let head = |length: usize| {
        let line = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
        format!("{line}{}\r\n\r\n", "x".repeat(length - line.len() - 4))
    };
    let mut rig = Rig::new();
    rig.visit(head(MAX_HEAD_BYTES));
    assert!(matches!(rig.said[0], Said::Request(_)), "{:?}", rig.said);
    let mut above = Rig::new();
    above.visit(head(MAX_HEAD_BYTES + 1));
    let refused = HeadRefusal::Head(RequestError::Head(HeadError::TooLong));
    assert_eq!(above.drained(), [Said::Refused(refused)]);
}

#[test]
fn so_much_waits_for_either_side_before_the_other_is_read_no_more() {
    let mut rig = rig();
    rig.visit(POST);
    rig.service_reads = false;
    rig.visit("abc");
    assert!(rig.exchange.wants_visitor_data(), "there is room for more");
    rig.visit("defghi".repeat(2));
    assert!(!rig.exchange.wants_visitor_data(), "a buffer may go beyond it");
    let mut exact = self::rig();
    exact.visit(POST.replace('9', "20"));
    exact.service_reads = false;
    exact.visit("0123456789");
    assert!(!exact.exchange.wants_visitor_data());
    exact.visit("x");
    assert_eq!(
        exact.exchange.service_output().map(|output| output.len()),
        Some(10),
        "nothing is added to it"
    );
    let mut rig = self::rig();
    rig.visit(GET);
    rig.answer("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n");
    rig.visitor_reads = false;
    rig.answer("123456789");
    assert!(rig.exchange.wants_service_data());
    rig.answer("0");
    assert!(!rig.exchange.wants_service_data());
    rig.answer("x");
    assert_eq!(rig.exchange.visitor_output().len(), 10, "nothing is added to it");
    rig.visitor_reads = true;
    rig.run();
    assert!(rig.exchange.wants_service_data());
}

#[test]
fn by_default_64_kib_wait_for_a_service_and_as_much_may_come_before_an_upgrade_is_answered() {
    let upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    for head in [&POST.replace('9', "100000"), upgrade] {
        let mut rig = Rig::new();
        rig.visit(head);
        rig.service_reads = false;
        rig.visit("x".repeat(64 * 1024 - 1));
        assert!(rig.exchange.wants_visitor_data(), "{head}");
        rig.visit("x");
        assert!(!rig.exchange.wants_visitor_data(), "{head}");
    }
}

#[test]
fn so_much_may_come_before_an_upgrade_is_answered() {
    let mut rig = rig();
    rig.visit("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    rig.visit("x".repeat(19));
    assert!(rig.exchange.wants_visitor_data());
    rig.visit("x");
    assert!(!rig.exchange.wants_visitor_data());
    // Of other requests, one read: it finds out whether the visitor is there.
    let mut plain = self::rig();
    plain.visit(GET);
    assert!(plain.exchange.wants_visitor_data());
    plain.visit("G");
    assert!(!plain.exchange.wants_visitor_data());
}
