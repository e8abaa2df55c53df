//! The relay's side: a session, and an agent that is not what it should be.

use std::time::Duration;

use bytes::Bytes;
use hvym_tunnel_core::dialect::MAX_CONTROL_BYTES;
use hvym_tunnel_core::handshake::{Credential, Upgrade};
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::message::Message;
use hvym_tunnel_core::reason::DownReason;
use hvym_tunnel_core::relay::{Session, SessionConfig, SessionEvent};
use hvym_tunnel_core::stellar::{Claims, Scope};
use hvym_tunnel_core::time::{Instant, UnixTime};
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::ends::{AGENT, HOST, RELAY, session_config};
use hvym_tunnel_tests::pair::{EPOCH, wall};
use serde_json::{Value, json};

use super::{Said, message};

const NOW: Instant = Instant::ZERO;

pub(super) fn session(config: SessionConfig, credential: Credential) -> Session {
    let upgrade = Upgrade::new(HOST).with_credential(credential);
    Session::new(config, upgrade, wall(NOW), [5; 32], NOW)
}

/// A session that has asked, and what it asked.
pub(super) fn challenged() -> (Session, Value) {
    let mut session = session(session_config(), Credential::None);
    let mut said = Said::by(&mut session);
    assert_eq!((said.texts.len(), said.last_type()), (1, Some("auth_challenge")));
    (session, said.texts.remove(0))
}

pub(super) fn claims() -> Claims {
    let (agent, relay) = (Key::from_seed(AGENT).address(), Key::from_seed(RELAY).address());
    Claims::new(agent, relay.to_string(), EPOCH)
        .with_services(["web"])
        .with_host(HOST)
        .with_scope(Scope::Agent)
}

pub(super) fn signed(claims: &Claims) -> String {
    let input = claims.signing_input();
    let signature = Key::from_seed(AGENT).sign(&input);
    input.into_token(signature).expect("the agent's own").as_str().to_owned()
}

/// What an honest agent answers to `ask`.
pub(super) fn answer(ask: &Value) -> Value {
    let challenge = ask["challenge"].as_str().expect("a challenge");
    json!({"type": "auth_response", "challenge_id": ask["challenge_id"], "jwt": signed(&claims().with_challenge(challenge)),
           "mux": "yamux", "version": 2})
}

/// The code of the `auth_failed` for a token with this fault.
fn code_for(fault: &str) -> &'static str {
    match fault {
        "expired" => "token_expired",
        "future" | "not before" => "token_from_future",
        _ => "authentication",
    }
}

pub(super) fn events(session: &mut Session) -> Vec<SessionEvent> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

/// Ends with `code`, announced by an `auth_failed` where `failed` says so, and with one terminal event.
pub(super) fn assert_refused(session: &mut Session, what: &str, code: u16, failed: Option<&str>, text: &str) {
    let said = Said::by(session);
    assert_eq!(said.code(), Some(code), "{what}: {:?} {:?}", said.texts, said.close);
    match failed {
        Some(kind) => {
            let last = said.texts.last().expect("an auth_failed");
            assert_eq!(
                (last["type"].as_str(), last["code"].as_str()),
                (Some("auth_failed"), Some(kind)),
                "{what}"
            );
            let error = last["error"].as_str().expect("a text");
            assert!(error.contains(text), "{what}: {error}");
        }
        None => assert!(said.texts.is_empty(), "{what}: {:?}", said.texts),
    }
    let close = said.close.expect("a close");
    assert!(close.reason.contains(text) || failed.is_some(), "{what}: {close:?}");
    assert!(!close.reason.is_empty(), "{what}");
    let events = events(session);
    assert!(matches!(events.last(), Some(SessionEvent::Closed(_))), "{what}: {events:?}");
    assert!(!events.iter().any(|event| matches!(event, SessionEvent::Admit(_))), "{what}: {events:?}");
    assert_eq!(session.poll_timeout(), None, "{what}");
    // Whatever comes after the end changes nothing.
    session.admit("https://too.late".into(), NOW);
    session.handle_message(Message::Binary(Bytes::from_static(b"late")), NOW);
    assert!(session.poll_transmit().is_none() && session.poll_event().is_none() && !session.is_up());
}

