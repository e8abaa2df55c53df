//! Texts that are UTF-8 or not (section 6 of Autobahn).

use hvym_websocket::{Input, ProtocolError};

use crate::support::{ENDS, GOES_ON, Role, Seen, TEXT, TEXT_BEGINS, connection, frame, serve, text};

/// In one frame, and in a frame for each byte.
fn both_ways(bytes: &[u8]) -> Vec<Seen> {
    let whole = serve(&[frame(TEXT, bytes)]);
    let mut frames = vec![frame(TEXT_BEGINS, b"")];
    frames.extend(bytes.iter().map(|byte| frame(GOES_ON, &[*byte])));
    frames.push(frame(ENDS, b""));
    assert_eq!(serve(&frames), whole, "{bytes:x?}");
    whole
}

#[test]
fn valid_texts_arrive() {
    let cases = [
        "",
        "Hello-µ@ßöäüàá-UTF-8!!",
        "κόσμε",
        // The first and the last character of each length.
        "\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}",
        // Beside the surrogates, and characters that are none.
        "\u{d7ff}\u{e000}\u{fffd}\u{fffe}\u{1fffe}\u{10fffe}",
    ];
    for case in cases {
        assert_eq!(both_ways(case.as_bytes()), [text(case)]);
    }
}

#[test]
fn what_is_not_utf8_is_an_error() {
    let cases: [&[u8]; 20] = [
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64",
        // Cut short.
        b"\xce",
        b"\xce\xba\xe1",
        b"\xce\xba\xe1\xbd",
        b"\xf0\x90\x80",
        // Above the last character.
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xf7\xbf\xbf\xbf",
        // Continuation bytes without a beginning.
        b"\x80",
        b"\xbf\x80",
        // A beginning without continuation bytes.
        b"\xc3 ",
        b"\xe0 \xe1 ",
        b"\xfe\xff",
        // Longer than necessary.
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        // Surrogates.
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
    ];
    for case in cases {
        assert_eq!(both_ways(case), [Seen::Error(ProtocolError::Utf8)], "{case:x?}");
        assert_eq!(ProtocolError::Utf8.close_code(), 1007);
    }
}

#[test]
fn a_wrong_byte_is_an_error_before_its_message_ends() {
    let begin = frame(TEXT_BEGINS, "κόσμε".as_bytes());
    // The first byte that no character can have here, in a frame that goes on.
    let mut wrong = frame(GOES_ON, &[0xf4, 0x90, 0x80, 0x80, b'e']);
    wrong.truncate(wrong.len() - 3);
    let mut server = connection(Role::Server);
    assert_eq!(server.read(&mut Input::new(begin)), Ok(None));
    let (up_to_f4, byte_90) = wrong.split_at(wrong.len() - 1);
    assert_eq!(server.read(&mut Input::new(up_to_f4.to_vec())), Ok(None));
    assert_eq!(server.read(&mut Input::new(byte_90.to_vec())), Err(ProtocolError::Utf8));
}

#[test]
fn what_follows_an_error_is_ignored() {
    let mut server = connection(Role::Server);
    assert_eq!(server.read(&mut Input::new(frame(TEXT, &[0xff]))), Err(ProtocolError::Utf8));
    assert_eq!(server.read(&mut Input::new(frame(TEXT, b"later"))), Ok(None));
}
