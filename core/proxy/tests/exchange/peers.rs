//! Any requests of a visitor and any answers of services, cut anywhere.

use std::fmt::Write as _;

use proptest::prelude::*;

use crate::rig::Rig;

/// How an answer of a service is framed.
#[derive(Copy, Clone, Debug)]
enum Framed {
    Length,
    Chunks,
    UntilClose,
}

/// One request, and its answer. Each carries its number, so that nobody's answer is taken for another's.
#[derive(Clone, Debug)]
struct Asked {
    request_body: Option<(bool, usize)>,
    framed: Framed,
    response_body: usize,
    interim: bool,
    cuts: Vec<usize>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let framed = prop_oneof![Just(Framed::Length), Just(Framed::Chunks), Just(Framed::UntilClose)];
    let body = proptest::option::of((any::<bool>(), 0..40_usize));
    let cuts = proptest::collection::vec(1..50_usize, 1..20);
    (body, framed, 0..40_usize, any::<bool>(), cuts).prop_map(
        |(request_body, framed, response_body, interim, cuts)| Asked {
            request_body,
            framed,
            response_body,
            interim,
            cuts,
        },
    )
}

/// `count` bytes that name `number`.
fn content(number: usize, count: usize) -> String {
    format!("<{number}>").chars().cycle().take(count).collect()
}

/// A chunked body, in two chunks where there is enough.
fn chunked(content: &str) -> String {
    let (first, second) = content.split_at(content.len() / 2);
    let mut out = String::new();
    for part in [first, second].into_iter().filter(|part| !part.is_empty()) {
        write!(out, "{:x}\r\n{part}\r\n", part.len()).expect("a String takes it");
    }
    out + "0\r\n\r\n"
}

impl Asked {
    fn request(&self, number: usize) -> String {
        let head = format!("HTTP/1.1\r\nHost: h\r\nX-Number: {number}\r\n");
        match self.request_body {
            None => format!("GET /{number} {head}\r\n"),
            Some((false, count)) => {
                format!("POST /{number} {head}Content-Length: {count}\r\n\r\n{}", content(number, count))
            }
            Some((true, count)) => {
                let body = chunked(&content(number, count));
                format!("POST /{number} {head}Transfer-Encoding: chunked\r\n\r\n{body}")
            }
        }
    }

    fn answer(&self, number: usize) -> String {
        let body = content(number, self.response_body);
        let interim = if self.interim { "HTTP/1.1 103 Early Hints\r\n\r\n" } else { "" };
        let head = format!("{interim}HTTP/1.1 200 OK\r\nX-Number: {number}\r\n");
        match self.framed {
            Framed::Length => format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
            Framed::Chunks => format!("{head}Transfer-Encoding: chunked\r\n\r\n{}", chunked(&body)),
            Framed::UntilClose => format!("{head}\r\n{body}"),
        }
    }
}

/// The payload of everything that the visitor got, by answer.
fn payloads(mut seen: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some(end) = seen.find("\r\n\r\n") {
        let (head, rest) = (&seen[..end], &seen[end + 4..]);
        seen = rest;
        if head.starts_with("HTTP/1.1 103") {
            continue;
        }
        let field = |name: &str| head.split("\r\n").find_map(|line| line.strip_prefix(name));
        let mut body = String::new();
        if let Some(length) = field("Content-Length: ") {
            let (own, rest) = seen.split_at(length.parse().expect("a number"));
            (body, seen) = (own.to_owned(), rest);
        } else {
            loop {
                let (size, rest) = seen.split_once("\r\n").expect("a size");
                let size = usize::from_str_radix(size, 16).expect("a size");
                body.push_str(&rest[..size]);
                seen = &rest[size + 2..];
                if size == 0 {
                    break;
                }
            }
        }
        found.push((field("X-Number: ").expect("a number").to_owned(), body));
    }
    assert_eq!(seen, "", "behind the last answer");
    found
}

/// Sends `bytes` in pieces as long as `cuts` say, one after the other.
fn in_pieces(bytes: &str, cuts: &[usize], mut send: impl FnMut(&str)) {
    let mut rest = bytes;
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at((*cut).min(rest.len()));
        send(piece);
        rest = behind;
    }
}

/// Everything that visitor and services got, if the requests come in pieces or at once.
fn exchanged(all: &[Asked], is_cut: bool) -> (String, Vec<Vec<u8>>) {
    let mut rig = Rig::new();
    let mut seen = String::new();
    for (number, asked) in all.iter().enumerate() {
        let whole = [usize::MAX];
        let cuts = if is_cut { asked.cuts.as_slice() } else { &whole };
        in_pieces(&asked.request(number), cuts, |piece| rig.visit(piece));
        in_pieces(&asked.answer(number), cuts, |piece| rig.answer(piece));
        if matches!(asked.framed, Framed::UntilClose) {
            rig.end_service();
        }
        seen.push_str(&rig.seen());
    }
    (seen, rig.service)
}

proptest! {
    #[test]
    fn every_answer_reaches_the_request_that_it_is_for(all in proptest::collection::vec(asked(), 1..8)) {
        let (seen, _) = exchanged(&all, true);
        let expected: Vec<_> = (all.iter().enumerate())
            .map(|(number, asked)| (number.to_string(), content(number, asked.response_body)))
            .collect();
        prop_assert_eq!(payloads(&seen), expected);
    }

    #[test]
    fn where_bytes_are_cut_changes_nothing(all in proptest::collection::vec(asked(), 1..6)) {
        let (cut, whole) = (exchanged(&all, true), exchanged(&all, false));
        prop_assert_eq!(payloads(&cut.0), payloads(&whole.0));
        prop_assert_eq!(cut.1, whole.1);
    }

    #[test]
    fn what_no_peer_means_panics_nowhere_and_is_bounded(
        pieces in proptest::collection::vec((0..5_u8, ".{0,30}|[GETPOS/ HTP1.:h\r\n]{0,40}"), 0..30),
    ) {
        let mut rig = Rig::new();
        rig.visit("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (kind, text) in pieces {
            match kind {
                0 if rig.exchange.wants_visitor_data() => rig.visit(text),
                1 | 2 if rig.exchange.wants_service_data() => rig.answer(text),
                3 => rig.wait(text.len() as u64 * 3000),
                4 if text.len() > 25 => rig.end_service(),
                _ => {}
            }
            prop_assert!(rig.exchange.visitor_output().len() <= 64 * 1024 + 100);
        }
    }
}
