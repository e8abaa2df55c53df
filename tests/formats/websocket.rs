//! WebSocket frames, mostly right, as we and `tungstenite` understand them.

use hvym_tunnel_tests::websocket::{beside_tungstenite, frames};
use proptest::collection::vec;
use proptest::prelude::*;

/// Frames of either end's peer; the first byte is the choice of the targets.
fn conversation() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let first = prop_oneof![
        9 => prop::sample::select(vec![0x81u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x80, 0x89, 0x8a, 0x88]),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        4 => "[a-zäß☃😀]{0,40}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..130),
        1 => (990..1010usize).prop_map(|n| vec![b'x'; n]),
        1 => (any::<u16>(), "[a-zé]{0,70}").prop_map(|(code, reason)| {
            [&(code % 5000).to_be_bytes(), reason.as_bytes()].concat()
        }),
    ];
    let frame = (first, payload, any::<[u8; 4]>());
    (0..2u8, vec(frame, 0..10)).prop_map(|(choice, frames)| {
        let mut wire = Vec::new();
        for (first, payload, key) in frames {
            let mask = if choice == 0 { 0x80 } else { 0 };
            wire.push(first);
            match payload.len() {
                n if n < 126 => wire.push(mask | n as u8),
                n => wire.extend([&[mask | 126], &(n as u16).to_be_bytes()[..]].concat()),
            }
            let key = if choice == 0 { key } else { [0; 4] };
            wire.extend(&key[..if choice == 0 { 4 } else { 0 }]);
            wire.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
        (choice, wire)
    })
}

proptest! {
    #[test]
    fn what_we_hear_of_a_websocket_tungstenite_hears_too((choice, wire) in conversation()) {
        beside_tungstenite(&[&[choice], &wire[..]].concat());
    }

    #[test]
    fn a_websocket_means_the_same_however_it_is_cut((choice, wire) in conversation(), cut: u8) {
        frames(&[&[choice, cut], &wire[..]].concat());
    }
}
