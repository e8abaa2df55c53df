//! What passes between a visitor and a service, and when a connection goes on.

use bytes::Bytes;
use hvym_http1::{HostMapping, UrlOrigin, UrlScheme};
use hvym_proxy::{Choice, Closing, ExchangeError, MAX_MOVES, UpstreamFailure};

use crate::rig::{GET, POST, Rig, Said};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// The events of a request that was answered over a connection that goes on.
const ANSWERED: [Said; 3] = [Said::Answered(200), Said::Released(true), Said::Finished];

#[test]
fn a_request_passes_and_its_answer_passes_back_and_both_connections_go_on() {
    let mut rig = Rig::new();
    rig.visit(GET);
    assert_eq!(rig.asked(), "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(rig.drained(), [Said::Request("GET /a".into()), Said::Connect(Choice::Any)]);
    rig.answer(OK);
    assert_eq!(rig.seen(), OK);
    assert_eq!(rig.drained(), ANSWERED);
    rig.visit("GET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    rig.answer("HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(rig.seen(), "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
    assert_eq!(rig.said.last(), Some(&Said::Closed(Closing::Orderly)));
    assert_eq!(rig.service.len(), 1, "one connection carried both");
}

#[test]
fn names_in_a_response_are_mapped_back_as_long_as_the_runner_maps_them() {
    let origin = |scheme, authority: &str| UrlOrigin { scheme, authority: authority.to_owned() };
    let mapping = HostMapping {
        public: origin(UrlScheme::Https, "a.example"),
        local: origin(UrlScheme::Http, "localhost:3000"),
    };
    let moved = "HTTP/1.1 302 Found\r\nLocation: http://localhost:3000/x\r\nContent-Length: 0\r\n\r\n";
    let mut rig = Rig::new();
    rig.visit(GET);
    rig.exchange.map_host(Some(mapping));
    rig.answer(moved);
    assert_eq!(rig.seen(), moved.replace("http://localhost:3000", "https://a.example"));
    rig.visit(GET);
    rig.exchange.map_host(None);
    rig.answer(moved);
    assert_eq!(rig.seen(), moved);
}

#[test]
fn a_response_without_a_date_gets_that_of_the_runner() {
    let date = *b"Sun, 06 Nov 1994 08:49:37 GMT";
    for (own, seen) in [("", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Date: x\r\n", "x")] {
        let mut rig = Rig::new();
        rig.visit(GET);
        rig.exchange.set_date(date);
        rig.answer(OK.replace("Content", &format!("{own}Content")));
        let seen_fields = rig.seen();
        assert_eq!(seen_fields.matches("Date: ").count(), 1, "{seen_fields}");
        assert!(seen_fields.contains(&format!("Date: {seen}\r\n")), "{seen_fields}");
    }
}

#[test]
fn requests_that_come_at_once_are_asked_one_after_the_other() {
    let mut rig = Rig::new();
    rig.visit(format!("{GET}{}{GET}", GET.replace("/a", "/b")));
    for target in ["/a", "/b", "/a"] {
        assert!(rig.asked().ends_with(&GET.replace("/a", target)), "{}", rig.asked());
        assert_eq!(rig.seen(), "");
        rig.answer(OK);
        assert_eq!(rig.seen(), OK);
    }
}

#[test]
fn a_body_passes_as_the_buffer_that_it_came_in() {
    let mut rig = Rig::new();
    rig.service_reads = false;
    rig.visit(POST);
    let data = Bytes::from_static(b"hello");
    rig.exchange.handle_visitor_data(data.clone(), rig.now);
    rig.run();
    let output = rig.exchange.service_output().expect("a service");
    assert!(output.buffers().any(|buffer| buffer.as_ptr() == data.as_ptr()));
    rig.service_reads = true;
    rig.run();
    let answer =
        Bytes::from_static(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
    rig.visitor_reads = false;
    rig.exchange.handle_service_data(answer.clone(), rig.now);
    rig.run();
    let body = rig.exchange.visitor_output().buffers().nth(1).expect("a head and a body");
    assert_eq!(body.as_ptr(), answer[answer.len() - 12..].as_ptr(), "chunks pass with their framing");
}

#[test]
fn trailer_fields_pass_but_for_those_that_mean_something_to_a_proxy() {
    let mut rig = Rig::new();
    rig.visit("POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-A: 1\r\nHost: g\r\n\r\n");
    assert!(rig.asked().ends_with("\r\n\r\n1\r\nx\r\n0\r\nX-A: 1\r\n\r\n"), "{}", rig.asked());
    rig.answer(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-B: 2\r\nContent-Length: 9\r\n\r\n",
    );
    assert!(rig.seen().ends_with("\r\n\r\n0\r\nX-B: 2\r\n\r\n"));
    assert_eq!(rig.said.last(), Some(&Said::Finished));
}

#[test]
fn a_body_that_ends_with_its_connection_is_chunked_for_whoever_knows_chunks() {
    let answer = "HTTP/1.1 200 OK\r\n\r\nhi";
    let mut rig = Rig::new();
    rig.visit(GET);
    rig.answer(answer);
    rig.end_service();
    assert_eq!(rig.seen(), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
    assert_eq!(rig.drained()[2..], [Said::Answered(200), Said::Released(false), Said::Finished]);

    let mut old = Rig::new();
    old.visit("GET /a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n");
    old.answer(answer);
    old.end_service();
    assert_eq!(old.seen(), "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhi");
    assert_eq!(old.said.last(), Some(&Said::Closed(Closing::Orderly)));
}

#[test]
fn an_old_visitor_gets_no_chunks_and_keeps_its_connection_where_it_can() {
    let mut rig = Rig::new();
    rig.visit("GET /a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n");
    rig.answer("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(rig.seen(), "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx");
    assert_eq!(rig.said.last(), Some(&Said::Finished));
    rig.visit("GET /a HTTP/1.0\r\nHost: h\r\n\r\n");
    rig.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
    assert_eq!(rig.seen(), "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhi");
    assert_eq!(rig.said.last(), Some(&Said::Closed(Closing::Orderly)));
}

#[test]
fn interim_answers_pass_and_continue_is_said_once() {
    let mut rig = Rig::new();
    rig.visit(POST.replace("Content-Length", "Expect: 100-continue\r\nContent-Length"));
    for interim in ["102 Processing", "103 Early Hints", "100 Continue"] {
        rig.answer(format!("HTTP/1.1 {interim}\r\n\r\n"));
        assert_eq!(rig.seen(), format!("HTTP/1.1 {interim}\r\n\r\n"));
    }
    rig.answer("HTTP/1.1 100 Continue\r\n\r\n");
    rig.wait(5000);
    assert_eq!(rig.seen(), "");
    rig.visit("hello");
    rig.answer(OK);
    assert_eq!(rig.seen(), OK);
    assert_eq!(rig.said.last(), Some(&Said::Finished));
}

#[test]
fn a_body_that_nobody_asked_for_does_not_become_a_request() {
    let mut rig = Rig::new();
    rig.visit(POST.replace("Content-Length", "Expect: 100-continue\r\nContent-Length"));
    rig.answer("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
    assert!(rig.seen().contains("Connection: close"));
    assert_eq!(rig.said.last(), Some(&Said::Closed(Closing::Orderly)));
    assert!(rig.said.contains(&Said::Released(false)), "its service may wait for the body");
}

#[test]
fn an_answer_may_come_before_the_request_is_complete_and_both_go_on() {
    let mut rig = Rig::new();
    rig.visit(format!("{POST}he"));
    rig.answer(OK);
    assert_eq!(rig.seen(), OK);
    assert_eq!(rig.said.last(), Some(&Said::Answered(200)));
    rig.visit(format!("llo{GET}"));
    assert!(rig.service[0].ends_with(format!("hello{GET}").as_bytes()), "{:?}", rig.service);
}

#[test]
fn a_service_that_is_not_going_to_read_the_rest_ends_the_visitors_connection_in_order() {
    let mut rig = Rig::new();
    rig.visit(format!("{POST}he"));
    rig.answer("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!(
        rig.seen(),
        "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    );
    assert_eq!(rig.said.last(), Some(&Said::Closed(Closing::Orderly)));
}

#[test]
fn a_service_that_takes_nothing_may_answer_all_the_same() {
    let mut rig = Rig::new();
    rig.visit(format!("{POST}he"));
    rig.exchange.handle_service_write_closed();
    rig.visit("llo");
    rig.answer(OK);
    assert_eq!(rig.seen(), OK);
    assert_eq!(rig.drained()[2..], [Said::Answered(200), Said::Released(false), Said::Finished]);
}

#[test]
fn a_visitor_that_ends_its_half_is_answered() {
    let mut rig = Rig::new();
    rig.visit(GET);
    rig.end_visitor();
    assert_eq!(rig.drained().len(), 2);
    rig.answer(OK);
    assert!(rig.seen().ends_with("Connection: close\r\n\r\nhi"));
    assert_eq!(rig.said.last(), Some(&Said::Closed(Closing::Orderly)));
}

#[test]
fn a_visitor_that_ends_inside_its_request_has_broken_it() {
    let mut rig = Rig::new();
    rig.visit(format!("{POST}he"));
    rig.end_visitor();
    assert_eq!(rig.drained()[2..], [Said::Released(false), Said::Failed(ExchangeError::BodyBroken)]);
    let mut begun = Rig::new();
    begun.visit(format!("{POST}he"));
    begun.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh");
    begun.end_visitor();
    let end = [Said::Released(false), Said::Finished, Said::Closed(Closing::Orderly)];
    assert_eq!(begun.drained()[3..], end);
    let mut early = Rig::new();
    early.visit("GET / HTT");
    early.end_visitor();
    assert_eq!(early.drained(), [Said::Closed(Closing::Orderly)]);
}

#[test]
fn half_an_answer_never_looks_whole() {
    for (answer, version, closing) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "1.1", Closing::Orderly),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi", "1.1", Closing::Orderly),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi", "1.0", Closing::Reset),
    ] {
        let mut rig = Rig::new();
        rig.visit(GET.replace("1.1", version));
        rig.answer(answer);
        rig.end_service();
        assert!(rig.seen().ends_with("hi"), "{answer}");
        let end = [Said::Released(false), Said::Finished, Said::Closed(closing)];
        assert_eq!(rig.drained()[3..], end, "{answer}");
    }
    let mut cut = Rig::new();
    cut.visit(GET);
    cut.answer("HTTP/1.1 200 OK\r\n\r\nhi");
    cut.exchange.handle_service_reset();
    cut.run();
    assert!(!cut.seen().contains("0\r\n\r\n"), "a reset is no end");
    assert_eq!(cut.said.last(), Some(&Said::Closed(Closing::Orderly)));
}

#[test]
fn what_is_no_answer_is_told_apart_from_none() {
    let bad = |rig: &mut Rig| rig.drained().pop();
    for answer in
        ["220 mail ESMTP\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"]
    {
        let mut rig = Rig::new();
        rig.visit(GET);
        rig.answer(answer);
        assert_eq!(bad(&mut rig), Some(Said::Failed(ExchangeError::BadResponse)), "{answer}");
    }
    for answer in ["", "HTTP/1.1 2"] {
        let mut rig = Rig::new();
        rig.visit(GET);
        rig.answer(answer);
        rig.end_service();
        assert_eq!(bad(&mut rig), Some(Said::Failed(ExchangeError::BadResponse)), "{answer}");
    }
    let mut asked = Rig::new();
    asked.visit(GET);
    asked.answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
    assert_eq!(bad(&mut asked), Some(Said::Failed(ExchangeError::BadResponse)), "nobody asked for it");
}

#[test]
fn a_request_that_a_used_connection_lost_is_sent_again_if_that_changes_nothing() {
    for (request, is_repeated) in [
        (GET.to_owned(), true),
        (GET.replace("GET", "DELETE"), true),
        (GET.replace("GET", "POST"), false),
        (GET.replace("GET", "PATCH"), false),
        (format!("{}hello", POST.replace("POST", "PUT")), false),
    ] {
        let mut rig = Rig::new();
        rig.visit(GET);
        rig.answer(OK);
        rig.drained();
        rig.visit(&request);
        rig.end_service();
        let said = rig.drained();
        assert!(said.contains(&Said::Lost(UpstreamFailure::Lost)), "{request}: {said:?}");
        assert_eq!(said.contains(&Said::Connect(Choice::Fresh)), is_repeated, "{request}: {said:?}");
        assert_eq!(said.contains(&Said::Failed(ExchangeError::BadResponse)), !is_repeated, "{request}");
        assert_eq!(rig.service.len(), 1 + usize::from(is_repeated), "{request}");
    }
    // What is left of an earlier answer is no answer, and may be asked again as far as that changes nothing.
    for (request, is_session_up, is_repeated) in [
        (GET.to_owned(), true, true),
        (GET.replace("GET", "POST"), true, false),
        (GET.to_owned(), false, false),
    ] {
        let mut rig = Rig::new();
        rig.visit(GET);
        rig.answer(OK);
        rig.visit(&request);
        rig.drained();
        rig.is_session_up = is_session_up;
        rig.answer("what is left\r\n\r\n");
        let said = rig.drained();
        assert_eq!(said.contains(&Said::Connect(Choice::Fresh)), is_repeated, "{request}: {said:?}");
    }
    let mut fresh = Rig::new();
    fresh.visit(GET);
    fresh.end_service();
    assert_eq!(fresh.said.last(), Some(&Said::Failed(ExchangeError::BadResponse)), "not of a new one");
}

#[test]
fn a_request_of_which_nothing_was_sent_is_sent_whole_over_another_connection() {
    let mut rig = Rig::new();
    rig.visit(GET);
    rig.answer(OK);
    rig.service_reads = false;
    rig.visit(format!("{POST}he"));
    rig.exchange.handle_service_reset();
    rig.run();
    assert!(rig.said.contains(&Said::Lost(UpstreamFailure::Unsent)), "{:?}", rig.said);
    rig.service_reads = true;
    rig.visit("llo");
    assert_eq!(rig.asked(), format!("{POST}hello"));
    assert_eq!(rig.service.len(), 2);
}

#[test]
fn a_request_of_a_lost_session_goes_to_another_and_to_so_many_at_most() {
    let mut rig = Rig::new();
    rig.visit(GET);
    for _ in 0..MAX_MOVES {
        rig.is_session_up = false;
        rig.exchange.handle_service_reset();
        rig.run();
        assert_eq!(rig.drained().last(), Some(&Said::Connect(Choice::Fresh)));
    }
    rig.is_session_up = false;
    rig.exchange.handle_service_reset();
    rig.run();
    assert_eq!(rig.drained().last(), Some(&Said::Failed(ExchangeError::SessionLost)));
    let mut post = Rig::new();
    post.visit(GET.replace("GET", "POST"));
    post.is_session_up = false;
    post.exchange.handle_service_reset();
    post.run();
    assert_eq!(post.drained().last(), Some(&Said::Failed(ExchangeError::SessionLost)));
}

#[test]
fn a_connection_is_reused_only_after_a_complete_exchange_and_nothing_beyond_it() {
    for (request, answer, is_reusable) in [
        (GET, OK.to_owned(), true),
        (GET, format!("{OK}more"), false),
        (GET, OK.replace("OK\r\n", "OK\r\nConnection: close\r\n"), false),
        (GET, OK.replace("1.1", "1.0"), false),
        (GET, OK.replace("1.1", "1.0").replace("OK\r\n", "OK\r\nConnection: keep-alive\r\n"), true),
        (&GET.replace("GET", "HEAD"), OK.to_owned(), false),
        (&GET.replace("GET", "HEAD"), OK.replace("hi", ""), true),
    ] {
        let mut rig = Rig::new();
        rig.visit(request);
        rig.answer(&answer);
        assert!(rig.drained().contains(&Said::Released(is_reusable)), "{request} {answer}");
    }
}

#[test]
fn a_connection_remembers_what_it_has_carried() {
    let history = |request: &str, answer: &str| {
        let mut rig = Rig::new();
        rig.visit(request);
        rig.answer(answer);
        let history = *rig.pooled.expect("it is free").history();
        (history.has_unsafe_request, history.has_connection_login)
    };
    assert_eq!(history(GET, OK), (false, false));
    assert_eq!(history(&GET.replace("GET", "HEAD"), &OK.replace("hi", "")), (true, false));
    assert_eq!(history(&format!("{POST}hello"), OK), (true, false));
    assert_eq!(history(&GET.replace("Host", "Authorization: NTLM x\r\nHost"), OK), (false, true));
    let challenge = "HTTP/1.1 401 No\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(history(GET, challenge), (false, true));
}

#[test]
fn a_visitor_that_is_gone_gives_its_service_up() {
    let mut rig = Rig::new();
    rig.visit(GET);
    rig.answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi");
    rig.exchange.handle_visitor_reset();
    rig.run();
    let end = [Said::Released(false), Said::Finished, Said::Closed(Closing::Reset)];
    assert_eq!((&rig.drained()[3..], rig.is_abandoned), (&end[..], true));
    // A service that has answered only has its connection back.
    let mut rig = Rig::new();
    rig.visit(POST);
    rig.answer(OK);
    rig.exchange.handle_visitor_reset();
    rig.run();
    assert_eq!((&rig.drained()[3..], rig.is_abandoned), (&end[..], false));
}

#[test]
fn an_answer_before_the_end_of_its_request_leaves_the_rest_of_it_to_the_service() {
    let mut rig = Rig::new();
    rig.visit(POST);
    rig.answer(OK);
    assert_eq!(rig.seen(), OK);
    assert_eq!(rig.drained().last(), Some(&Said::Answered(200)), "the connection is still in use");
    rig.visit("hello");
    assert_eq!(rig.asked(), format!("{POST}hello"));
    assert_eq!(rig.drained(), ANSWERED[1..]);
    rig.visit(GET);
    rig.answer(OK);
    assert_eq!((rig.seen(), rig.service.len()), (OK.to_owned(), 1));
}
