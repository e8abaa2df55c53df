//! Whole messages, reserved bits and opcodes, masks and lengths (sections 1, 3, 4 and 9 of Autobahn).

use hvym_websocket::{BinaryDelivery, FrameHeader, Opcode, ProtocolError};

use crate::support::{
    BINARY, CLOSE, KEY, LIMIT, PING, Role, Seen, TEXT, frame, frame_to, receive, serve, text,
};

/// Around the borders of the three forms of a length.
const SIZES: [usize; 9] = [0, 1, 125, 126, 127, 128, 65535, 65536, 65537];

#[test]
fn messages_of_every_form_of_length_arrive_at_both_ends() {
    for size in SIZES {
        let payload: Vec<u8> = (0..size).map(|i| b'a' + (i % 23) as u8).collect();
        let expected_text = vec![text(std::str::from_utf8(&payload).expect("letters"))];
        for role in [Role::Client, Role::Server] {
            for chop in [997, 2048, usize::MAX] {
                let wire = frame_to(role, TEXT, &payload);
                let chops = wire.chunks(chop.min(wire.len()));
                assert_eq!(receive(role, BinaryDelivery::Messages, chops), expected_text, "{size} by {chop}");
                let wire = frame_to(role, BINARY, &payload);
                let chops = wire.chunks(chop.min(wire.len()));
                let seen = receive(role, BinaryDelivery::Messages, chops);
                assert_eq!(seen, [Seen::Binary(payload.clone())], "{size} by {chop}");
            }
        }
    }
}

#[test]
fn a_message_of_16_mib_arrives_whole() {
    let payload = vec![0xfe; LIMIT];
    let wire = frame(BINARY, &payload);
    let seen = receive(Role::Server, BinaryDelivery::Messages, wire.chunks(64 * 1024));
    assert!(seen == [Seen::Binary(payload)]);
}

#[test]
fn every_reserved_bit_is_an_error() {
    for bits in 1..=7u8 {
        for first in [TEXT, BINARY, PING, CLOSE] {
            let seen = serve(&[frame(TEXT, b"before"), frame(first | bits << 4, b"x"), frame(PING, b"")]);
            assert_eq!(seen, [text("before"), Seen::Error(ProtocolError::ReservedBits)], "{bits} {first:x}");
        }
    }
}

#[test]
fn every_reserved_opcode_is_an_error() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for payload in [&b""[..], b"reserved"] {
            let seen = serve(&[frame(TEXT, b"before"), frame(0x80 | opcode, payload), frame(PING, b"")]);
            assert_eq!(seen, [text("before"), Seen::Error(ProtocolError::ReservedOpcode(opcode))]);
        }
    }
}

#[test]
fn a_mask_in_the_wrong_direction_is_an_error() {
    for first in [TEXT, BINARY, PING, CLOSE] {
        let unmasked = frame_to(Role::Client, first, b"");
        assert_eq!(serve(&[unmasked]), [Seen::Error(ProtocolError::NotMasked)]);
        let masked = frame_to(Role::Server, first, b"");
        let seen = receive(Role::Client, BinaryDelivery::Messages, [&masked[..]]);
        assert_eq!(seen, [Seen::Error(ProtocolError::Masked)]);
    }
}

#[test]
fn a_length_in_more_bytes_than_it_needs_is_an_error() {
    let cases: [(&[u8], bool); 8] = [
        (&[0x82, 126, 0, 125], false),
        (&[0x82, 126, 0, 126], true),
        (&[0x82, 126, 0xff, 0xff], true),
        (&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], false),
        (&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], true),
        (&[0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], true),
        (&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], false),
        (&[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], false),
    ];
    for (bytes, is_right) in cases {
        let header = FrameHeader::decode(bytes);
        assert_eq!(header.is_ok(), is_right, "{bytes:x?}: {header:?}");
        if let Ok(header) = header {
            let (header, used) = header.expect("it is complete");
            assert_eq!((header.encode().0[..used].to_vec(), used), (bytes.to_vec(), bytes.len()));
        } else {
            assert_eq!(header, Err(ProtocolError::Length), "{bytes:x?}");
        }
    }
}

#[test]
fn a_header_is_what_the_examples_of_the_rfc_say() {
    // Section 5.7.
    let seen = serve(&[vec![0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]]);
    assert_eq!(seen, [text("Hello")]);
    let examples: [(_, _, _, &[u8]); 5] = [
        (Opcode::Text, None, 5, &[0x81, 0x05]),
        (Opcode::Text, Some([0x37, 0xfa, 0x21, 0x3d]), 5, &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d]),
        (Opcode::Ping, None, 5, &[0x89, 0x05]),
        (Opcode::Binary, None, 256, &[0x82, 0x7e, 0x01, 0x00]),
        (Opcode::Binary, None, 65536, &[0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]),
    ];
    for (opcode, mask, length, bytes) in examples {
        let header = FrameHeader { fin: true, opcode, mask, length };
        let (encoded, used) = header.encode();
        assert_eq!(&encoded[..used], bytes);
        assert_eq!(FrameHeader::decode(bytes), Ok(Some((header, bytes.len()))));
        for cut in 0..bytes.len() {
            assert_eq!(FrameHeader::decode(&bytes[..cut]), Ok(None), "{bytes:x?} up to {cut}");
        }
    }
}

#[test]
fn every_byte_of_a_masked_payload_is_unmasked_by_its_own_byte_of_the_key() {
    let plain: Vec<u8> = (0..=255).collect();
    for cut in 0..plain.len() {
        let wire = frame(BINARY, &plain);
        let (head, tail) = wire.split_at(wire.len() - cut);
        let seen = receive(Role::Server, BinaryDelivery::Messages, [head, tail]);
        assert_eq!(seen, [Seen::Binary(plain.clone())], "the key is {KEY:?}, cut {cut} from the end");
    }
}
