//! What must hold of the mux whatever happens, tried on random happenings.
//!
//! `PROPTEST_CASES=100000 cargo test --release -p hvym-tunnel-tests --test mux_properties` tries harder. A failure
//! prints its shortest input, and its seed is kept in `mux_properties.seeds`, whence it is tried first from then on.

#[path = "mux_properties/alone.rs"]
mod alone;
#[path = "mux_properties/floods.rs"]
mod floods;
#[path = "mux_properties/memory.rs"]
mod memory;
#[path = "mux_properties/shares.rs"]
mod shares;
#[path = "mux_properties/together.rs"]
mod together;

use hvym_tunnel_tests::memory::Counting;

#[global_allocator]
static COUNTING: Counting = Counting;
