//! See `hvym_tunnel_tests::fuzz::f7`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hvym_tunnel_tests::fuzz::f7(data));

#[global_allocator]
static COUNTING: hvym_tunnel_tests::memory::Counting = hvym_tunnel_tests::memory::Counting;
