//! The fuzz targets as functions: libFuzzer, proptest and the corpus test call the same ones.
//!
//! Each takes any bytes and panics with a sentence if a rule is broken. Those of the multiplexer are its own crate's.

use hvym_tunnel_compat::dialect::Dialect;
pub use hvym_yamux_testing::fuzz::{Target, f1, f2, f3, f4, f5, f6, f7};
use hvym_yamux_testing::run::Checked;

use crate::talk::talk;
use crate::world::walk;
use crate::{any_input, delegation, dns, formats, forwarded, forwarded_bodies, websocket};

/// Every target, by the name of its binary and of its corpus.
pub const TARGETS: [(&str, Target); 23] = [
    ("f1_raw", f1),
    ("f2_frames", f2),
    ("f3_two_sessions", f3),
    ("f4_man_in_the_middle", f4),
    ("f5_timers", f5),
    ("f6_parser", f6),
    ("f7_memory", f7),
    ("f8_hvym", f8),
    ("f9_tunely", f9),
    ("f10_cloud", f10),
    ("f11_world", f11),
    ("f12_any_input", any_input::run_either),
    ("f13_heads", formats::heads),
    ("f14_tokens", formats::tokens),
    ("f15_names", formats::names),
    ("f16_json", formats::json),
    ("f17_websocket", websocket::frames),
    ("f18_websocket_peers", websocket::beside_tungstenite),
    ("f19_forwarded_requests", forwarded::requests),
    ("f20_forwarded_responses", forwarded::responses),
    ("f21_forwarded_bodies", forwarded_bodies::bodies),
    ("f22_dns", dns::queries),
    ("f23_delegations", delegation::delegations),
];

fn hold(result: Checked) {
    if let Err(why) = result {
        panic!("{why}");
    }
}

/// Both ends of the JSON dialect of the HVYM programs, and somebody who says anything to them.
pub fn f8(data: &[u8]) {
    hold(talk(Dialect::HvymJson, data));
}

/// The same in tunely's dialect.
pub fn f9(data: &[u8]) {
    hold(talk(Dialect::Tunely, data));
}

/// The same in CloudToLocalLLM's.
pub fn f10(data: &[u8]) {
    hold(talk(Dialect::CloudLlm, data));
}

/// Several agents and one relay: logins, links, streams, takeovers and the way back.
pub fn f11(data: &[u8]) {
    let _counts = walk(data);
}