#[test]
fn an_honest_answer_is_let_in_once_its_owner_says_so() {
    let (mut session, ask) = challenged();
    session.handle_message(message(&answer(&ask)), NOW);
    let [SessionEvent::Admit(verified)] = &events(&mut session)[..] else { panic!("not announced") };
    assert_eq!(verified.address(), Key::from_seed(AGENT).address());
    assert!(!session.is_up());
    session.admit("https://a.relay.example".into(), NOW);
    assert!(session.is_up());
    let said = Said::by(&mut session);
    let relay = Key::from_seed(RELAY).address().to_string();
    let name = said.texts[0]["session"].as_str().expect("a name for further links");
    assert_eq!(name.len(), 22, "128 bits");
    assert_eq!(
        said.texts,
        [json!({"type": "auth_ok", "endpoint": "https://a.relay.example", "server_address": relay,
                "services": ["web"], "mux": "yamux", "version": 2, "session": name, "links": 8, "streams": 16})]
    );
}

#[test]
fn every_fault_of_a_token_is_named_and_closes_with_4002() {
    let other = Key::from_seed([9; 32]).address().to_string();
    let later = |seconds: i64| UnixTime::from_secs(EPOCH.as_secs().wrapping_add_signed(seconds));
    let with = |change: &dyn Fn(&mut Claims)| {
        let mut claims = claims();
        change(&mut claims);
        claims
    };
    let without = |name: &str| with(&|c| c.extra.retain(|(claim, _)| claim != name));
    let replaced =
        |name: &str, value: Value| with(&|c| c.extra.push((name.to_owned(), value.clone().into())));
    let table: [(&str, Claims, &str); 16] = [
        ("audience", with(&|c| c.audience = other.clone()), "Audience mismatch"),
        ("no audience", with(&|c| c.audience = String::new()), "Audience mismatch"),
        ("issuer", with(&|c| c.issuer = "somebody".into()), "Issuer mismatch"),
        ("expired", with(&|c| c.expires_at = Some(later(-61))), "Token expired"),
        ("future", with(&|c| c.issued_at = later(61)), ""),
        ("not before", with(&|c| c.extra.push(("nbf".into(), json!(EPOCH.as_secs() + 61).into()))), ""),
        ("services", with(&|c| c.extra.push(("services".into(), json!("web").into()))), ""),
        ("no host", without("host"), "Missing required claim: host"),
        ("another host", replaced("host", "m.example".into()), "Host mismatch"),
        ("another port", replaced("host", "relay.example:8443".into()), "Host mismatch"),
        ("a host that is none", replaced("host", 5.into()), "host must be a text"),
        ("no scope", without("scope"), "Missing required claim: scope"),
        ("another scope", replaced("scope", "api".into()), "no login"),
        ("a scope that is none", replaced("scope", "all".into()), "must be agent, call or api"),
        ("too long", with(&|c| c.expires_at = Some(later(86_401))), "too long"),
        ("crit-free kid", with(&|c| c.extra.push(("sub".into(), json!(other.clone()).into()))), "Signature"),
    ];
    for (what, claims, text) in table {
        let (mut session, ask) = challenged();
        let mut reply = answer(&ask);
        reply["jwt"] = signed(&claims.with_challenge(ask["challenge"].as_str().unwrap())).into();
        session.handle_message(message(&reply), NOW);
        assert_refused(&mut session, what, 4002, Some(code_for(what)), text);
    }
}

