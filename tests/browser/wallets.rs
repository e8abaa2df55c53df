//! Wallets that sign a message (SEP-53), with the interfaces of Freighter and of Stellar Wallets Kit, and signers of bytes.

use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::program::Home;
use hvym_tunnel_tests::tunnel::Relay;
use serde_json::json;

use super::page::{Page, relay_options};

const OWNER: [u8; 32] = [61; 32];

/// Puts wallets of the account into the page, each with the number of its signatures in `wallet.asked`.
fn wallets(page: &Page) {
    let secret = Key::from_seed(OWNER).secret();
    page.block(&format!(
        "const key = await Identity.fromSecret('{secret}');
         const other = await Identity.generate();
         const sep53 = async (message, signer = key) => {{
             const text = new TextEncoder().encode('Stellar Signed Message:\\n' + message);
             return signer.sign(new Uint8Array(await crypto.subtle.digest('SHA-256', text)));
         }};
         const base64 = (bytes) => btoa(String.fromCharCode(...bytes));
         const wallet = (answer) => {{
             const made = {{
                 asked: 0, texts: [],
                 async signMessage(message, options) {{
                     made.asked += 1;
                     made.texts.push(message);
                     if (options?.address !== key.address) throw new Error('which account?');
                     return answer(message);
                 }},
             }};
             return made;
         }};
         const freighter = (answer) => {{
             // Before a page is let in, Freighter gives it an empty address.
             let isAllowed = false;
             const made = wallet(answer);
             made.isConnected = async () => ({{ isConnected: true }});
             made.getAddress = async () => ({{ address: isAllowed ? key.address : '' }});
             made.requestAccess = async () => {{ isAllowed = true; return {{ address: key.address }}; }};
             return made;
         }};
         const kit = (answer) => Object.assign(wallet(answer), {{ getAddress: async () => ({{ address: key.address }}) }});
         // Since its second version the kit is a class with static methods, which a page does not construct.
         const kitClass = (answer) => class StellarWalletsKit {{
             static asked = 0;
             static texts = [];
             static async getAddress() {{ return {{ address: key.address }}; }}
             static signMessage(message, options) {{
                 StellarWalletsKit.asked += 1;
                 if (options?.address !== key.address) throw new Error('which account?');
                 return answer(message);
             }}
         }};
         const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
         const signerAddress = key.address;
         window.owner = key.address;
         window.wallets = {{
             freighter3: () => freighter(async (message) => ({{ signedMessage: await sep53(message), signerAddress }})),
             freighter3json: () => freighter(async (message) => ({{
                 signedMessage: {{ type: 'Buffer', data: [...await sep53(message)] }}, signerAddress,
             }})),
             freighter4: () => freighter(async (message) => ({{ signedMessage: base64(await sep53(message)), signerAddress }})),
             kit: () => kit(async (message) => ({{ signedMessage: base64(await sep53(message)), signerAddress }})),
             kitWithoutAddress: () => kit(async (message) => ({{ signedMessage: base64(await sep53(message)) }})),
             kitClass: () => kitClass(async (message) => ({{ signedMessage: base64(await sep53(message)), signerAddress }})),
             bitget: () => kitClass(async (message) => ({{ signedMessage: hex(await sep53(message)) }})),
             raw() {{
                 const made = {{ asked: 0, address: key.address, sign: (bytes) => {{ made.asked += 1; return key.sign(bytes); }} }};
                 return made;
             }},
             declines: () => freighter(async () => ({{
                 signedMessage: null, signerAddress: '', error: {{ code: -4, message: 'The user rejected this request.' }},
             }})),
             throws: () => kit(async () => {{ throw {{ code: -1, message: 'closed by the person' }}; }}),
             empty: () => kit(async () => undefined),
             otherAccount: () => kit(async (message) => ({{
                 signedMessage: base64(await sep53(message, other)), signerAddress: other.address,
             }})),
             otherKey: () => kit(async (message) => ({{ signedMessage: base64(await sep53(message, other)) }})),
             disconnected() {{
                 const made = kitClass();
                 made.getAddress = async () => {{ throw {{ code: -1, message: 'No wallet has been connected.' }}; }};
                 return made;
             }},
             // The library of an extension that is not there: questions are answered after a while, and requests never.
             missing: () => Object.assign(freighter(() => new Promise(() => {{}})), {{
                 isConnected: async () => ({{ isConnected: false }}), getAddress: async () => ({{ address: '' }}),
                 requestAccess: () => new Promise(() => {{}}),
             }}),
             short: () => kit(async () => ({{ signedMessage: 'AAAA' }})),
             noise: () => kit(async () => ({{ signedMessage: '%%' }})),
         }};"
    ));
}

