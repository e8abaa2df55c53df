//! The fuzz target for delegations: texts, claims and share links.

use hvym_tunnel_core::stellar::Signature;
use hvym_tunnel_core::stellar::delegation::{
    Delegation, DelegationId, MAX_LIFETIME, MAX_TEXT_BYTES, Scopes, ShareLink, SignatureForm,
    SignedDelegation,
};
use hvym_tunnel_core::time::UnixTime;
use hvym_yamux_testing::corpus::Seed;

use crate::keys::Key;

/// Delegations: what is read is within the limits and is written as it was read, and nobody else's signature is taken.
///
/// # Panics
/// When a rule is broken.
pub fn delegations(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(delegation) = text.parse::<Delegation>() {
        assert_eq!(delegation.to_string(), text, "two texts of one delegation");
        within_limits(&delegation);
        let signature = Key::from_seed([7; 32]).sign_bytes(data);
        let is_owner = delegation.owner == Key::from_seed([7; 32]).address();
        let verified = delegation.signed(signature, SignatureForm::Raw).verify();
        assert_eq!(verified.is_ok(), is_owner, "the signature of another key");
    }
    if let Ok(signed) = SignedDelegation::from_json(data) {
        within_limits(&signed.delegation);
        assert_eq!(SignedDelegation::from_json(signed.to_json().as_bytes()), Ok(signed));
    }
    if let Ok(link) = ShareLink::parse(text) {
        assert_eq!(ShareLink::parse(&link.url("host")), Ok(link));
    }
}

fn within_limits(delegation: &Delegation) {
    assert!(delegation.to_string().len() <= MAX_TEXT_BYTES);
    assert!(delegation.from < delegation.until);
    assert!(delegation.until.as_secs() - delegation.from.as_secs() <= MAX_LIFETIME.as_secs());
    assert!(delegation.may.agent || delegation.may.call);
    assert_ne!(delegation.owner, delegation.key);
}

/// A text of each kind, a claim, and a share link.
pub(crate) fn seeds() -> Vec<Seed> {
    let owner = Key::from_seed([7; 32]);
    let all = Delegation {
        owner: owner.address(),
        key: Key::from_seed([8; 32]).address(),
        may: Scopes::ALL,
        services: Vec::new(),
        relay: None,
        from: UnixTime::from_secs(1_767_225_600),
        until: UnixTime::from_secs(1_769_904_000),
        id: DelegationId([1; 16]),
    };
    let agent = Delegation {
        may: Scopes::AGENT,
        services: vec!["web".to_owned(), "api".to_owned()],
        relay: Some("[::1]:4896".to_owned()),
        ..all.clone()
    };
    let shared = Delegation {
        may: Scopes::CALL,
        services: vec!["web".to_owned()],
        relay: Some("tunnel.example".to_owned()),
        ..all.clone()
    };
    let claim = agent.clone().signed(Signature([1; 64]), SignatureForm::Sep53).to_json();
    let signature = owner.sign_bytes(shared.to_string().as_bytes());
    let link = ShareLink::new([8; 32], shared.clone().signed(signature, SignatureForm::Raw), true);
    let link = link.expect("a link").url("web.tunnel.example");
    let inputs = [all.to_string(), agent.to_string(), shared.to_string(), claim, link];
    let numbered = inputs.into_iter().enumerate();
    numbered.map(|(number, text)| ("f23_delegations", format!("seed_{number}"), text.into_bytes())).collect()
}
