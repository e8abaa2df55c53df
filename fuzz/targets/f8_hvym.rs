//! See `hvym_tunnel_tests::fuzz::f8`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hvym_tunnel_tests::fuzz::f8(data));