#[test]
fn a_wallet_of_each_kind_signs_once_and_a_key_of_the_browser_acts_for_it() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::open() else { return };
    wallets(&page);
    for kind in [
        "freighter3",
        "freighter3json",
        "freighter4",
        "kit",
        "kitWithoutAddress",
        "kitClass",
        "bitget",
        "raw",
    ] {
        let seen = page.block(&format!(
            "const wallet = wallets.{kind}();
             const until = Date.now() + 3600_000;
             const identity = await Identity.fromWallet(wallet, {{ until }});
             const again = await Identity.fromWallet(wallet, {{ until }});
             const tunnel = await Tunnel.connect({{ {}, identity }});
             const url = await tunnel.serve('web', () => new Response('by a wallet'));
             await tunnel.close();
             await identity.forget();
             return [wallet.asked, again.address === owner, tunnel.address === owner, url.startsWith('http://')];",
            relay_options(&relay)
        ));
        assert_eq!(seen, json!([1, true, true, true]), "{kind}");
    }
    assert_eq!(page.noise(), Vec::<String>::new());
}

#[test]
fn a_function_that_signs_needs_the_address_of_its_account() {
    let Some(page) = Page::open() else { return };
    wallets(&page);
    let seen = page.block(
        "const wallet = wallets.kit();
         const sign = (message, options) => wallet.signMessage(message, options);
         const nobody = await rejection(Identity.fromWallet(sign));
         const identity = await Identity.fromWallet(sign, { address: owner });
         return [nobody.name, identity.address === owner, wallet.asked];",
    );
    assert_eq!(seen, json!(["TypeError", true, 1]));
}

#[test]
fn a_wallet_that_does_not_sign_leaves_no_key_and_says_why() {
    let Some(page) = Page::open() else { return };
    wallets(&page);
    for (kind, code) in [
        ("declines", "signer_refused"),
        ("throws", "signer_refused"),
        ("empty", "signer_refused"),
        ("otherAccount", "signer_mismatch"),
        ("otherKey", "signer_mismatch"),
        ("short", "signer_invalid"),
        ("noise", "signer_invalid"),
    ] {
        let seen = page.block(&format!(
            "const wallet = wallets.{kind}();
             const {{ code }} = await rejection(Identity.fromWallet(wallet));
             const good = wallets.kit();
             const identity = await Identity.fromWallet(good);
             await identity.forget();
             return [code, wallet.asked, good.asked];"
        ));
        assert_eq!(seen, json!([code, 1, 1]), "{kind}");
    }
}

#[test]
fn a_wallet_that_is_not_there_is_not_waited_for() {
    let Some(page) = Page::open() else { return };
    wallets(&page);
    for (kind, words) in [("missing", "not installed"), ("disconnected", "No wallet has been connected")] {
        let seen = page.block(&format!(
            "const wallet = wallets.{kind}();
             const {{ code, message }} = await rejection(Identity.fromWallet(wallet));
             return [code, message.includes('{words}'), wallet.asked];"
        ));
        assert_eq!(seen, json!(["signer_refused", true, 0]), "{kind}");
    }
}

