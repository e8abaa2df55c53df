//! Answers as buses send them, in either order of bytes, and what is none.

use proptest::prelude::*;

use super::*;

/// An answer to the call `serial`, as a bus sends it, in the order of bytes that a machine has.
fn answer(kind: u8, serial: u32, is_little: bool, body: &[u8]) -> Vec<u8> {
    let number = |number: u32| if is_little { number.to_le_bytes() } else { number.to_be_bytes() };
    let mut fields = Vec::new();
    // The sender, a text, is before what matters.
    fields.extend([7, 1, b's', 0]);
    fields.extend(number(4));
    fields.extend(b":1.7\0\0\0\0");
    fields.extend([REPLY_SERIAL, 1, b'u', 0]);
    fields.extend(number(serial));
    fields.extend([ERROR_NAME, 1, b's', 0]);
    fields.extend(number(3));
    fields.extend(b"a.b\0");
    let mut message = vec![if is_little { b'l' } else { b'B' }, kind, 1, 1];
    message.extend(number(length(body.len())));
    message.extend(number(9));
    message.extend(number(length(fields.len())));
    message.extend(&fields);
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend(body);
    message
}

fn outcome(bytes: &[u8], serial: u32) -> Option<Result<u32, String>> {
    Message::read(&mut &*bytes).expect("a message").outcome(serial)
}

#[test]
fn an_answer_is_understood_in_either_order_of_bytes() {
    for is_little in [true, false] {
        let number = |number: u32| if is_little { number.to_le_bytes() } else { number.to_be_bytes() };
        let returned = answer(METHOD_RETURN, 2, is_little, &number(77));
        assert_eq!(outcome(&returned, 2), Some(Ok(77)));
        assert_eq!(outcome(&returned, 3), None, "it answers another call");
        let text = [&number(4)[..], b"none\0"].concat();
        let error = answer(ERROR, 2, is_little, &text);
        assert_eq!(outcome(&error, 2), Some(Err("a.b: none".to_owned())));
        assert_eq!(outcome(&answer(4, 2, is_little, b""), 2), None, "a signal answers nothing");
        assert!(matches!(outcome(&answer(METHOD_RETURN, 2, is_little, b""), 2), Some(Err(_))));
    }
}

#[test]
fn a_part_of_a_message_has_a_limit() {
    let sized = |size: usize| {
        let message = answer(METHOD_RETURN, 2, true, &vec![1; size]);
        Message::read(&mut &*message).map(|message| message.body.len()).map_err(|error| error.kind())
    };
    assert_eq!(sized(MAX_PART_BYTES - 1), Ok(MAX_PART_BYTES - 1));
    assert_eq!(sized(MAX_PART_BYTES), Ok(MAX_PART_BYTES));
    assert_eq!(sized(MAX_PART_BYTES + 1), Err(io::ErrorKind::Other));
}

#[test]
fn a_call_begins_with_the_head_that_the_specification_says() {
    let message = call(2, "a.b", "/a", "C", "s", b"body");
    assert_eq!(&message[..12], b"l\x01\x00\x01\x04\x00\x00\x00\x02\x00\x00\x00");
    let fields = u32::from_le_bytes(message[12..16].try_into().expect("four bytes")) as usize;
    assert_eq!(message.len(), (16 + fields).next_multiple_of(8) + 4);
    assert_eq!(&message[16..28], b"\x01\x01o\x00\x02\x00\x00\x00/a\x00\x00");
    assert!(message.ends_with(b"body"));
}

proptest! {
    #[test]
    fn no_answer_panics(bytes in prop::collection::vec(any::<u8>(), 0..256), head in any::<bool>()) {
        let mut message = bytes.clone();
        if head {
            message = answer(METHOD_RETURN, 2, true, &bytes);
            for (at, byte) in bytes.iter().enumerate().take(3) {
                let place = (usize::from(*byte) * (at + 1)) % message.len();
                message[place] ^= byte;
            }
        }
        if let Ok(message) = Message::read(&mut &*message) {
            let _known = message.outcome(2);
        }
    }
}