#[test]
fn what_lies_within_the_grace_of_a_minute_is_let_in() {
    for (issued, expires) in [(60, 3600), (-3600, -60), (0, 0), (0, 86_400)] {
        let at = |seconds: i64| UnixTime::from_secs(EPOCH.as_secs().wrapping_add_signed(seconds));
        let (mut session, ask) = challenged();
        let mut claims = claims().with_challenge(ask["challenge"].as_str().unwrap());
        (claims.issued_at, claims.expires_at) = (at(issued), Some(at(expires)));
        let mut reply = answer(&ask);
        reply["jwt"] = signed(&claims).into();
        session.handle_message(message(&reply), NOW);
        assert!(matches!(events(&mut session)[..], [SessionEvent::Admit(_)]), "{issued} {expires}");
    }
}

#[test]
fn every_wrong_answer_gets_its_code() {
    let (mut older, older_ask) = challenged();
    older.handle_close(hvym_tunnel_core::message::Close::abnormal("gone"), NOW);
    let edit = |member: &'static str, value: Value| {
        move |mut reply: Value, _: &Value| {
            reply[member] = value.clone();
            reply
        }
    };
    let drop = |member: &'static str| {
        move |mut reply: Value, _: &Value| {
            reply.as_object_mut().expect("an object").remove(member);
            reply
        }
    };
    type Change = Box<dyn Fn(Value, &Value) -> Value>;
    let table: Vec<(&str, Change, u16, Option<&str>, &str)> = vec![
        (
            "other challenge",
            Box::new(edit("jwt", signed(&claims().with_challenge("mine")).into())),
            4002,
            Some("authentication"),
            "Challenge mismatch",
        ),
        (
            "no challenge",
            Box::new(edit("jwt", signed(&claims()).into())),
            4002,
            Some("authentication"),
            "Challenge mismatch",
        ),
        (
            "other id",
            Box::new(edit("challenge_id", "mine".into())),
            4002,
            Some("authentication"),
            "challenge",
        ),
        ("jwt of two parts", Box::new(edit("jwt", "a.b".into())), 4002, Some("authentication"), "3 parts"),
        ("jwt too large", Box::new(edit("jwt", "a".repeat(9000).into())), 4002, Some("authentication"), ""),
        ("no jwt", Box::new(drop("jwt")), 4001, None, "Missing auth fields"),
        ("no id", Box::new(drop("challenge_id")), 4001, None, "Missing auth fields"),
        ("empty jwt", Box::new(edit("jwt", "".into())), 4001, None, "Missing auth fields"),
        ("null id", Box::new(edit("challenge_id", Value::Null)), 4001, None, "Missing auth fields"),
        ("id of another type", Box::new(edit("challenge_id", 5.into())), 4000, None, "Invalid auth response"),
        ("another version", Box::new(edit("version", 1.into())), 4003, Some("not_allowed"), "version 1 of"),
        ("no version", Box::new(drop("version")), 4003, Some("not_allowed"), "unknown version"),
        ("another data plane", Box::new(edit("mux", "json".into())), 4003, Some("not_allowed"), "yamux"),
        ("a ping", Box::new(|_, _| json!({"type": "ping", "id": 1})), 4001, None, "Expected auth_response"),
        (
            "a bind",
            Box::new(|_, _| json!({"type": "bind", "service": "web"})),
            4001,
            None,
            "Expected auth_response",
        ),
        ("unknown", Box::new(|_, _| json!({"type": "hello"})), 4001, None, "Expected auth_response"),
        ("its own ask", Box::new(|_, ask| ask.clone()), 4001, None, "Expected auth_response"),
        (
            "auth_ok",
            Box::new(|_, _| json!({"type": "auth_ok", "endpoint": "", "server_address": ""})),
            4001,
            None,
            "Expected auth_response",
        ),
        ("replayed", Box::new(move |_, _| answer(&older_ask)), 4002, Some("authentication"), "hallenge"),
        (
            "too large",
            Box::new(|_, _| json!({"type": "auth_response", "x": "y".repeat(MAX_CONTROL_BYTES)})),
            1009,
            None,
            "bytes",
        ),
    ];
    for (what, change, code, failed, text) in table {
        let mut session = Session::new(session_config(), Upgrade::new(HOST), wall(NOW), [6; 32], NOW);
        let ask = Said::by(&mut session).texts.remove(0);
        session.handle_message(message(&change(answer(&ask), &ask)), NOW);
        assert_refused(&mut session, what, code, failed, text);
    }
}

