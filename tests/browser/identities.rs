//! Keys that the browser keeps, and what is left of those that it does not.

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::tunnel::Relay;
use serde_json::json;

use super::page::{Page, relay_options};

/// Bytes that are found nowhere by chance.
const SEED: [u8; 32] = {
    let mut seed = [0; 32];
    let mut at = 0;
    while at < 32 {
        seed[at] = (at * 37 + 11) as u8;
        at += 1;
    }
    seed
};

#[test]
fn a_key_of_the_browser_outlives_the_page_and_cannot_be_taken_out() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::open() else { return };
    let first = page.block(&format!(
        "const identity = await Identity.persistent();
         const again = await Identity.persistent();
         const other = await Identity.persistent('other');
         const tunnel = await Tunnel.connect({{ {}, identity }});
         const url = await tunnel.serve('web', () => new Response('kept'));
         await tunnel.close();
         const secret = await rejection((async () => identity.exportSecret())());
         const records = await new Promise((resolve) => {{
             indexedDB.open('hvym-tunnel').onsuccess = ({{ target }}) => {{
                 const all = target.result.transaction('identities').objectStore('identities').getAll();
                 all.onsuccess = () => {{ target.result.close(); resolve(all.result); }};
             }};
         }});
         const exports = records.map(({{ privateKey }}) => [
             rejection(crypto.subtle.exportKey('pkcs8', privateKey)),
             rejection(crypto.subtle.exportKey('jwk', privateKey)),
         ]);
         const codes = (await Promise.all(exports.flat())).map(({{ name }}) => name);
         return [identity.address, again.address === identity.address, other.address === identity.address,
             tunnel.address === identity.address, url.startsWith('http://'), secret.code, codes];",
        relay_options(&relay)
    ));
    let refused =
        json!(["InvalidAccessError", "InvalidAccessError", "InvalidAccessError", "InvalidAccessError"]);
    assert_eq!(
        first.as_array().expect("a list")[1..],
        [json!(true), json!(false), json!(true), json!(true), json!("not_extractable"), refused]
    );
    let here = page.text("location.href");
    page.go(&here);
    let second = page.text("Identity.persistent().then(({ address }) => address)");
    assert_eq!(second, first[0]);
    let third = page.block(
        "const identity = await Identity.persistent();
         const old = identity.address;
         await identity.forget();
         const gone = await rejection(identity.sign(new Uint8Array(1)));
         return [gone.code, (await Identity.persistent()).address === old];",
    );
    assert_eq!(third, json!(["forgotten", false]));
    assert_eq!(page.noise(), Vec::<String>::new());
}

#[test]
fn tabs_that_open_together_have_one_key() {
    let Some(page) = Page::open() else { return };
    let addresses = page.run(
        "Promise.all(Array.from({ length: 8 }, () => Identity.persistent('race')))
             .then((all) => new Set(all.map(({ address }) => address)).size)",
    );
    assert_eq!(addresses, 1);
}

#[test]
fn a_secret_that_was_forgotten_is_nowhere_in_the_module_and_nobody_gets_its_memory() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::open() else { return };
    let secret = Key::from_seed(SEED).secret();
    let seen = page.block(&format!(
        "const exported = [await load(), await (await import('/package/runner.js')).default()];
         const seed = Uint8Array.from({SEED:?});
         const text = new TextEncoder().encode('{secret}');
         const isThere = async (wanted) => {{
             const memory = await memoryBytes();
             for (let at = memory.indexOf(wanted[0]); at >= 0; at = memory.indexOf(wanted[0], at + 1)) {{
                 if (wanted.every((byte, index) => memory[at + index] === byte)) return true;
             }}
             return false;
         }};
         const identity = await Identity.fromSecret('{secret}');
         const before = await isThere(seed);
         await identity.sign(new Uint8Array(100));
         const tunnel = await Tunnel.connect({{ {}, identity }});
         await tunnel.close();
         const shown = identity.exportSecret() === '{secret}';
         await identity.forget();
         await new Promise((resolve) => setTimeout(resolve));
         return [exported.map(String), before, shown, await isThere(seed), await isThere(text)];",
        relay_options(&relay)
    ));
    assert_eq!(seen, json!([["undefined", "undefined"], true, true, false, false]));
}
