//! The parts of a bridge one by one: its cookies, and what it changes in pages and their policies.

use serde_json::{Value, json};

use super::page::Page;

/// A value for each case of a script that takes one.
fn each(page: &Page, setup: &str, cases: &[(Value, Value)]) {
    for (input, wanted) in cases {
        let seen = page.block(&format!("const input = {input}; {setup}"));
        assert_eq!(seen, *wanted, "{input}");
    }
}

#[test]
fn cookies_are_taken_and_sent_by_their_attributes() {
    let Some(page) = Page::open() else { return };
    let header = "const { CookieJar } = await import('/package/cookies.js');
        const jar = new CookieJar('app.tunnel.example');
        for (const line of input.lines) jar.set(line, { path: input.from ?? '/', now: 1000 });
        return jar.header(input.path ?? '/', input.came ?? 'same', input.now ?? 1000);";
    let case = |input: Value, sent: &str| (input, json!(sent));
    each(
        &page,
        header,
        &[
            case(json!({"lines": ["a=1", "b=2; Path=/"]}), "a=1; b=2"),
            case(json!({"lines": ["a=1", "b=2", "a=3"]}), "a=3; b=2"),
            case(json!({"lines": ["a = 1 ; HttpOnly", "=nameless", "bare"]}), "a=1; bare"),
            case(json!({"lines": [";", "x=\u{1}", ""]}), ""),
            // Paths.
            case(json!({"lines": ["a=1; Path=/x"], "path": "/x/y"}), "a=1"),
            case(json!({"lines": ["a=1; Path=/x"], "path": "/xy"}), ""),
            case(json!({"lines": ["a=1; Path=/", "b=2; Path=/x"], "path": "/x"}), "b=2; a=1"),
            case(json!({"lines": ["a=1"], "from": "/x/y", "path": "/x/z"}), "a=1"),
            case(json!({"lines": ["a=1"], "from": "/x/y", "path": "/"}), ""),
            // Times.
            case(json!({"lines": ["a=1; Max-Age=1"], "now": 1999}), "a=1"),
            case(json!({"lines": ["a=1; Max-Age=1"], "now": 2000}), ""),
            case(json!({"lines": ["a=1; Max-Age=9; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]}), "a=1"),
            case(json!({"lines": ["a=1", "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]}), ""),
            // Domains.
            case(
                json!({"lines": ["a=1; Domain=app.tunnel.example", "b=2; Domain=.tunnel.example"]}),
                "a=1; b=2",
            ),
            case(
                json!({"lines": ["a=1; Domain=example", "b=2; Domain=other.example", "c=3; Domain=pp.tunnel.example"]}),
                "",
            ),
            // Sites.
            case(
                json!({"lines": ["a=1; SameSite=Strict", "b=2", "c=3; SameSite=None; Secure"], "came": "same"}),
                "a=1; b=2; c=3",
            ),
            case(
                json!({"lines": ["a=1; SameSite=Strict", "b=2", "c=3; SameSite=None; Secure"], "came": "link"}),
                "b=2; c=3",
            ),
            case(
                json!({"lines": ["a=1; SameSite=Strict", "b=2", "c=3; SameSite=None; Secure"], "came": "cross"}),
                "c=3",
            ),
            case(json!({"lines": ["c=3; SameSite=None"]}), ""),
            // Prefixes.
            case(
                json!({"lines": ["__Host-a=1; Secure; Path=/", "__Secure-b=2; Secure"]}),
                "__Host-a=1; __Secure-b=2",
            ),
            case(
                json!({"lines": ["__Host-a=1; Secure; Path=/x", "__Host-b=1; Path=/", "__Secure-c=1", "__host-d=1; Secure; Path=/; Domain=app.tunnel.example"]}),
                "",
            ),
        ],
    );
}

#[test]
fn scripts_see_no_cookie_that_is_not_for_them_and_a_jar_has_a_size() {
    let Some(page) = Page::open() else { return };
    let seen = page.block(
        "const { CookieJar } = await import('/package/cookies.js');
         const jar = new CookieJar('a.example');
         const path = '/';
         jar.set('hidden=1; HttpOnly', { path });
         const taken = [
             jar.set('hidden=2', { path, isScript: true }),
             jar.set('b=2; HttpOnly', { path, isScript: true }),
             jar.set('c=3', { path, isScript: true }),
             jar.set('d=' + 'x'.repeat(4095), { path }),
             jar.set('d=' + 'x'.repeat(4096), { path }),
         ];
         const visible = jar.visible('/').split('; ').map((pair) => pair.slice(0, 3));
         const kept = new CookieJar('a.example', structuredClone(jar.entries));
         for (let i = 0; i < 200; i += 1) kept.set(`n${i}=1`, { path, now: Date.now() + i });
         return [taken, visible, kept.entries.length, kept.entries.at(-1).name];",
    );
    assert_eq!(seen, json!([[false, false, true, true, false], ["c=3", "d=x"], 180, "n199"]));
}

#[test]
fn a_script_comes_ahead_of_a_page_and_leaves_it_as_it_was() {
    let Some(page) = Page::open() else { return };
    let insert = "const { withScript } = await import('/package/bridge-html.js');
        const bytes = new TextEncoder().encode(input.text);
        const body = new ReadableStream({
            start(controller) {
                for (let at = 0; at < bytes.length; at += input.step) controller.enqueue(bytes.slice(at, at + input.step));
                controller.close();
            },
        });
        return new TextDecoder('utf-8', { ignoreBOM: true }).decode(await new Response(withScript(body, '<S>')).arrayBuffer());";
    for step in [1, 3, 10_000] {
        let case = |text: &str, wanted: &str| (json!({"text": text, "step": step}), json!(wanted));
        let long = "x".repeat(5000);
        each(
            &page,
            insert,
            &[
                case("<!doctype html><p>é", "<!doctype html><S><p>é"),
                case(
                    "\u{feff}\n<!-- c --> <!DOCTYPE html PUBLIC \"x\">y",
                    "\u{feff}\n<!-- c --> <!DOCTYPE html PUBLIC \"x\"><S>y",
                ),
                case("<html><head>", "<S><html><head>"),
                case("", "<S>"),
                case("text", "<S>text"),
                case(&long, &format!("<S>{long}")),
            ],
        );
    }
}

#[test]
fn a_policy_lets_that_script_run_and_nothing_more() {
    let Some(page) = Page::open() else { return };
    let with =
        "const { policyWith } = await import('/package/bridge-html.js'); return policyWith(input, 'N');";
    let case = |policy: &str, wanted: &str| (json!(policy), json!(wanted));
    each(
        &page,
        with,
        &[
            case("default-src 'self'", "default-src 'self'; script-src 'self' 'nonce-N'"),
            case("default-src 'none'; img-src *", "default-src 'none'; img-src *; script-src 'nonce-N'"),
            case("script-src 'self'; object-src x", "script-src 'self' 'nonce-N'; object-src x"),
            case("script-src a; script-src-elem b", "script-src a; script-src-elem b 'nonce-N'"),
            case("script-src 'unsafe-inline'", "script-src 'unsafe-inline'"),
            case("script-src 'unsafe-inline' 'nonce-x'", "script-src 'unsafe-inline' 'nonce-x' 'nonce-N'"),
            case("img-src *", "img-src *"),
            case(
                "script-src a, default-src b",
                "script-src a 'nonce-N',default-src b; script-src b 'nonce-N'",
            ),
        ],
    );
}

#[test]
fn documents_are_for_their_own_origin_unless_their_policy_says_more() {
    let Some(page) = Page::open() else { return };
    let guard = "const { guardDocument } = await import('/package/bridge-html.js');
        const headers = new Headers(input);
        guardDocument(headers);
        return [headers.get('x-frame-options'), headers.get('referrer-policy')];";
    each(
        &page,
        guard,
        &[
            (json!({}), json!(["SAMEORIGIN", null])),
            (json!({"x-frame-options": "DENY"}), json!(["DENY", null])),
            (json!({"content-security-policy": "frame-ancestors https://a.example"}), json!([null, null])),
            (
                json!({"content-security-policy": "img-src b;Frame-Ancestors *, img-src c"}),
                json!([null, null]),
            ),
            (
                json!({"content-security-policy": "img-src frame-ancestors.example"}),
                json!(["SAMEORIGIN", null]),
            ),
            (json!({"referrer-policy": "no-referrer"}), json!(["SAMEORIGIN", "same-origin"])),
            (json!({"referrer-policy": "origin,No-Referrer"}), json!(["SAMEORIGIN", "origin,same-origin"])),
            (
                json!({"referrer-policy": "no-referrer-when-downgrade"}),
                json!(["SAMEORIGIN", "no-referrer-when-downgrade"]),
            ),
        ],
    );
}
