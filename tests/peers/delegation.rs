//! Delegations against stellar-sdk, alive: what it signs as a wallet does is good here, and what we sign is good there.
//!
//! `HVYM_TUNNEL_PYTHON` names a python that has the package.

use data_encoding::HEXLOWER;
use hvym_tunnel_core::stellar::Signature;
use hvym_tunnel_core::stellar::delegation::{
    Delegation, DelegationError, DelegationId, Scopes, SignatureForm, SignedDelegation,
};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::python::Peer;
use serde_json::json;

const SEED: [u8; 32] = [0x5b; 32];

fn delegation() -> Delegation {
    Delegation {
        owner: Key::from_seed(SEED).address(),
        key: Key::from_seed([1; 32]).address(),
        may: Scopes::ALL,
        services: vec!["web".to_owned()],
        relay: Some("tunnel.example".to_owned()),
        from: UnixTime::from_secs(1_767_225_600),
        until: UnixTime::from_secs(1_769_904_000),
        id: DelegationId([7; 16]),
    }
}

#[test]
fn what_the_real_library_signs_as_a_message_is_good_here_and_for_no_other_text() {
    let Some(mut peer) = Peer::start() else { return };
    let command = json!({
        "op": "sign_message",
        "seed_hex": HEXLOWER.encode(&SEED),
        "text": delegation().to_string(),
    });
    let answer = peer.ask(&command);
    let hex = answer["signature_hex"].as_str().expect("a signature");
    let bytes: [u8; 64] = HEXLOWER.decode(hex.as_bytes()).expect("hex").try_into().expect("64 bytes");
    let signed = |delegation: Delegation| delegation.signed(Signature(bytes), SignatureForm::Sep53);
    let good = signed(delegation());
    let read = SignedDelegation::from_json(good.to_json().as_bytes()).expect("as a claim");
    assert!(read.verify().is_ok());
    let other = signed(Delegation { may: Scopes::CALL, ..delegation() });
    assert_eq!(other.verify(), Err(DelegationError::Forged(delegation().owner)));

    let verdict = |peer: &mut Peer, text: &str| {
        let owner = delegation().owner.to_string();
        peer.ask(&json!({"op": "verify_message", "address": owner, "text": text, "signature_hex": hex}))
    };
    assert_eq!(verdict(&mut peer, &delegation().to_string())["ok"], true);
    assert_eq!(verdict(&mut peer, "another text")["ok"], false);
}
