//! Agents that act for another identity by a delegation: what they may do, what they are refused, and when they must go.

mod joins;

use std::time::Duration;

use hvym_tunnel_core::agent::{AgentConfig, AgentEvent};
use hvym_tunnel_core::dialect::{OpenResult, Service, StreamHeader};
use hvym_tunnel_core::handshake::AgentLogin;
use hvym_tunnel_core::link::StreamEvent;
use hvym_tunnel_core::machine::Machine;
use hvym_tunnel_core::reason::{DelegationFault, DownReason};
use hvym_tunnel_core::relay::{RevokeRefusal, SessionEvent};
use hvym_tunnel_core::stellar::delegation::{
    Delegation, DelegationId, Scopes, SignatureForm, SignedDelegation,
};
use hvym_tunnel_core::stellar::{Address, Claims, Expected, JwtError, Scope, Signature, Token};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::ends::{
    AgentEnd, HOST, RELAY, RelayEnd, Signer, agent_config, pair_with, read, session_config,
};
use hvym_tunnel_tests::pair::{EPOCH, Pair, wall};
use hvym_tunnel_tests::wire::WireConfig;

const SECOND: Duration = Duration::from_secs(1);
const OWNER: [u8; 32] = [61; 32];
const DEVICE: [u8; 32] = [62; 32];
const ID: DelegationId = DelegationId([5; 16]);

fn address(seed: [u8; 32]) -> Address {
    Key::from_seed(seed).address()
}

fn later(seconds: u64) -> UnixTime {
    UnixTime::from_secs(EPOCH.as_secs() + seconds)
}

/// For everything, for an hour.
fn delegation() -> Delegation {
    Delegation {
        owner: address(OWNER),
        key: address(DEVICE),
        may: Scopes::ALL,
        services: Vec::new(),
        relay: None,
        from: EPOCH,
        until: later(3600),
        id: ID,
    }
}

fn signed(delegation: Delegation) -> SignedDelegation {
    let signature = Key::from_seed(OWNER).sign_bytes(delegation.to_string().as_bytes());
    delegation.signed(signature, SignatureForm::Raw)
}

/// An agent of the device that acts by this delegation, about to dial.
fn acting(signed: SignedDelegation, scope: Scope) -> Pair<AgentEnd, RelayEnd> {
    let relay_address = Some(address(RELAY));
    let login = AgentLogin { relay_address, scope, ..AgentLogin::by_delegation(signed) };
    let mut pair =
        pair_with(AgentConfig { login, ..agent_config() }, session_config(), WireConfig::default(), [6; 32]);
    pair.agent.signer = Signer::key(DEVICE);
    pair
}

fn up(delegation: Delegation, scope: Scope) -> Pair<AgentEnd, RelayEnd> {
    let mut pair = acting(signed(delegation), scope);
    pair.up();
    pair.run(SECOND);
    pair
}

/// Why the first login fails.
fn refused(pair: &mut Pair<AgentEnd, RelayEnd>) -> DownReason {
    pair.run(SECOND);
    let (reason, _) = pair.agent.downs().first().copied().expect("refused");
    reason.clone()
}

fn fault(reason: &DownReason) -> Option<DelegationFault> {
    match reason {
        DownReason::Delegation { fault, .. } => Some(*fault),
        _ => None,
    }
}

#[test]
fn a_device_key_is_the_owner_at_the_relay_and_both_are_known() {
    let mut pair = up(Delegation { relay: Some(HOST.to_owned()), ..delegation() }, Scope::Agent);
    assert_eq!(pair.agent.bound(), ["web", "api"]);
    let admitted = pair.relay.events.iter().find_map(|event| match event {
        SessionEvent::Admit(verified) => Some(verified.clone()),
        _ => None,
    });
    let admitted = admitted.expect("announced");
    assert_eq!((admitted.address(), admitted.key()), (address(OWNER), address(DEVICE)));
    let known = pair.relay.session().delegation().expect("known").delegation().clone();
    assert_eq!((known.owner, known.key, known.id), (address(OWNER), address(DEVICE), ID));
}