#[test]
fn where_logins_failed_too_often_another_failure_is_4029_and_a_right_login_passes() {
    let upgrade = || Upgrade::new(HOST).with_rate_limit(true);
    let mut session = Session::new(session_config(), upgrade(), wall(NOW), [6; 32], NOW);
    let ask = Said::by(&mut session).texts.remove(0);
    let mut wrong = answer(&ask);
    wrong["jwt"] = json!("a.b.c");
    session.handle_message(message(&wrong), NOW);
    assert_refused(&mut session, "wrong", 4029, Some("rate_limited"), "fail again and again");
    let mut session = Session::new(session_config(), upgrade(), wall(NOW), [6; 32], NOW);
    let ask = Said::by(&mut session).texts.remove(0);
    session.handle_message(message(&answer(&ask)), NOW);
    let admits =
        std::iter::from_fn(|| session.poll_event()).any(|event| matches!(event, SessionEvent::Admit(_)));
    assert!(admits);
}

#[test]
fn stream_data_before_the_login_is_malformed_at_every_step() {
    for data in [Bytes::new(), Bytes::from_static(&[0; 12])] {
        let (mut session, _) = challenged();
        session.handle_message(Message::Binary(data.clone()), NOW);
        assert_refused(&mut session, "before the answer", 4000, None, "Invalid auth response");
        let (mut session, ask) = challenged();
        session.handle_message(message(&answer(&ask)), NOW);
        assert!(matches!(session.poll_event(), Some(SessionEvent::Admit(_))));
        session.handle_message(Message::Binary(data), NOW);
        assert_refused(&mut session, "before the verdict", 4000, None, "Invalid auth response");
    }
}

#[test]
fn a_second_answer_before_the_verdict_is_out_of_order() {
    for second in [json!({"type": "auth_response"}), json!({"type": "bind", "service": "web"})] {
        let (mut session, ask) = challenged();
        session.handle_message(message(&answer(&ask)), NOW);
        assert!(matches!(session.poll_event(), Some(SessionEvent::Admit(_))));
        session.handle_message(message(&second), NOW);
        assert_refused(&mut session, "too early", 4001, None, "before auth_ok");
    }
}

#[test]
fn login_messages_after_the_login_are_out_of_order() {
    let (mut session, ask) = challenged();
    let reply = answer(&ask);
    session.handle_message(message(&reply), NOW);
    assert!(matches!(session.poll_event(), Some(SessionEvent::Admit(_))));
    session.admit("https://a.relay.example".into(), NOW);
    let _ok = Said::by(&mut session);
    session.handle_message(message(&reply), NOW);
    assert_refused(&mut session, "again", 4001, None, "after the login");
}

#[test]
fn an_agent_that_never_answers_is_sent_away_after_thirty_seconds() {
    let (mut session, _) = challenged();
    let deadline = session.poll_timeout().expect("a deadline");
    assert_eq!(deadline - NOW, Duration::from_secs(30));
    session.handle_timeout(Instant::from_micros(deadline.as_micros() - 1));
    assert!(session.poll_transmit().is_none());
    session.handle_timeout(deadline);
    assert_refused(&mut session, "silent", 4008, None, "Authentication timeout");
}

#[test]
fn a_service_that_is_not_allowed_is_refused_by_name() {
    let mut config = session_config();
    config.login.allowed_services = Some(vec!["api".into()]);
    let mut session = session(config, Credential::None);
    let ask = Said::by(&mut session).texts.remove(0);
    session.handle_message(message(&answer(&ask)), NOW);
    assert_refused(&mut session, "web", 4003, Some("not_allowed"), "Service not allowed: web");
}

