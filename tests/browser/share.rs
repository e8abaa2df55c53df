//! A tab with a share link, and a tab whose service is shared.

use hvym_tunnel_core::stellar::delegation::{Delegation, DelegationId, Scopes, ShareLink, SignatureForm};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::http::Origin;
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::{Agent, Relay};
use serde_json::json;

use super::page::Page;

const OWNER: [u8; 32] = [44; 32];
const SEED: [u8; 32] = [45; 32];

/// A link to `service` of the owner at `relay`, good for an hour.
fn link(relay: &Relay, service: &str) -> String {
    let (owner, key) = (Key::from_seed(OWNER), Key::from_seed(SEED));
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let delegation = Delegation {
        owner: owner.address(),
        key: key.address(),
        may: Scopes::CALL,
        services: vec![service.to_owned()],
        relay: Some(format!("127.0.0.1:{}", relay.port)),
        from: UnixTime::from_secs(now),
        until: UnixTime::from_secs(now + 3600),
        id: DelegationId([4; 16]),
    };
    let signature = owner.sign_bytes(delegation.to_string().as_bytes());
    let link = ShareLink::new(SEED, delegation.signed(signature, SignatureForm::Raw), false);
    link.expect("a link").url("shared.example")
}

#[test]
fn a_tab_with_a_share_link_reaches_that_service_and_no_other() {
    let relay = Relay::start(&[]);
    let service = Origin::saying(b"shared");
    let friend = Key::from_seed([46; 32]).address().to_string();
    let more = ["--service", "db", "--private", "--allow", &friend];
    let _agent = Agent::start_in(Home::of(&Key::from_seed(OWNER)), &relay, service.port, &more);
    let Some(page) = Page::open() else { return };
    let seen = page.block(&format!(
        "const identity = await Identity.fromShareLink('{}');
         const tunnel = await Tunnel.connect({{ identity }});
         const response = await tunnel.fetch(identity.shared.target);
         const {{ code }} = await rejection(tunnel.fetch(identity.shared.target.replace('/db', '/zz')));
         const bad = await rejection(Identity.fromShareLink('https://a/#share=AAAA'));
         return [await response.text(), code, bad.code, identity.shared.target, tunnel.address];",
        link(&relay, "db"),
    ));
    let owner = Key::from_seed(OWNER).address().to_string();
    let target = format!("{owner}/db");
    assert_eq!(seen, json!(["shared", "delegation_service", "bad_link", target, owner]));
}

#[test]
fn a_service_of_a_tab_lets_in_whoever_its_owner_has_given_a_link() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::open() else { return };
    page.connect_as(&relay, &Key::from_seed(OWNER));
    let friend = Key::from_seed([46; 32]).address();
    page.block(&format!(
        "await tunnel.serve('app', () => new Response('from a tab'), {{ allow: ['{friend}'] }});"
    ));
    let seen = page.block(&format!(
        "const identity = await Identity.fromShareLink('{}');
         const guest = await Tunnel.connect({{ identity }});
         const response = await guest.fetch(identity.shared.target);
         return await response.text();",
        link(&relay, "app"),
    ));
    assert_eq!(seen, "from a tab");
}
