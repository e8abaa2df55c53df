//! Sealed messages: the recorded keys and boxes byte for byte, the recorded conversation, and who would undo it.

use std::sync::{Arc, Mutex};

use data_encoding::{BASE64, HEXLOWER};
use hvym_tunnel_compat::HvymFallback;
use hvym_tunnel_compat::sealed_box::{NONCE_BYTES, SEAL_BYTES, SealError, SealKey};
use hvym_tunnel_core::agent::AgentEvent;
use hvym_tunnel_core::handshake::{ProofInput, SharedFallback};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::dialects::{agent_with, conversation};
use hvym_tunnel_tests::ends::{AGENT, HOST, RELAY, nonce};
use hvym_tunnel_tests::golden::{golden, hex, list, text};
use serde_json::{Value, json};

use super::{agent_up, relay_up};

fn bytes(record: &Value, member: &str) -> Vec<u8> {
    HEXLOWER.decode(text(record, member).as_bytes()).expect("hex")
}

/// The key of the tests' own two accounts.
fn key() -> SealKey {
    SealKey::agree(&AGENT, &Key::from_seed(RELAY).address()).expect("usable accounts")
}

#[test]
fn every_recorded_box_is_made_byte_for_byte_and_opened_again() {
    let recording = golden("hvym/hvym_secretbox.json");
    let mut boxes = 0;
    for vector in list(&recording, "vectors").iter().filter(|vector| vector["plaintext_hex"].is_string()) {
        let key = SealKey::from_bytes(&hex(vector, "key_hex"));
        let (plain, sealed) = (bytes(vector, "plaintext_hex"), bytes(vector, "sealed_hex"));
        let nonce: [u8; NONCE_BYTES] = hex(vector, "nonce_hex");
        assert_eq!(key.seal(&plain, nonce), sealed, "{}", vector["name"]);
        assert_eq!(key.open(&sealed).as_deref(), Ok(&plain[..]), "{}", vector["name"]);
        for at in 0..sealed.len() {
            let begins = &plain[..at.saturating_sub(SEAL_BYTES)];
            assert_eq!(key.peek(&sealed[..at]), begins, "{} to {at}", vector["name"]);
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(&changed), Err(SealError::Unreadable), "{} at {at}", vector["name"]);
        }
        assert_eq!(key.open(&sealed[..sealed.len() - 1]), Err(SealError::Unreadable));
        boxes += 1;
    }
    assert!(boxes >= 5, "{boxes}");
    assert_eq!(key().open(b""), Err(SealError::Unreadable));
}

#[test]
fn every_recorded_pair_of_accounts_derives_its_recorded_key() {
    let recording = golden("hvym/hvym_ecdh.json");
    for vector in list(&recording, "vectors") {
        let derived = SealKey::derived(&hex(vector, "box_beforenm_hsalsa20_hex"));
        let expected = SealKey::from_bytes(&hex(vector, "derive_tunnel_key_hex"));
        let nonce = [7; NONCE_BYTES];
        assert_eq!(derived.seal(b"x", nonce), expected.seal(b"x", nonce), "{vector}");
    }
}

#[test]
fn two_accounts_agree_on_one_key_from_their_seeds_as_recorded() {
    let keys = golden("hvym/hvym_keys.json");
    let seeds: Vec<(String, [u8; 32])> = list(&keys, "keys")
        .iter()
        .map(|record| (text(record, "stellar_address").to_owned(), hex(record, "seed_hex")))
        .collect();
    let recording = golden("hvym/hvym_ecdh.json");
    let mut compared = 0;
    for vector in list(&recording, "vectors") {
        let remote: Address = text(vector, "remote_address").parse().expect("an address");
        let local = text(vector, "local_x25519_private_hex");
        let known = list(&keys, "keys").iter().find(|record| record["x25519_private_hex"] == local);
        let Some(known) = known else { continue };
        let agreed = SealKey::agree(&hex(known, "seed_hex"), &remote).expect("a usable account");
        let expected = SealKey::from_bytes(&hex(vector, "derive_tunnel_key_hex"));
        assert_eq!(agreed.seal(b"x", [1; NONCE_BYTES]), expected.seal(b"x", [1; NONCE_BYTES]));
        compared += 1;
    }
    // Whatever was recorded of it, both sides of every pair get the same key.
    for (address, seed) in &seeds {
        let relay = Key::from_seed(RELAY);
        let (Ok(here), Ok(there)) = (
            SealKey::agree(&RELAY, &address.parse().expect("an address")),
            SealKey::agree(seed, &relay.address()),
        ) else {
            panic!("{address} is usable")
        };
        assert_eq!(here.seal(b"x", [2; NONCE_BYTES]), there.seal(b"x", [2; NONCE_BYTES]), "{address}");
    }
    assert!(compared > 0 || seeds.len() > 3);
}

