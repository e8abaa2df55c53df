//! Logins signed by a function of the page, such as a wallet that asks its user.

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::tunnel::Relay;
use serde_json::{Value, json};

use super::page::{Page, relay_options};

/// Connects with a wallet whose `sign` is the script `sign`. Returns the first outcome, and what followed it.
fn signer(page: &Page, relay: &Relay, sign: &str) -> (Value, Value) {
    let script = format!(
        "const own = await Identity.generate();
         const other = await Identity.generate();
         let asked = 0;
         const signer = {{ address: own.address, async sign(bytes) {{ asked += 1; return ({sign})(bytes, own, other); }} }};
         const tunnel = watch(new Tunnel({{ {}, identity: signer }}));
         const outcome = await Promise.race([
             next(tunnel, 'up').then(() => 'up'),
             next(tunnel, 'error').then(({{ name, code, hint }}) => ({{ name, code, hint }})),
         ]);
         // A retry would begin within this time.
         const again = await Promise.race([
             next(tunnel, 'state').then(({{ state }}) => state),
             new Promise((resolve) => setTimeout(resolve, 2500, 'nothing')),
         ]);
         return [outcome, {{ asked, state: tunnel.state, again }}];",
        relay_options(relay),
    );
    let mut outcome = page.block(&script);
    (outcome[0].take(), outcome[1].take())
}

#[test]
fn a_wallet_that_signs_is_let_in() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::open() else { return };
    let (outcome, after) = signer(&page, &relay, "(bytes, own) => own.sign(bytes)");
    assert_eq!(outcome, "up");
    assert_eq!(after, json!({"asked": 1, "state": "connected", "again": "nothing"}));
}

#[test]
fn a_wallet_that_does_not_sign_is_asked_once_and_the_page_learns_why() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::open() else { return };
    for (sign, code) in [
        ("() => null", "signer_refused"),
        ("() => { throw new Error('the person said no'); }", "signer_refused"),
        ("(bytes, own, other) => other.sign(bytes)", "signer_mismatch"),
        ("() => new Uint8Array(63)", "signer_invalid"),
        ("() => 'c2lnbmF0dXJl'", "signer_invalid"),
    ] {
        let (outcome, after) = signer(&page, &relay, sign);
        assert_eq!((&outcome["name"], &outcome["code"]), (&json!("TunnelError"), &json!(code)), "{sign}");
        assert!(outcome["hint"].is_string(), "{sign}: {outcome}");
        assert_eq!(after["asked"], 1, "{sign}");
        assert_eq!((&after["state"], &after["again"]), (&json!("error"), &json!("nothing")), "{sign}");
    }
    assert_eq!(page.noise(), Vec::<String>::new());
}

#[test]
fn a_wallet_that_never_answers_is_given_up_with_the_login() {
    // Takes 30 seconds: the real lifetime of a login challenge.
    let relay = Relay::start(&[]);
    let Some(page) = Page::open() else { return };
    let (outcome, after) = signer(&page, &relay, "() => new Promise(() => {})");
    assert_eq!(
        (&outcome["code"], &after["asked"]),
        (&json!("signer_timeout"), &json!(1)),
        "{outcome} {after}"
    );
    assert_eq!((&after["state"], &after["again"]), (&json!("error"), &json!("nothing")));
}

#[test]
fn a_signer_that_is_none_is_refused_before_anything_is_dialled() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::open() else { return };
    let address = Key::from_seed([33; 32]).address();
    for (identity, message) in [
        (format!("{{ address: '{address}' }}"), "sign"),
        ("{ address: 'GNO', sign() {} }".to_owned(), "a Stellar address"),
    ] {
        let rejection = page.run(&format!(
            "rejection(Tunnel.connect({{ {}, identity: {identity} }}))",
            relay_options(&relay)
        ));
        assert!(rejection["message"].as_str().is_some_and(|said| said.contains(message)), "{rejection}");
    }
}
