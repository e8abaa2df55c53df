//! Services that end, or take nothing, in the middle.

use bytes::Bytes;
use hvym_proxy::{ExchangeError, RequestFacts, Upstream};

use crate::rig::{GET, POST, Rig, Said};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn a_request_whose_answer_had_begun_is_not_sent_again() {
    let mut rig = Rig::new();
    rig.visit(GET);
    rig.answer(OK);
    rig.visit(GET);
    rig.drained();
    rig.answer("HTTP/1.1 2");
    rig.end_service();
    assert_eq!(rig.drained().last(), Some(&Said::Failed(ExchangeError::BadResponse)));
    assert_eq!(rig.service.len(), 1);
}

#[test]
fn what_a_service_that_takes_nothing_more_was_to_get_is_discarded_and_its_answer_passes() {
    let mut rig = Rig::new();
    rig.visit(POST);
    rig.service_reads = false;
    rig.visit("hel");
    rig.exchange.handle_service_write_closed();
    assert!(rig.exchange.service_output().is_none(), "nobody takes it");
    rig.answer(OK);
    assert!(rig.seen().starts_with("HTTP/1.1 200 OK"));
    assert!(rig.pooled.is_none());
}

#[test]
fn a_request_of_which_nothing_was_sent_waits_for_another_connection() {
    let mut rig = Rig::new();
    rig.service_reads = false;
    rig.visit(GET);
    rig.exchange.handle_service_write_closed();
    assert!(rig.exchange.service_output().is_none(), "this one takes nothing");
    rig.is_session_up = false;
    rig.service_reads = true;
    rig.exchange.handle_service_reset();
    rig.run();
    assert_eq!(rig.asked(), GET);
}

#[test]
fn a_service_is_read_while_all_of_it_was_understood_until_it_ends_or_fails() {
    let begun = || {
        let mut upstream = Upstream::new();
        upstream.begin(Bytes::from(GET), RequestFacts::default());
        assert!(upstream.wants_data());
        upstream
    };
    let mut waiting = begun();
    waiting.handle_data(Bytes::from(OK));
    assert!(!waiting.wants_data(), "it has what was not looked at yet");
    let mut ended = begun();
    ended.handle_end();
    assert!(!ended.wants_data());
    let mut failed = begun();
    failed.handle_data(Bytes::from("220 mail\r\n\r\n"));
    assert!(failed.poll_event().is_some());
    assert!(!failed.wants_data());
}