#[test]
fn every_limit_of_a_delegation_refuses_the_login_with_its_own_code() {
    let good = delegation();
    for (name, limited, scope, code) in [
        (
            "call alone",
            Delegation { may: Scopes::CALL, ..good.clone() },
            Scope::Agent,
            DelegationFault::Scope,
        ),
        (
            "agent alone",
            Delegation { may: Scopes::AGENT, ..good.clone() },
            Scope::Call,
            DelegationFault::Scope,
        ),
        ("api", good.clone(), Scope::Api, DelegationFault::Scope),
        (
            "relay",
            Delegation { relay: Some("other.example".into()), ..good.clone() },
            Scope::Agent,
            DelegationFault::Relay,
        ),
        (
            "port",
            Delegation { relay: Some(format!("{HOST}:8443")), ..good.clone() },
            Scope::Agent,
            DelegationFault::Relay,
        ),
        ("later", Delegation { from: later(61), ..good.clone() }, Scope::Agent, DelegationFault::NotYet),
        (
            "over",
            Delegation { from: UnixTime::from_secs(EPOCH.as_secs() - 10), until: EPOCH, ..good.clone() },
            Scope::Agent,
            DelegationFault::Expired,
        ),
    ] {
        let reason = refused(&mut acting(signed(limited), scope));
        assert_eq!(fault(&reason), Some(code), "{name}: {reason}");
    }
    let forged = good.clone().signed(Signature([1; 64]), SignatureForm::Raw);
    assert_eq!(fault(&refused(&mut acting(forged, Scope::Agent))), Some(DelegationFault::Signature));
    let as_message = SignedDelegation { form: SignatureForm::Sep53, ..signed(good.clone()) };
    assert_eq!(fault(&refused(&mut acting(as_message, Scope::Agent))), Some(DelegationFault::Signature));
    let endless = Delegation { until: later(400 * 86_400), ..good };
    assert_eq!(fault(&refused(&mut acting(signed(endless), Scope::Agent))), Some(DelegationFault::Malformed));
}

#[test]
fn a_signer_that_is_not_the_key_of_the_delegation_is_caught_before_anything_is_sent() {
    let mut pair = acting(signed(delegation()), Scope::Agent);
    pair.agent.signer = Signer::key(OWNER);
    assert_eq!(refused(&mut pair), DownReason::SignerMismatch);
}

/// A token of `claims`, signed by any key.
fn token(claims: &Claims, key: [u8; 32]) -> String {
    let input = claims.signing_input();
    let signature = Key::from_seed(key).sign_bytes(input.as_bytes());
    format!("{}.{signature}", std::str::from_utf8(input.as_bytes()).expect("ASCII"))
}

#[test]
fn a_token_by_delegation_is_signed_by_its_key_for_its_owner_and_says_so() {
    let relay = address(RELAY);
    let claims = |subject: Address, delegation: Option<SignedDelegation>| {
        let claims = Claims::new(subject, relay.to_string(), EPOCH).with_delegation(delegation);
        claims.with_host(HOST).with_scope(Scope::Agent)
    };
    let verify = |text: &str| Token::verify(text, &Expected::for_audience(relay), EPOCH);
    let by = Some(signed(delegation()));
    let verified = verify(&token(&claims(address(OWNER), by.clone()), DEVICE)).expect("good");
    assert_eq!((verified.address(), verified.key()), (address(OWNER), address(DEVICE)));
    assert_eq!(verify(&token(&claims(address(OWNER), by.clone()), OWNER)), Err(JwtError::Forged));
    assert_eq!(verify(&token(&claims(address(OWNER), None), DEVICE)), Err(JwtError::Forged));
    let other = verify(&token(&claims(address([9; 32]), by.clone()), DEVICE)).expect_err("of another owner");
    assert!(matches!(other, JwtError::Delegation(_)), "{other}");
    let key = verify(&token(&claims(address(DEVICE), by.clone()), DEVICE)).expect_err("of the key itself");
    assert!(matches!(key, JwtError::Delegation(_)), "{key}");
    // The key must be named: a header without it could be of a program that ignores the claim.
    let unnamed = {
        let full = token(&claims(address(OWNER), by.clone()), DEVICE);
        let payload = full.split('.').nth(1).expect("a payload").to_owned();
        let header = data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"EdDSA","typ":"JWT"}"#);
        let input = format!("{header}.{payload}");
        format!("{input}.{}", Key::from_seed(DEVICE).sign_bytes(input.as_bytes()))
    };
    assert_eq!(verify(&unnamed), Err(JwtError::KeyId(address(DEVICE))));
    let without_scope =
        Claims::new(address(OWNER), relay.to_string(), EPOCH).with_delegation(by).with_host(HOST);
    assert_eq!(verify(&token(&without_scope, DEVICE)), Err(JwtError::Missing("scope")));
}

#[test]
fn a_service_that_is_not_delegated_is_not_bound_and_the_others_are() {
    let mut pair = up(Delegation { services: vec!["web".to_owned()], ..delegation() }, Scope::Agent);
    assert_eq!(pair.agent.bound(), ["web"]);
    let refusals = pair.agent.events.iter().filter_map(|event| match event {
        AgentEvent::BindRefused { service, code, .. } => Some((service.as_str(), code.as_str())),
        _ => None,
    });
    assert_eq!(refusals.collect::<Vec<_>>(), [("api", "not_allowed")]);
    let now = pair.now;
    pair.agent.machine.bind(Service::http("late"), now);
    pair.run(SECOND);
    assert_eq!(pair.agent.bound(), ["web"]);
}

