//! The inspector's page in a browser: what it shows, what it does, and what other pages cannot.

use std::path::Path;

use hvym_tunnel_tests::chromium::{Chromium, FOREIGN_HOST, Tab, files};
use hvym_tunnel_tests::http::{Origin, answer};
use hvym_tunnel_tests::inspected::Inspected;
use serde_json::json;

/// A page with one request in its list, which has secrets.
fn page(chromium: &std::sync::Arc<Chromium>) -> (Inspected, Tab) {
    let service = Origin::answering(|_, _| {
        answer(
            "200 OK",
            &[("Content-Type", "application/json"), ("Set-Cookie", "s=sesame-reply")],
            b"{\"greeting\":\"hi\"}",
        )
    });
    let inspected = Inspected::exposing(service.port, &[]);
    let tab = chromium.open(&format!("http://127.0.0.1:{}/", inspected.port));
    let lines = ["Authorization: Bearer sesame-key", "Cookie: a=sesame-cookie"];
    inspected.alone.ask("POST", "/hook?x=1", &lines, b"hello").expect("an answer");
    inspected.requests(1);
    (inspected, tab)
}

/// Waits until a script gives something that is not false, and gives it.
fn until(tab: &Tab, script: &str) -> serde_json::Value {
    tab.until(script);
    tab.run(script)
}

#[test]
fn requests_come_into_the_list_and_secrets_are_not_in_the_page_until_they_are_shown() {
    let Some(chromium) = Chromium::shared() else { return };
    let (_inspected, tab) = page(&chromium);
    // The row comes with the request, and its status with the response.
    let row = until(&tab, "document.querySelector('.row')?.innerText.match(/^[^]*200[^]*$/)?.[0]");
    let row = row.as_str().expect("text");
    assert!(["200", "POST", "/hook", "?x=1"].iter().all(|part| row.contains(part)), "{row}");
    tab.run("document.querySelector('.row').click()");
    let shown = until(&tab, "document.querySelector('.json')?.innerText");
    assert!(shown.as_str().is_some_and(|text| text.contains("\"greeting\": \"hi\"")), "{shown}");
    let hidden = "(document.documentElement.outerHTML.match(/sesame/g) ?? []).length";
    assert_eq!(tab.run(hidden), 0);
    tab.run(
        "[...document.querySelectorAll('[role=tab]')].find((tab) => tab.innerText === 'Request').click()",
    );
    until(&tab, "document.querySelector('.panel')?.innerText.includes('hello')");
    assert_eq!(tab.run(hidden), 0);
    // Not in what scripts hold either, where the rest of the same answer is.
    let secrets = ["sesame-key", "sesame-cookie", "sesame-reply"];
    let held = tab.heap();
    assert!(held.contains("/hook?x=1"), "{} bytes", held.len());
    assert_eq!(secrets.map(|secret| held.contains(secret)), [false; 3]);
    tab.run("dispatchEvent(new KeyboardEvent('keydown', { key: 's' }))");
    until(&tab, "document.querySelector('.panel')?.innerText.includes('sesame-key')");
    let held = tab.heap();
    assert_eq!(secrets.map(|secret| held.contains(secret)), [true; 3], "what is shown is found");
    tab.run("dispatchEvent(new KeyboardEvent('keydown', { key: 's' }))");
    until(&tab, "!document.querySelector('.panel').innerText.includes('sesame')");
    assert_eq!(tab.run(hidden), 0);
    assert_eq!(tab.noise(), Vec::<String>::new());
}

#[test]
fn a_request_is_sent_again_and_edited_by_the_keyboard() {
    let Some(chromium) = Chromium::shared() else { return };
    let (inspected, tab) = page(&chromium);
    let key =
        |key: &str| tab.run(&format!("void dispatchEvent(new KeyboardEvent('keydown', {{ key: '{key}' }}))"));
    until(&tab, "document.querySelector('.row')");
    key("j");
    until(&tab, "document.querySelector('.actions button:first-child:not(:disabled)')");
    key("r");
    // The second request is shown, and whole: keys do nothing to one that is still being read.
    until(
        &tab,
        "document.querySelector('.facts a[href=\"#1\"]') && document.querySelector('.actions button:not(:disabled)[title=\"e\"]')",
    );
    key("e");
    until(&tab, "document.querySelector('dialog textarea')");
    tab.run(
        "(() => {
            const target = document.querySelectorAll('dialog input')[1];
            target.value = '/edited';
            target.dispatchEvent(new Event('input', { bubbles: true }));
        })()",
    );
    until(&tab, "document.querySelectorAll('dialog input')[1].value === '/edited'");
    tab.run("document.querySelector('dialog form').requestSubmit()");
    until(&tab, "location.hash === '#3'");
    let requests = inspected.requests(3);
    assert_eq!((&requests[2]["target"], &requests[2]["replay_of"]), (&json!("/edited"), &json!(2)));
    assert_eq!(tab.noise(), Vec::<String>::new());
}

#[test]
fn a_website_neither_reads_the_inspector_nor_changes_anything_nor_shows_it_in_a_frame() {
    let Some(chromium) = Chromium::shared() else { return };
    let (inspected, _tab) = page(&chromium);
    let port = inspected.port;
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
    let site = files(&[("/", &own)]);
    let tries = format!(
        "(async () => {{
            const at = 'http://127.0.0.1:{port}';
            const read = async (path, init) => fetch(at + path, init).then((got) => got.text(), () => 'nothing');
            const token = await read('/api/session');
            const results = [token, await read('/api/requests'), await read('/api/requests', {{ method: 'DELETE' }})];
            results.push(await read('/api/requests/1/replay', {{ method: 'POST', mode: 'no-cors' }}));
            results.push(await new Promise((tell) => {{
                const events = new EventSource(at + '/api/events');
                events.addEventListener('requests', () => tell('events'));
                events.onerror = () => tell('nothing');
            }}));
            return results;
        }})()"
    );
    for host in ["127.0.0.1", FOREIGN_HOST] {
        let website = chromium.open(&format!("http://{host}:{}/blank.html", site.port));
        assert_eq!(
            website.run(&tries),
            json!(["nothing", "nothing", "nothing", "nothing", "nothing"]),
            "{host}"
        );
        let framed = website.block(&format!(
            "const frame = document.createElement('iframe');
             frame.src = 'http://127.0.0.1:{port}/';
             document.body.append(frame);
             await new Promise((resolve) => frame.addEventListener('load', resolve));
             return frame.contentDocument === null;"
        ));
        // Nobody sees into the error page that stands there.
        assert_eq!(framed, true);
    }
    // A website that leads its name to this machine.
    let rebound = chromium.open(&format!("http://{FOREIGN_HOST}:{port}/"));
    let shown = rebound.run("document.body.innerText");
    assert!(shown.as_str().is_some_and(|text| text.contains("localhost")), "{shown}");
    let read = rebound.run("fetch('/api/session').then((got) => got.status)");
    assert_eq!(read, 403);
    assert_eq!(inspected.requests(1).len(), 1);
}