#[test]
fn a_wallet_is_asked_again_when_its_time_is_over_and_not_before() {
    let Some(page) = Page::open() else { return };
    wallets(&page);
    let seen = page.block(
        "const wallet = wallets.freighter4();
         const day = 24 * 3600 * 1000;
         const now = Date.now;
         const asked = [];
         for (const days of [0, 1, 29.99, 30.01]) {
             Date.now = () => now() + days * day;
             const { address } = await Identity.fromWallet(wallet);
             asked.push(wallet.asked, address === owner);
         }
         Date.now = now;
         return asked;",
    );
    assert_eq!(seen, json!([1, true, 1, true, 1, true, 2, true]));
}

#[test]
fn the_text_that_a_person_reads_says_what_is_allowed_and_for_how_long() {
    let relay = Relay::start(&[]);
    let Some(page) = Page::open() else { return };
    wallets(&page);
    let seen = page.block(&format!(
        "const wallet = wallets.freighter4();
         const until = Date.UTC(2100, 0, 1);
         const late = await rejection(Identity.fromWallet(wallet, {{ until }}));
         const options = {{ may: ['call'], services: [owner + '/web', owner.slice(0, -1) + 'x'], relay: '{0}', until: Date.now() + 60_000 * 60 }};
         const bad = await rejection(Identity.fromWallet(wallet, options));
         options.services.pop();
         const identity = await Identity.fromWallet(wallet, options);
         const lines = wallet.texts.at(-1).split('\\n');
         const tunnel = await Tunnel.connect({{ {1}, identity }});
         const serving = await rejection(tunnel.serve('web', () => new Response('')));
         const calling = await rejection(tunnel.fetch(owner + '/db'));
         await tunnel.close();
         return [late.code, bad.code, lines.map((line) => line.split(':')[0]), lines[3], lines[4], lines[5], typeof serving.code, calling.code];",
        relay.url(),
        relay_options(&relay)
    ));
    let names = json!([
        "hvym-tunnel delegation v2",
        "owner",
        "key",
        "may",
        "services",
        "relay",
        "from",
        "until",
        "id"
    ]);
    let relay_line = format!("relay: 127.0.0.1:{}", relay.port);
    assert_eq!(
        seen,
        json!([
            "bad_delegation",
            "bad_delegation",
            names,
            "may: call",
            "services: web",
            relay_line,
            "string",
            "delegation_service"
        ])
    );
}

#[test]
fn a_wallet_is_not_asked_again_after_a_loss_nor_by_another_page_and_its_revocation_is_the_end() {
    let (key, home) = (Key::from_seed(OWNER), Home::new());
    let relay = Relay::start_in(home, 0, &[]);
    let Some(page) = Page::open() else { return };
    wallets(&page);
    page.block(&format!(
        "window.wallet = wallets.freighter4();
         window.identity = await Identity.fromWallet(wallet);
         window.tunnel = watch(new Tunnel({{ {}, identity }}));
         await next(tunnel, 'up');
         window.back = next(tunnel, 'up').then(() => wallet.asked);",
        relay_options(&relay)
    ));
    let relay = relay.restart(&[]);
    page.run("tunnel.wake()");
    assert_eq!(page.run("back"), 1, "the wallet was asked at a reconnection");
    let id = page.text("wallet.texts[0].split('id: ')[1]");
    page.run("window.ended = next(tunnel, 'error').then(({ code }) => [code, tunnel.state]), 0");
    let owner = Home::of(&key);
    let revoked = owner.command(&["identity", "revoke", &id, "--relay", &relay.url()]).output();
    assert!(revoked.expect("the program starts").status.success());
    assert_eq!(page.run("ended"), json!(["delegation_revoked", "error"]));
    assert_eq!(
        page.run("Identity.fromWallet(wallet).then(() => wallet.asked)"),
        2,
        "a dead delegation is kept"
    );
    let here = page.text("location.href");
    page.go(&here);
    wallets(&page);
    let asked = "{ const wallet = wallets.kit(); Identity.fromWallet(wallet).then(() => wallet.asked) }";
    assert_eq!(page.run(asked), 0, "a kept delegation is asked for again");
}