#[test]
fn a_key_for_single_services_or_calls_claims_no_name_of_its_owner() {
    let claimed = |delegation: Delegation, scope: Scope| {
        let relay_address = Some(address(RELAY));
        let login = AgentLogin { relay_address, scope, ..AgentLogin::by_delegation(signed(delegation)) };
        let config = AgentConfig { login, names: vec!["cool-app".to_owned()], ..agent_config() };
        let mut pair = pair_with(config, session_config(), WireConfig::default(), [6; 32]);
        pair.agent.signer = Signer::key(DEVICE);
        pair.up();
        pair.run(SECOND);
        let is_refused = pair
            .agent
            .events
            .iter()
            .any(|event| matches!(event, AgentEvent::NameRefused { code, .. } if code == "not_allowed"));
        let is_asked = pair.relay.events.iter().any(|event| matches!(event, SessionEvent::Claim(_)));
        assert_ne!(is_asked, is_refused);
        is_asked
    };
    assert!(claimed(delegation(), Scope::Agent));
    assert!(!claimed(Delegation { services: vec!["web".to_owned()], ..delegation() }, Scope::Agent));
    assert!(!claimed(Delegation { may: Scopes::CALL, ..delegation() }, Scope::Call));
}

#[test]
fn a_key_that_may_only_call_binds_nothing() {
    let pair = up(Delegation { may: Scopes::CALL, ..delegation() }, Scope::Call);
    assert!(pair.agent.bound().is_empty());
}

/// What comes back of a stream to `service` of `to`: a refusal's code, or the header that the relay was given.
fn call(pair: &mut Pair<AgentEnd, RelayEnd>, to: Address, service: &str) -> Result<StreamHeader, String> {
    let (now, seen) = (pair.now, pair.relay.events.len());
    let id = pair.agent.machine.open(&StreamHeader::reaching(to, service), now).expect("room");
    pair.run(SECOND);
    let opened = pair.relay.events[seen..].iter().find_map(|event| match event {
        SessionEvent::Stream(StreamEvent::Opened { header, .. }) => Some((**header).clone()),
        _ => None,
    });
    match opened {
        Some(header) => Ok(header),
        None => {
            let (data, _) = read(&mut pair.agent.machine, id, pair.now);
            match OpenResult::decode(data.get(2..).unwrap_or_default()) {
                Ok(OpenResult::Refused { code, .. }) => Err(code),
                other => panic!("neither opened nor refused: {other:?}"),
            }
        }
    }
}

#[test]
fn a_caller_by_delegation_is_shown_with_its_key_and_reaches_what_is_delegated() {
    let (own, friend) = (address(OWNER), address([9; 32]));
    let mut all = up(Delegation { may: Scopes::CALL, ..delegation() }, Scope::Call);
    for to in [own, friend] {
        let header = call(&mut all, to, "db").expect("delegated");
        assert_eq!((header.from, header.key), (Some(own), Some(address(DEVICE))));
        let reached = StreamHeader::reached(own, &Service::tcp("db"), None);
        let reached = reached.delegated(header.delegation.as_ref().expect("kept"), to);
        assert_eq!(reached.key, Some(address(DEVICE)));
        assert_eq!(reached.delegation.is_some(), to == own, "only the owner is shown what it has signed");
        let bytes = reached.encode().expect("fits");
        assert_eq!(StreamHeader::decode(&bytes[2..]), Ok(reached));
    }
    let mut one = up(Delegation { services: vec!["web".to_owned()], ..delegation() }, Scope::Call);
    assert!(call(&mut one, own, "web").is_ok());
    assert_eq!(call(&mut one, own, "db"), Err("delegation_service".to_owned()));
    assert_eq!(call(&mut one, friend, "web"), Err("delegation_service".to_owned()));
    let mut agent = up(Delegation { may: Scopes::AGENT, ..delegation() }, Scope::Agent);
    assert_eq!(call(&mut agent, own, "web"), Err("delegation_scope".to_owned()));
}

