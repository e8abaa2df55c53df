//! All fuzz targets in one libFuzzer program, because one build of it takes as long as one of each.
//!
//! `HVYM_FUZZ_TARGET` names the target; libFuzzer takes every argument that is no flag for a corpus.
#![no_main]

use std::sync::OnceLock;

use hvym_tunnel_tests::fuzz::{TARGETS, Target};

// Some targets hold memory to a limit; the others hardly notice.
#[global_allocator]
static COUNTING: hvym_tunnel_tests::memory::Counting = hvym_tunnel_tests::memory::Counting;

fn target() -> Target {
    static CHOSEN: OnceLock<Target> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("HVYM_FUZZ_TARGET").unwrap_or_default();
        match TARGETS.iter().find(|(known, _)| *known == name) {
            Some((_, target)) => *target,
            None => panic!("HVYM_FUZZ_TARGET={name:?} is none of {:?}", TARGETS.map(|(known, _)| known)),
        }
    })
}

libfuzzer_sys::fuzz_target!(init: target(), |data: &[u8]| target()(data));
