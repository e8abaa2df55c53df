//! Links of an application behind a bridge that save a file, which Chromium asks for without the service worker.

use std::fs;
use std::sync::mpsc::{Receiver, channel};

use hvym_tunnel_tests::http::{Origin, answer};
use hvym_tunnel_tests::program::{Home, PATIENCE};
use serde_json::json;

use super::page::Page;
use super::private::Private;

const PAGE: &[u8] = b"<!doctype html><title>links</title>
<p><a id=plain href=/plain download='my file.txt'><b>save</b></a> <a id=stopped href=/stopped download>save</a>
<a id=named href=/named download=other.txt>save</a> <a id=away href=/away download>save</a>
<a id=missing href=/missing download>save</a> <a id=prevented href=/prevented download>save</a></p>";

/// A server of the page and its files, whose content is their path, and what it was asked for.
fn server() -> (Origin, Receiver<String>) {
    let (told, asked) = channel();
    let origin = Origin::answering(move |head, _| {
        let target = head.target();
        // A test that has failed already hears nothing.
        let _unheard = told.send(target.to_owned());
        let html = [("Content-Type", "text/html")];
        match target {
            "/" => answer("200 OK", &html, PAGE),
            "/missing" => answer("404 Not Found", &html, b"<p>missing"),
            "/away" => answer("302 Found", &[("Location", "/plain")], b""),
            "/named" => {
                answer("200 OK", &[("Content-Disposition", "attachment; filename=\"given.txt\"")], b"/named")
            }
            // As a page, which none of them becomes.
            _ => answer("200 OK", &html, target.as_bytes()),
        }
    });
    (origin, asked)
}

#[test]
fn links_that_save_a_file_do_so_through_a_bridge_and_leave_the_page_as_it_was() {
    let (origin, asked) = server();
    let Some(private) = Private::of(93, origin.port) else { return };
    let folder = Home::new();
    let tab = private.chromium.open("about:blank");
    tab.follow(&private.link("app"));
    tab.until("document.title === 'links' && document.readyState === 'complete'");
    let before = tab.run("document.querySelector('p').outerHTML");
    tab.block(
        "window.kept = 1;
         window.onbeforeunload = () => { window.kept += 1; };
         document.getElementById('stopped').addEventListener('click', (event) => event.stopPropagation());
         document.getElementById('prevented').parentElement.addEventListener('click', (event) => event.target.id === 'prevented' && event.preventDefault());",
    );
    let saves = private.chromium.saving_into(&folder.path(""));
    let save = |script: &str, name: &str, content: &str| {
        tab.run(&format!("{script}, 0"));
        let saved = saves.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{name} is not saved"));
        assert_eq!(saved["state"], "completed", "{name}: {saved}");
        assert_eq!(fs::read_to_string(folder.path(name)).unwrap_or_default(), content, "{name}: {saved}");
    };
    save("document.querySelector('#plain b').click()", "my file.txt", "/plain");
    save("document.getElementById('stopped').click()", "stopped.html", "/stopped");
    save("document.getElementById('named').click()", "given.txt", "/named");
    save("document.getElementById('away').click()", "plain.html", "/plain");
    let detached = "(window.detached ??= Object.assign(document.createElement('a'), { href: '/detached', download: 'detached.txt' })).click()";
    save(detached, "detached.txt", "/detached");
    let blob = "Object.assign(document.createElement('a'), { href: URL.createObjectURL(new Blob(['own'])), download: 'blob.txt' }).click()";
    save(blob, "blob.txt", "own");
    tab.run("document.getElementById('prevented').click(), document.getElementById('missing').click(), 0");
    while asked.recv_timeout(PATIENCE).expect("it asks") != "/missing" {}
    fs::remove_file(folder.path("detached.txt")).expect("it was saved");
    save(detached, "detached.txt", "/detached");
    assert!(!asked.try_iter().any(|target| target == "/prevented"), "a click that was prevented asks");
    let state = tab
        .run("[document.querySelector('p').outerHTML, detached.outerHTML, location.pathname, window.kept]");
    let detached = r#"<a href="/detached" download="detached.txt"></a>"#;
    assert_eq!(state, json!([before, detached, "/", 1]));
}

#[test]
fn what_is_no_file_is_not_saved() {
    let Some(page) = Page::open() else { return };
    let saved = "attachment; filename*=UTF-8''a";
    for (status, wanted) in [
        (200, json!([200, saved, 1, false])),
        (302, json!([302, saved, 1, false])),
        (399, json!([399, saved, 1, false])),
        (400, json!([204, null, 1, true])),
        (502, json!([204, null, 1, true])),
    ] {
        let seen = page.block(&format!(
            "const {{ responseFor }} = await import('/package/bridge-request.js');
             let isLeft = false;
             let ended = 0;
             const pull = (controller) => controller.close();
             const body = new ReadableStream({{ pull, cancel: () => {{ isLeft = true; }} }}, {{ highWaterMark: 0 }});
             const asked = {{ method: 'GET', mode: 'navigate', destination: 'iframe' }};
             const came = {{ status: {status}, statusText: '', headers: new Headers() }};
             const response = responseFor(asked, came, {{ body, saved: 'a', done: () => {{ ended += 1; }} }});
             await response.text();
             return [response.status, response.headers.get('content-disposition'), ended, isLeft];"
        ));
        assert_eq!(seen, wanted);
    }
}

#[test]
fn what_a_service_says_of_a_name_counts_more_than_a_link() {
    let Some(page) = Page::open() else { return };
    let cases = [
        (None, "", "attachment"),
        (None, "é'(1).txt", "attachment; filename*=UTF-8''%C3%A9%27%281%29.txt"),
        (Some("inline; filename=a"), "b", "attachment; filename*=UTF-8''b"),
        (Some("attachment"), "b", "attachment; filename*=UTF-8''b"),
        (Some("attachment; filename=a"), "b", "attachment; filename=a"),
        (Some("Attachment;filename*=UTF-8''a"), "b", "Attachment;filename*=UTF-8''a"),
    ];
    for (given, name, wanted) in cases {
        let seen = page.block(&format!(
            "const {{ saveAs, savedName }} = await import('/package/bridge-saving.js');
             const headers = new Headers();
             const given = {};
             if (given) headers.set('content-disposition', given);
             saveAs(headers, savedName(new URL('http://a/#hvym-tunnel-save-' + encodeURIComponent({}))));
             return headers.get('content-disposition');",
            json!(given),
            json!(name),
        ));
        assert_eq!(seen, wanted);
    }
    let shown = "import('/package/bridge-saving.js').then(({ savedName }) => [savedName(new URL('http://a/#save')), savedName(new URL('http://a/#hvym-tunnel-save-%'))])";
    assert_eq!(page.run(shown), json!([null, ""]));
}