#[test]
fn an_owner_lets_in_whom_it_has_signed_for_and_nobody_on_the_relays_word_alone() {
    let shared = Delegation { may: Scopes::CALL, services: vec!["web".to_owned()], ..delegation() };
    let (own, signed) = (address(OWNER), signed(shared));
    let reached =
        |service: &str| StreamHeader::reached(own, &Service::http(service), None).delegated(&signed, own);
    let good = reached("web");
    assert!(good.is_delegated_by(own, EPOCH));
    assert!(!reached("db").is_delegated_by(own, EPOCH), "another service");
    assert!(!good.is_delegated_by(own, later(3600)), "its time is over");
    assert!(!good.is_delegated_by(address([9; 32]), EPOCH), "another owner");
    // With its own key an owner needs no signature; a device of it does.
    let alone = StreamHeader::reached(own, &Service::http("web"), None);
    assert!(alone.is_from(own) && !alone.is_from(address([9; 32])) && !good.is_from(own));
    for forged in [
        StreamHeader { key: Some(address([9; 32])), ..good.clone() },
        StreamHeader { key: None, ..good.clone() },
        StreamHeader { delegation: None, ..good.clone() },
        StreamHeader { from: Some(address([9; 32])), ..good.clone() },
        StreamHeader {
            delegation: Some(SignedDelegation { signature: Signature([1; 64]), ..signed.clone() }),
            ..good
        },
    ] {
        assert!(!forged.is_delegated_by(own, EPOCH), "{forged:?}");
    }
}

#[test]
fn a_device_comes_back_for_a_day_by_what_its_owner_has_signed_once() {
    let day = Duration::from_secs(24 * 3600);
    let mut pair = up(Delegation { until: later(day.as_secs()), ..delegation() }, Scope::Agent);
    let end = pair.now + day;
    let mut links = 1;
    while pair.now + Duration::from_secs(900) < end {
        pair.run(Duration::from_secs(600));
        pair.cut();
        // Nobody but the device's key is there to sign.
        pair.up();
        links += 1;
    }
    assert!(
        links > 130 && pair.agent.asked.len() == links,
        "{links} links, {} signatures",
        pair.agent.asked.len()
    );
    assert!(pair.agent.downs().iter().all(|(_, retry_at)| retry_at.is_some()), "{:?}", pair.agent.downs());
    pair.run(Duration::from_secs(1000));
    let (reason, retry_at) = *pair.agent.downs().last().expect("over");
    assert_eq!((fault(reason), retry_at), (Some(DelegationFault::Expired), None));
}

#[test]
fn a_session_ends_with_its_delegation_and_does_not_come_back() {
    let mut pair = up(Delegation { until: later(30), ..delegation() }, Scope::Agent);
    pair.run(Duration::from_secs(27));
    assert!(pair.relay.is_up(), "at 28 s");
    pair.run(Duration::from_secs(3));
    assert!(!pair.relay.is_up(), "at 31 s");
    let downs = pair.agent.downs();
    let [(reason, retry_at)] = downs[..] else { panic!("{downs:?}") };
    assert_eq!((fault(reason), retry_at), (Some(DelegationFault::Expired), None));
}

#[test]
fn an_owner_has_any_delegation_revoked_and_a_key_its_own_alone() {
    let revokes = |pair: &Pair<AgentEnd, RelayEnd>| -> Vec<(DelegationId, Option<UnixTime>)> {
        let revoked = pair.relay.events.iter().filter_map(|event| match event {
            SessionEvent::Revoke { id, until } => Some((*id, *until)),
            _ => None,
        });
        revoked.collect()
    };
    let answers = |pair: &Pair<AgentEnd, RelayEnd>| -> Vec<String> {
        let answers = pair.agent.events.iter().filter_map(|event| match event {
            AgentEvent::Revoked { persisted, .. } => Some(format!("persisted: {persisted}")),
            AgentEvent::RevokeRefused { code, .. } => Some(code.clone()),
            _ => None,
        });
        answers.collect()
    };
    let other = DelegationId([6; 16]);
    let mut owner = pair_with(agent_config(), session_config(), WireConfig::default(), [6; 32]);
    owner.up();
    let now = owner.now;
    owner.agent.machine.revoke(other, Some(later(9)), now);
    owner.agent.machine.revoke(ID, None, now);
    owner.run(SECOND);
    assert_eq!(revokes(&owner), [(other, Some(later(9))), (ID, None)]);
    let now = owner.now;
    owner.relay.session().answer_revoke(other, Ok(true), now);
    owner.relay.session().answer_revoke(ID, Ok(false), now);
    let refusal = RevokeRefusal { code: "too_many", error: "no room".to_owned() };
    owner.relay.session().answer_revoke(ID, Err(refusal), now);
    owner.run(SECOND);
    assert_eq!(answers(&owner), ["persisted: true", "persisted: false", "too_many"]);

    let mut device = up(delegation(), Scope::Agent);
    let now = device.now;
    device.agent.machine.revoke(other, None, now);
    device.agent.machine.revoke(ID, Some(later(1)), now);
    device.run(SECOND);
    assert_eq!(revokes(&device), [(ID, Some(later(3600)))], "its own, until it is over");
    assert_eq!(answers(&device), ["not_allowed"]);
}