#[test]
fn a_valid_bearer_token_is_announced_at_once() {
    let mut session = session(session_config(), Credential::Bearer(signed(&claims())));
    assert!(session.poll_transmit().is_none());
    assert!(matches!(session.poll_event(), Some(SessionEvent::Admit(_))));
    session.admit("https://a.relay.example".into(), NOW);
    assert_eq!(Said::by(&mut session).last_type(), Some("auth_ok"));
}

#[test]
fn every_fault_of_a_bearer_token_is_answered_and_not_just_dropped() {
    let mut expired = claims();
    expired.expires_at = Some(UnixTime::from_secs(EPOCH.as_secs() - 61));
    let table = [
        ("expired", signed(&expired), "Token expired"),
        ("no token", String::new(), "3 parts"),
        // A person who can read one answer to a challenge could log in with it until it expires.
        ("answer to a challenge", signed(&claims().with_challenge("an older one")), "challenge"),
        ("for ever", signed(&claims().with_lifetime(None)), "must expire"),
        (
            "for 7900 years",
            signed(&claims().with_lifetime(Some(Duration::from_secs(249_000_000_000)))),
            "too long",
        ),
        ("for the API", signed(&claims().with_scope(Scope::Api)), "no login"),
        ("for another host", signed(&claims().with_host("m.example")), "Host mismatch"),
    ];
    for (what, token, text) in table {
        let mut session = session(session_config(), Credential::Bearer(token));
        assert_refused(&mut session, what, 4002, Some(code_for(what)), text);
    }
}

#[test]
fn a_relay_that_demands_the_challenge_gives_a_bearer_token_no_way_around_it() {
    for token in [signed(&claims()), "nonsense".to_owned()] {
        let mut config = session_config();
        config.login.require_challenge = true;
        let mut session = session(config, Credential::Bearer(token));
        let ask = Said::by(&mut session).texts.remove(0);
        assert_eq!(ask["type"], "auth_challenge");
        assert!(session.poll_event().is_none());
        session.handle_message(message(&answer(&ask)), NOW);
        assert!(matches!(session.poll_event(), Some(SessionEvent::Admit(_))));
    }
}

#[test]
fn the_owner_refuses_with_a_reason_that_the_agent_reads() {
    let table = [
        (DownReason::RateLimited("slower".into()), 4029, "rate_limited"),
        (DownReason::Conflict, 4009, "conflict"),
        (DownReason::Overloaded("full".into()), 1013, "overloaded"),
        (DownReason::NotAllowed("not you".into()), 4003, "not_allowed"),
    ];
    for (reason, code, kind) in table {
        let (mut session, ask) = challenged();
        session.handle_message(message(&answer(&ask)), NOW);
        assert!(matches!(session.poll_event(), Some(SessionEvent::Admit(_))));
        session.refuse(reason.clone(), NOW);
        let said = Said::by(&mut session);
        assert_eq!((said.code(), said.last_type()), (Some(code), Some("auth_failed")));
        assert_eq!(DownReason::from_auth_failed(Some(kind), "", None).auth_failed_code(), kind);
        assert_eq!(said.texts.last().expect("told")["code"], kind);
        assert_eq!(events(&mut session), [SessionEvent::Closed(reason)]);
    }
}

#[test]
fn no_two_sessions_ask_the_same() {
    let asks: Vec<Value> = (0..100)
        .map(|seed| {
            let mut session = Session::new(session_config(), Upgrade::new(HOST), wall(NOW), [seed; 32], NOW);
            Said::by(&mut session).texts.remove(0)
        })
        .collect();
    for (at, ask) in asks.iter().enumerate() {
        assert_eq!(ask["challenge_id"].as_str().map(str::len), Some(22));
        assert_eq!(ask["challenge"].as_str().map(str::len), Some(43));
        let twice = asks[..at]
            .iter()
            .any(|b| b["challenge"] == ask["challenge"] || b["challenge_id"] == ask["challenge_id"]);
        assert!(!twice);
    }
}
