//! Whatever an observer is shown, and however it is cut, it tells the same, holds little, and never falls over.

use std::time::Duration;

use hvym_http1::Tap;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::tap::{Observed, Refusals};

/// What [`Tap::held`] promises.
const HELD_AT_MOST: usize = 270 * 1024;

/// `bytes` in the pieces between these positions; positions past the end cut nothing.
pub(crate) fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut borders: Vec<usize> = cuts.iter().copied().filter(|at| *at < bytes.len()).collect();
    borders.push(bytes.len());
    borders.sort_unstable();
    let mut from = 0;
    borders
        .into_iter()
        .map(|to| {
            let piece = &bytes[from..to];
            from = to;
            piece
        })
        .collect()
}

#[derive(Clone, Debug)]
enum Op {
    Request(Vec<u8>),
    Response(Vec<u8>),
    RequestEnd,
    ResponseEnd,
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let whole: [&[u8]; 9] = [
        b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HEAD /b HTTP/1.0\n\n",
        b"POST /c HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        b"PUT /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: 1\r\n\r\n",
        b"PUT /e HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        b"POST /f HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"CONNECT g:1 HTTP/1.1\r\n\r\n\x00\x01",
        b"\r\nGET /h HTTP/1.1\r\nUpgrade: w\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    select(whole.to_vec()).prop_map(<[u8]>::to_vec)
}

fn response() -> impl Strategy<Value = Vec<u8>> {
    let whole: [&[u8]; 12] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n\x01\x02",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 403 No\r\nContent-Length: 19\r\n\r\nInvalid Host header",
        b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nInvalid \r\nb\r\nhost header\r\n0\r\n\r\n",
        b"\x16\x03\x01",
    ];
    select(whole.to_vec()).prop_map(<[u8]>::to_vec)
}

/// Messages as they should be, sometimes with a byte changed, cut short, or replaced by noise.
fn damaged(message: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let damage = prop_oneof![
        6 => Just(None),
        1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(Some),
    ];
    let noise = prop_oneof![8 => Just(Vec::new()), 1 => vec(any::<u8>(), 0..20)];
    (message, damage, noise).prop_map(|(mut bytes, damage, noise)| {
        if let Some((index, byte)) = damage {
            let at = index.index(bytes.len());
            match byte % 3 {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        bytes.extend(noise);
        bytes
    })
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => vec(damaged(request()), 1..4).prop_map(|many| Op::Request(many.concat())),
        8 => vec(damaged(response()), 1..4).prop_map(|many| Op::Response(many.concat())),
        1 => Just(Op::RequestEnd),
        1 => Just(Op::ResponseEnd),
    ];
    vec(op, 0..12)
}

/// Everything a tap told and counted when each piece was cut as `cuts` says, each op a millisecond after the last.
fn observed(ops: &[Op], cuts: impl Fn(&[u8]) -> Vec<&[u8]>) -> (Vec<Observed>, u64, u64, bool, usize) {
    let mut tap = Tap::with_sniff(Refusals);
    let mut told = Vec::new();
    for (millis, op) in ops.iter().chain([&Op::RequestEnd, &Op::ResponseEnd]).enumerate() {
        let now = Duration::from_millis(millis as u64);
        match op {
            Op::Request(bytes) => {
                cuts(bytes).into_iter().for_each(|piece| tap.handle_request_bytes(piece, now))
            }
            Op::Response(bytes) => {
                cuts(bytes).into_iter().for_each(|piece| tap.handle_response_bytes(piece, now))
            }
            Op::RequestEnd => tap.handle_request_end(now),
            Op::ResponseEnd => tap.handle_response_end(now),
        }
        assert!(tap.held() <= HELD_AT_MOST, "{} bytes are held", tap.held());
        told.extend(std::iter::from_fn(|| tap.poll_event()));
    }
    (told, tap.request_bytes(), tap.response_bytes(), tap.is_opaque(), tap.pending_requests())
}

proptest! {
    #[test]
    fn cutting_the_bytes_anywhere_tells_the_same(ops in ops(), cuts in vec(0usize..120, 0..10)) {
        let whole = observed(&ops, |bytes| vec![bytes]);
        prop_assert_eq!(&observed(&ops, |bytes| bytes.chunks(1).collect()), &whole);
        prop_assert_eq!(&observed(&ops, |bytes| cut(bytes, &cuts)), &whole);
    }

    #[test]
    fn nothing_waits_after_the_end(ops in ops()) {
        let (told, _, _, is_opaque, waiting) = observed(&ops, |bytes| vec![bytes]);
        prop_assert!(is_opaque);
        prop_assert_eq!(waiting, 0);
        for exchange in told {
            prop_assert!(!exchange.complete || exchange.status.is_some());
            prop_assert!(!exchange.method.is_empty() && exchange.refused.is_none_or(|_| exchange.status.is_none()));
        }
    }

    #[test]
    fn noise_is_counted_and_nothing_else(requests in vec(any::<u8>(), 0..400), responses in vec(any::<u8>(), 0..400)) {
        let ops = [Op::Request(requests.clone()), Op::Response(responses.clone())];
        let (told, request_bytes, response_bytes, _, _) = observed(&ops, |bytes| vec![bytes]);
        prop_assert!(told.is_empty());
        prop_assert_eq!((request_bytes, response_bytes), (requests.len() as u64, responses.len() as u64));
    }
}

#[test]
fn a_tap_that_is_filled_on_purpose_holds_no_more_than_it_promises() {
    let long = "x".repeat(60 * 1024);
    let request = format!("{} /{long} HTTP/1.1\r\n\r\n", "M".repeat(40));
    let refusal = format!("HTTP/1.1 403 No\r\nX: {long}\r\nContent-Length: 100000\r\n\r\n{long}");
    let mut tap = Tap::with_sniff(Refusals);
    let now = Duration::ZERO;
    for _ in 0..100 {
        tap.handle_request_bytes(request.as_bytes(), now);
        tap.handle_response_bytes(b"HTTP/1.1 204 No Content\r\n\r\n", now);
        assert!(tap.held() <= HELD_AT_MOST);
    }
    for _ in 0..30 {
        tap.handle_request_bytes(request.as_bytes(), now);
    }
    for bytes in [request.as_bytes(), refusal.as_bytes()] {
        let half = &bytes[..bytes.len() / 2];
        half.chunks(1000).for_each(|piece| tap.handle_request_bytes(piece, now));
        bytes.chunks(1000).for_each(|piece| tap.handle_response_bytes(piece, now));
        assert!(tap.held() > 60 * 1024, "nothing was held, so nothing was tested");
        assert!(tap.held() <= HELD_AT_MOST, "{} bytes are held", tap.held());
    }
}
