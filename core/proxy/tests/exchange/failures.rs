//! Services that end, or take nothing, in the middle.

use hvym_proxy::ExchangeError;

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
