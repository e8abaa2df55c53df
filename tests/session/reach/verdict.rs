//! The first bytes that come back.

use bytes::Bytes;
use hvym_tunnel_core::dialect::{MAX_OPEN_RESULT_BYTES, OpenResult, OpenResultError, OpenResultReader};
use proptest::collection::vec;
use proptest::prelude::*;

fn framed(json: &[u8]) -> Vec<u8> {
    let length = u16::try_from(json.len()).expect("short");
    [&length.to_be_bytes(), json].concat()
}

/// What one reader makes of these pieces, and what it left of them.
fn read(pieces: &[&[u8]]) -> (Result<Option<OpenResult>, OpenResultError>, Vec<u8>) {
    let mut reader = OpenResultReader::new();
    for (at, piece) in pieces.iter().enumerate() {
        let mut data = Bytes::copy_from_slice(piece);
        let read = reader.handle_data(&mut data);
        if !matches!(read, Ok(None)) {
            return (read, [&data[..], &pieces[at + 1..].concat()].concat());
        }
        assert!(data.is_empty(), "more is needed, and something was left");
    }
    (Ok(None), Vec::new())
}

#[test]
fn the_two_verdicts_are_spelled_as_the_protocol_says() {
    assert_eq!(OpenResult::Accepted.encode(), framed(br#"{"ok":true}"#));
    let no = framed(br#"{"ok":false,"code":"not_reachable","message":"there is nothing here for you"}"#);
    assert_eq!(OpenResult::not_reachable().encode(), no);
}

#[test]
fn what_is_no_verdict_is_an_error_and_never_a_yes() {
    for json in [
        "",
        "{}",
        "null",
        "true",
        "[true]",
        r#"{"ok":1}"#,
        r#"{"ok":"true"}"#,
        r#"{"ok":null}"#,
        r#"{"OK":true}"#,
        r#"{"ok":true,"ok":true}"#,
        r#"{"ok":false,"ok":true}"#,
        r#"{"ok":true}}"#,
        r#"{"ok":true"#,
        r#"{"ok":false,"code":5}"#,
    ] {
        let (read, left) = read(&[&framed(json.as_bytes()), b"on"]);
        assert!(matches!(read, Err(OpenResultError::Malformed(_))), "{json}: {read:?}");
        assert_eq!(left, b"on", "{json}");
    }
    let announced = u16::try_from(MAX_OPEN_RESULT_BYTES + 1).expect("a short limit").to_be_bytes();
    assert_eq!(read(&[&announced]).0, Err(OpenResultError::TooLong(MAX_OPEN_RESULT_BYTES + 1)));
    assert_eq!(
        read(&[br"HTTP/1.1 200 OK"]).0,
        Err(OpenResultError::TooLong(0x4854)),
        "a service that says no verdict"
    );
}

#[test]
fn members_that_are_not_known_are_no_harm_and_a_refusal_needs_no_words() {
    let (welcome, left) = read(&[&framed(br#" {"ok":true,"new":{"a":[1]}}"#), b"GET"]);
    assert_eq!((welcome, left.as_slice()), (Ok(Some(OpenResult::Accepted)), &b"GET"[..]));
    assert_eq!(read(&[&framed(br#"{"ok":false}"#)]).0, Ok(Some(OpenResult::refused("", ""))));
}

proptest! {
    #[test]
    fn a_verdict_survives_any_words_and_any_cut(
        code in ".{0,80}", message in any::<String>(), welcome: bool, cuts in vec(1..9_usize, 0..600), rest: Vec<u8>,
    ) {
        let said = if welcome { OpenResult::Accepted } else { OpenResult::refused(&code, &message) };
        let wire = [&said.encode()[..], &rest].concat();
        prop_assert!(said.encode().len() <= MAX_OPEN_RESULT_BYTES + 2);
        let mut pieces = Vec::new();
        let mut left = wire.as_slice();
        for cut in cuts {
            let (piece, after) = left.split_at(cut.min(left.len()));
            pieces.push(piece);
            left = after;
        }
        pieces.push(left);
        prop_assert_eq!(read(&pieces), (Ok(Some(said)), rest));
    }

    #[test]
    fn who_reads_what_is_wanted_reads_the_verdict_and_not_a_byte_more(message in ".{0,80}", rest: Vec<u8>) {
        let said = OpenResult::refused("c", &message);
        let mut wire = Bytes::from([&said.encode()[..], &rest].concat());
        let mut reader = OpenResultReader::new();
        let heard = loop {
            let mut piece = wire.split_to(reader.wanted().min(wire.len()));
            prop_assert!(!piece.is_empty());
            if let Some(heard) = reader.handle_data(&mut piece).expect("a verdict") {
                break heard;
            }
        };
        prop_assert_eq!((heard, &wire[..]), (said, &rest[..]));
    }

    #[test]
    fn words_longer_than_allowed_are_cut_and_still_a_verdict(message in "[\u{0}é\"x]{500,600}") {
        let said = OpenResult::Refused { code: message.clone(), message: message.clone() };
        let (read, _) = read(&[&said.encode()]);
        let Ok(Some(OpenResult::Refused { code, message: heard })) = read else { panic!("{read:?}") };
        prop_assert!(message.starts_with(&heard) && heard.starts_with(&code) && heard.len() >= 509);
    }

    #[test]
    fn any_bytes_in_any_pieces_give_what_the_whole_gives(bytes in vec(any::<u8>(), 0..200), cut in 0..200_usize) {
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        let one_by_one: Vec<&[u8]> = bytes.chunks(1).collect();
        let whole = read(&[&bytes]);
        prop_assert_eq!(&read(&[first, second]), &whole);
        prop_assert_eq!(&read(&one_by_one), &whole);
    }

    #[test]
    fn any_json_of_the_announced_length_gives_an_answer(json in "[\\{\\}\":,okcdemsgtrufal 0-9]{0,60}") {
        let (read, left) = read(&[&framed(json.as_bytes())]);
        prop_assert!(!matches!(read, Ok(None)), "whole, and still waiting");
        prop_assert!(left.is_empty());
    }
}
