//! The pages: well-formed, in the words of the person who has to act.

use std::time::Duration;

use hvym_http1::{Body, Framing, ResponseHead, Tap};
use hvym_tunnel_pages::{ERROR_FIELD, Format, Page};

fn pages() -> Vec<Page> {
    vec![
        Page::nothing_listening(false),
        Page::nothing_listening(true),
        Page::upstream_timeout(),
        Page::no_agent("app.relay.example"),
        Page::agent_lost(),
        Page::unknown_service("app"),
        Page::bad_host(),
    ]
}

#[test]
fn every_page_is_one_whole_response() {
    for page in pages() {
        for format in [Format::Html, Format::Json] {
            let bytes = page.response(format, "GET");
            let (head, used) = ResponseHead::parse(&bytes).unwrap().unwrap();
            assert_eq!(head.status, page.status);
            assert!(!head.reason.is_empty(), "{page:?}");
            assert_eq!(head.headers.first("content-type"), Some(format.content_type().as_bytes()));
            assert_eq!(head.headers.first("cache-control"), Some(&b"no-store"[..]));
            assert!(head.headers.contains_token("connection", "close"));
            let mut body = Body::new(Framing::for_response(&head, "GET").unwrap());
            assert_eq!(body.advance(&bytes[used..]), Ok(bytes.len() - used));
            assert!(body.is_finished(), "{page:?}");
        }
    }
}

#[test]
fn the_answer_to_head_is_the_head_of_the_answer_to_get() {
    for page in pages() {
        let whole = page.response(Format::Html, "GET");
        let head = page.response(Format::Html, "HEAD");
        assert!(whole.starts_with(&head) && head.len() < whole.len());
        assert!(head.ends_with(b"\r\n\r\n"));
    }
}

#[test]
fn a_program_reads_the_same_words_as_a_person() {
    for page in pages() {
        let json: serde_json::Value = serde_json::from_str(&page.body(Format::Json)).unwrap();
        assert_eq!(json["status"], page.status);
        for (name, words) in [("title", &page.title), ("text", &page.text), ("hint", &page.hint)] {
            assert_eq!(json[name].as_str(), Some(words.as_str()));
            let html = page.body(Format::Html).replace("&#39;", "'").replace("&quot;", "\"");
            assert!(html.contains(words.as_str()), "{words}");
        }
    }
}

#[test]
fn the_owner_is_told_more_than_a_visitor() {
    let [visitor, owner] = [false, true].map(Page::nothing_listening);
    assert_eq!((visitor.status, owner.status), (502, 502));
    assert!(owner.hint.contains("expose the port") && !visitor.hint.contains("expose"));
}

#[test]
fn every_error_has_a_code_of_its_own_in_the_head_and_in_the_body() {
    let mut seen = std::collections::BTreeSet::new();
    for page in pages() {
        let code = page.code().expect("an error");
        assert_eq!(code, format!("HT-{}-{}", page.status, page.reason));
        for format in [Format::Html, Format::ReloadingHtml, Format::Json] {
            let bytes = page.response(format, "GET");
            let (head, used) = ResponseHead::parse(&bytes).unwrap().unwrap();
            assert_eq!(head.headers.first(ERROR_FIELD), Some(code.as_bytes()));
            assert!(std::str::from_utf8(&bytes[used..]).unwrap().contains(&code));
        }
        seen.insert(code);
    }
    // Both pages about nothing that listens have one.
    assert_eq!(seen.len(), pages().len() - 1);
    assert!(seen.contains("HT-502-refused"));
    let welcome = Page { reason: "", ..Page::bad_host() };
    let bytes = welcome.response(Format::Json, "GET");
    let (head, used) = ResponseHead::parse(&bytes).unwrap().unwrap();
    assert!(!head.headers.contains(ERROR_FIELD));
    assert!(!std::str::from_utf8(&bytes[used..]).unwrap().contains("code"));
}

#[test]
fn a_page_loads_again_by_itself_only_while_a_service_is_away() {
    let reloads =
        |page: &Page, format| page.body(format).contains("<meta http-equiv=\"refresh\" content=\"5\">");
    for page in pages() {
        assert_eq!(reloads(&page, Format::ReloadingHtml), page.is_away, "{page:?}");
        assert!(!reloads(&page, Format::Html) && !reloads(&page, Format::Json), "{page:?}");
        assert!(!page.is_away || page.retry_after.is_some(), "{page:?}");
    }
    assert!(Page::no_agent("x").is_away && !Page::bad_host().is_away);
}

#[test]
fn whoever_comes_too_early_is_told_when_to_come_back() {
    let bytes = Page::no_agent("app").response(Format::Json, "GET");
    let (head, _) = ResponseHead::parse(&bytes).unwrap().unwrap();
    assert_eq!(head.status, 503);
    assert_eq!(head.headers.first("retry-after"), Some(&b"5"[..]));
}

#[test]
fn words_of_a_stranger_cannot_leave_the_page() {
    let page = Page::unknown_service("\r\nX: y\r\n\r\n<img src=x onerror=alert(1)>\"\\\u{0}\u{2028}");
    for format in [Format::Html, Format::Json] {
        let bytes = page.response(format, "GET");
        let (head, used) = ResponseHead::parse(&bytes).unwrap().unwrap();
        assert!(!head.headers.contains("x"));
        let length: usize =
            std::str::from_utf8(head.headers.first("content-length").unwrap()).unwrap().parse().unwrap();
        assert_eq!(length, bytes.len() - used);
    }
    assert!(!page.body(Format::Html).contains("<img"));
    let json: serde_json::Value = serde_json::from_str(&page.body(Format::Json)).unwrap();
    assert_eq!(json["text"].as_str(), Some(page.text.as_str()));
}

#[test]
fn a_status_that_cannot_be_sent_becomes_500() {
    let page = Page { status: 0, ..Page::bad_host() };
    assert!(page.response(Format::Html, "GET").starts_with(b"HTTP/1.1 500 "));
}

#[test]
fn our_own_page_is_an_answer_like_any_other() {
    let mut tap = Tap::<Duration>::new();
    tap.handle_request_bytes(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", Duration::ZERO);
    let page = Page::nothing_listening(false).response(Format::default(), "GET");
    tap.handle_response_bytes(&page, Duration::ZERO);
    let record = tap.poll_event().expect("the page is a complete response");
    assert_eq!((&*record.method, &*record.target, record.status), ("GET", "/a", Some(502)));
    assert_eq!(tap.poll_event(), None);
}
