//! The control messages, openings and verdicts, read and written as a JSON library would: same texts in, same texts out.

mod texts;

use hvym_tunnel_core::dialect::{DecodeError, DrainScope, Frame, MAX_CONTROL_BYTES, ShownProof, Signal};
use hvym_tunnel_core::json::JsonError;
use hvym_tunnel_core::message::Message;
use hvym_tunnel_tests::serde_shapes::{Shape, assert_same, read};
use proptest::collection::vec;
use proptest::prelude::*;

use texts::{broken, control, tricky};

fn decoded(text: &str) -> Result<Frame, DecodeError> {
    Frame::decode(Message::Text(text.as_bytes().to_vec().into()))
}

#[test]
fn every_trap_of_json_is_passed_as_a_library_passes_it() {
    let mut taken = 0;
    let all = tricky();
    for json in &all {
        assert_same(json);
        taken += usize::from(read(Shape::Signal, json).is_some());
    }
    assert!(taken > 30 && all.len() - taken > 60, "{taken} of {} are messages", all.len());
}

#[test]
fn what_is_not_asked_for_may_be_as_deep_as_a_message_is_long() {
    let depth = MAX_CONTROL_BYTES / 2 - 20;
    let nested = |open: &str, close: &str, depth: usize| {
        format!(r#"{{"x":{}1{},"type":"ping"}}"#, open.repeat(depth), close.repeat(depth))
    };
    assert_eq!(decoded(&nested("[", "]", depth)), Ok(Frame::Signal(Box::new(Signal::Ping { id: None }))));
    assert_same(nested(r#"{"":"#, "}", depth / 3).as_bytes());
    assert_same(nested("[", "]", 127).as_bytes());
    assert_same(nested("[", "]", 129).as_bytes());
    assert_same(nested("[", "", depth).as_bytes());
    assert_same(nested("[", "}", depth).as_bytes());
}

#[test]
fn a_message_of_64_kib_is_read_and_a_longer_one_is_not() {
    let padded = |length: usize| {
        let (head, tail) = (r#"{"type":"ping","id":7,"x":""#, r#""}"#);
        format!("{head}{}{tail}", "x".repeat(length - head.len() - tail.len()))
    };
    let most = MAX_CONTROL_BYTES;
    assert_eq!(decoded(&padded(most)), Ok(Frame::Signal(Box::new(Signal::Ping { id: Some(7) }))));
    assert_eq!(decoded(&padded(most + 1)), Err(DecodeError::TooLarge(most + 1)));
}

#[test]
fn an_error_says_which_member_is_wrong_and_repeats_no_value() {
    let error = |json: &str| Signal::from_json(json.as_bytes()).expect_err("an error");
    assert_eq!(error(r#"{"type":"unbind"}"#), JsonError::Missing("service"));
    assert_eq!(error(r#"{"type":"pong","id":1,"\u0069d":1}"#), JsonError::Duplicate("id"));
    assert_eq!(error(r#"{"type":"ping",}"#), JsonError::Malformed(15));
    assert_eq!(error(r#"["ping"]"#), JsonError::Malformed(0));
    assert_eq!(error(r#"{"type":"ping"} x"#), JsonError::Malformed(16));
    let texts = [
        (r#"{"type":"auth_response","jwt":["SECRET"]}"#, "the member `jwt` must be a text"),
        (r#"{"type":"ping","id":"SECRET"}"#, "the member `id` must be a whole number, and no less than 0"),
        (
            r#"{"type":"bind","service":"a","local_port":65536}"#,
            "the member `local_port` must be a smaller number",
        ),
        (r#"{"type":"bind","service":"a","public":"SECRET"}"#, "the member `public` must be true or false"),
    ];
    for (json, text) in texts {
        assert_eq!(error(json).to_string(), text);
    }
}

#[test]
fn each_side_reads_what_the_other_says_and_knows_its_own_messages_by_name_alone() {
    let (agent, relay) =
        (|json: &str| Signal::from_agent(json.as_bytes()), |json: &str| Signal::from_relay(json.as_bytes()));
    for kind in ["auth_response", "bind", "unbind", "claim", "revoke"] {
        let json = format!(r#"{{"type":"{kind}","service":"a","name":"a","id":"a"}}"#);
        assert_eq!(agent(&json).expect("a message").kind(), kind);
        assert_eq!(relay(&json), Ok(Signal::Misdirected(kind)));
    }
    for kind in [
        "auth_challenge",
        "auth_ok",
        "auth_failed",
        "bind_ok",
        "bind_failed",
        "unbind_ok",
        "unbound",
        "revoke_ok",
        "revoke_failed",
        "claim_ok",
        "claim_failed",
        "drain",
        "links",
    ] {
        let json = format!(
            r#"{{"type":"{kind}","service":"a","name":"a","id":"a","url":"a","challenge_id":"a","challenge":"a","server_address":"a","endpoint":"a"}}"#
        );
        assert_eq!(relay(&json).expect("a message").kind(), kind);
        assert_eq!(agent(&json), Ok(Signal::Misdirected(kind)));
    }
    for kind in ["ping", "pong", "drained", "error", "unknown"] {
        let json = format!(r#"{{"type":"{kind}"}}"#);
        assert_eq!(
            (agent(&json).expect("a message").kind(), relay(&json).expect("a message").kind()),
            (kind, kind)
        );
    }
}

/// More than usual: only half of the objects are messages, and there are many kinds.
fn cases() -> ProptestConfig {
    let cases = ProptestConfig::default().cases * 4;
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_object_is_the_message_that_a_library_reads(json in control()) {
        assert_same(json.as_bytes());
    }

    #[test]
    fn any_damage_is_seen_as_a_library_sees_it(json in broken()) {
        assert_same(&json);
    }

    #[test]
    fn any_bytes_at_all_are_judged_as_a_library_judges_them(json: Vec<u8>) {
        assert_same(&json);
        assert_same(&[&b"{"[..], &json, b"}"].concat());
        assert_same(&[&br#"{"type":"ping","x":""#[..], &json, br#""}"#].concat());
        assert_same(&[&br#"{"type":"unbind","service":""#[..], &json, br#""}"#].concat());
    }

    #[test]
    fn any_text_is_written_as_a_library_writes_it(text: String, list in vec(".{0,9}", 0..4), number: u64) {
        let signal = Signal::AuthChallenge {
            challenge_id: text.clone(),
            challenge: String::new(),
            server_address: "G".to_owned(),
            mux: list,
            version: u32::try_from(number).ok(),
            shown: ShownProof { host: Some(text.clone()), proof: None },
        };
        let json = signal.to_json();
        prop_assert_eq!(Some(json.clone()), read(Shape::Signal, json.as_bytes()));
        prop_assert_eq!(Signal::from_json(json.as_bytes()), Ok(signal));
        let signal = Signal::Drain { reason: text, deadline_ms: number, scope: DrainScope::Link };
        prop_assert_eq!(Signal::from_json(signal.to_json().as_bytes()), Ok(signal));
    }
}