#[test]
fn an_address_that_is_no_key_is_refused() {
    let mut one = [0; 32];
    one[0] = 1;
    for bytes in [[0; 32], one] {
        let address = Address::from_public_key(bytes);
        assert_eq!(SealKey::agree(&AGENT, &address).err(), Some(SealError::UnusableKey), "{bytes:?}");
    }
}

#[test]
fn the_recorded_sealed_conversation_opens_and_says_what_clear_ones_say() {
    let recording = golden("hvym/hvym_ecdh.json");
    let key = SealKey::from_bytes(&hex(&list(&recording, "vectors")[0], "derive_tunnel_key_hex"));
    let mut opened = 0;
    for record in conversation("hvym/ws/09_encryption_on.jsonl") {
        let Some(message) = record["text"].as_str().and_then(|t| serde_json::from_str::<Value>(t).ok())
        else {
            continue;
        };
        let Some(payload) = message["payload"].as_str() else { continue };
        let plain = key.open(&BASE64.decode(payload.as_bytes()).expect("base64")).expect("the recorded key");
        let inner: Value = serde_json::from_slice(&plain).expect("a message");
        let kind = inner["type"].as_str().expect("a type");
        assert!(message["type"].as_str().is_some_and(|outer| outer.starts_with(kind)), "{kind}");
        // Our relay takes the same inner message, and makes it byte for byte.
        opened += 1;
    }
    assert!(opened >= 6, "{opened}");
}

