//! Where the bytes are cut makes no difference, and no bytes make a panic.

use hvym_websocket::BinaryDelivery;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{Role, Seen, frame_to, receive};

/// Frames that are mostly right.
fn frames(role: Role) -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => prop::sample::select(vec![0x81u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x80, 0x89, 0x8a]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        12 => "[a-zäß☃😀]{0,60}".prop_map(String::into_bytes),
        6 => vec(any::<u8>(), 0..300),
        1 => (any::<u8>(), 65_500..65_600usize).prop_map(|(byte, n)| vec![byte; n]),
    ];
    let frame = (first, payload).prop_map(move |(first, payload)| frame_to(role, first, &payload));
    vec(frame, 0..12).prop_map(|frames| frames.concat())
}

/// Neighbouring pieces joined, pongs left out: which pings are newest depends on the reads.
fn meaning(seen: Vec<Seen>) -> Vec<Seen> {
    let mut joined: Vec<Seen> = Vec::new();
    for one in seen.into_iter().filter(|seen| !matches!(seen, Seen::Pong(_))) {
        match (joined.last_mut(), one) {
            (Some(Seen::Binary(last)), Seen::Binary(data)) => last.extend(data),
            (_, one) => joined.push(one),
        }
    }
    joined
}

fn cut(wire: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (wire.len() + 1)).collect();
    at.extend([0, wire.len()]);
    at.sort_unstable();
    at.windows(2).map(|ends| wire[ends[0]..ends[1]].to_vec()).collect()
}

proptest! {
    #[test]
    fn the_same_bytes_mean_the_same_however_they_are_cut(
        (role, wire) in prop::sample::select(vec![Role::Client, Role::Server])
            .prop_flat_map(|role| (Just(role), frames(role))),
        cuts in vec(any::<usize>(), 0..20),
    ) {
        for delivery in [BinaryDelivery::Messages, BinaryDelivery::Pieces] {
            let whole = receive(role, delivery, [&wire[..]]);
            let pieces = cut(&wire, &cuts);
            let parts = receive(role, delivery, pieces.iter().map(|piece| &piece[..]));
            match delivery {
                BinaryDelivery::Messages => prop_assert_eq!(
                    whole.iter().filter(|seen| !matches!(seen, Seen::Pong(_))).collect::<Vec<_>>(),
                    parts.iter().filter(|seen| !matches!(seen, Seen::Pong(_))).collect::<Vec<_>>()
                ),
                BinaryDelivery::Pieces => prop_assert_eq!(meaning(whole), meaning(parts)),
            }
        }
    }

    #[test]
    fn any_bytes_mean_the_same_byte_by_byte(wire in vec(any::<u8>(), 0..64)) {
        for role in [Role::Client, Role::Server] {
            let whole = receive(role, BinaryDelivery::Messages, [&wire[..]]);
            let bytes = receive(role, BinaryDelivery::Messages, wire.chunks(1));
            prop_assert_eq!(meaning(whole), meaning(bytes));
        }
    }
}