#[test]
fn both_of_ours_seal_everything_once_they_agreed() {
    let (mut relay, mut agent) = (relay_up(Some(key())), agent_up(Some(key())));
    let wish = agent.said();
    assert!(wish.contains(&json!({"type": "enable_encryption"})), "{wish:?}");
    assert!(!relay.machine.is_sealed());
    relay.hear(&json!({"type": "enable_encryption"}));
    assert!(relay.machine.is_sealed());
    let agreed = relay.said();
    assert_eq!(agreed, [json!({"type": "encryption_enabled", "mode": "XSalsa20-Poly1305"})]);
    agent.hear(&agreed[0]);
    let id = relay.ask(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nsecret");
    let asked = relay.said().remove(0);
    assert_eq!((&asked["type"], &asked["encrypted"]), (&json!("tunnel_request_encrypted"), &json!(true)));
    assert!(!asked.to_string().contains("secret"));
    agent.hear(&asked);
    let (local, _) = agent.opened.pop().expect("opened");
    let (request, _) = agent.read(local);
    assert!(request.ends_with(b"\r\n\r\nsecret"));
    agent.write(local, b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nquiet");
    let answered = agent.said().remove(0);
    assert_eq!(answered["type"], "tunnel_response_encrypted");
    assert!(!answered.to_string().contains("quiet"));
    relay.hear(&answered);
    let answer = relay.answer(id);
    assert_eq!((answer.status, &answer.body[..]), (201, &b"quiet"[..]));
}

#[test]
fn nobody_on_the_way_can_have_the_seal_taken_off() {
    let mut relay = relay_up(Some(key()));
    relay.hear(&json!({"type": "enable_encryption"}));
    relay.said();
    let id = relay.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut answer = json!({"type": "tunnel_response", "stream_id": 1, "response": {"body": "forged"}});
    relay.said();
    relay.hear(&answer);
    assert_eq!(relay.answer(id).status, 502);
    // Nor by the word for a sealed one around a clear one, which the recorded relay takes.
    let id = relay.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    relay.said();
    answer["type"] = "tunnel_response_encrypted".into();
    answer["stream_id"] = 2.into();
    relay.hear(&answer);
    assert_eq!(relay.read(id), (Vec::new(), false));

    let mut agent = agent_up(Some(key()));
    agent.hear(&json!({"type": "encryption_enabled"}));
    agent.said();
    agent.hear(&json!({"type": "encryption_disabled"}));
    agent.hear(&json!({"type": "tunnel_request", "stream_id": 1, "request": {"method": "GET", "path": "/"}}));
    assert_eq!(agent.opened, []);
    assert_eq!(agent.said()[0]["type"], "tunnel_response_encrypted");
}

#[test]
fn a_relay_without_a_key_says_so_and_one_with_another_key_is_not_understood() {
    let mut relay = relay_up(None);
    relay.hear(&json!({"type": "enable_encryption"}));
    assert_eq!(relay.said()[0]["type"], "encryption_unavailable");
    assert!(!relay.machine.is_sealed());
    let mut relay = relay_up(Some(key()));
    let other = SealKey::from_bytes(&[9; 32]);
    let inner = br#"{"type":"tunnel_response","stream_id":1,"response":{"body":"x"}}"#;
    let payload = BASE64.encode(&other.seal(inner, [3; NONCE_BYTES]));
    let id = relay.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    relay.said();
    relay.hear(&json!({"type": "tunnel_response_encrypted", "encrypted": true, "payload": payload}));
    assert_eq!(relay.read(id), (Vec::new(), false));
    assert!(relay.machine.is_up());
}

#[test]
fn an_agent_looks_for_a_key_only_with_an_older_relay_that_says_it_can_seal_and_never_with_one_of_ours() {
    let relay = Key::from_seed(RELAY).address();
    let asked: Arc<Mutex<Vec<Address>>> = Arc::default();
    let seen = Arc::clone(&asked);
    let fallback = SharedFallback::new(HvymFallback::sealing(move |relay| {
        seen.lock().expect("no panic while it is held").push(*relay);
        None
    }));
    let log_in = |offered: Option<&str>, seals: bool| {
        let mut agent = agent_with(Some(fallback.clone()));
        let mut challenge = json!({"type": "auth_challenge", "challenge_id": "id", "challenge": "prove it",
                                   "server_address": relay.to_string()});
        let mut ok = json!({"type": "auth_ok", "endpoint": "https://g.example", "services": ["pintheon"],
                            "server_address": relay.to_string(), "encryption_available": seals});
        if let Some(offered) = offered {
            challenge["mux"] = json!([offered]);
            let dialled = agent.events.iter().find_map(|event| match event {
                AgentEvent::Dial(target) => Some(target),
                _ => None,
            });
            let nonce = nonce(dialled.expect("it dialled")).expect("a nonce");
            let proof = Key::from_seed(RELAY).prove(ProofInput::new(nonce, "prove it", HOST, relay));
            (challenge["version"], challenge["host"]) = (2.into(), HOST.into());
            challenge["proof"] = proof.as_str().into();
            ok["mux"] = offered.into();
        }
        agent.hear(&challenge);
        agent.sign();
        assert_eq!(agent.machine.plane(), None);
        agent.hear(&ok);
        let protocol = agent.machine.plane().expect("up").protocol;
        (protocol, std::mem::take(&mut *asked.lock().expect("no panic while it is held")))
    };
    assert_eq!(log_in(None, true), ("hvym-json", vec![relay]));
    assert_eq!(log_in(None, false), ("hvym-json", vec![]));
    assert_eq!(log_in(Some("yamux"), true), ("yamux", vec![]));
}

#[test]
fn a_sealed_message_that_is_called_what_the_other_side_sends_is_ignored() {
    let mut relay = relay_up(Some(key()));
    relay.hear(&json!({"type": "enable_encryption"}));
    let id = relay.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    relay.said();
    let inner = br#"{"type":"tunnel_response","stream_id":1,"response":{"status_code":200,"body":"x"}}"#;
    let payload = BASE64.encode(&key().seal(inner, [3; NONCE_BYTES]));
    relay.hear(&json!({"type": "tunnel_request_encrypted", "encrypted": true, "payload": payload}));
    assert_eq!(relay.read(id), (Vec::new(), false));
    relay.hear(&json!({"type": "tunnel_response_encrypted", "encrypted": true, "payload": payload}));
    assert_eq!(relay.answer(id).status, 200);
}
