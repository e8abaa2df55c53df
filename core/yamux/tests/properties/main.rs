//! What must hold of the mux whatever happens, tried on random happenings.
//!
//! `PROPTEST_CASES=100000 cargo test --release -p hvym-yamux --test properties` tries harder. A failure
//! prints its shortest input, and its seed is kept in `tests/properties.seeds`, whence it is tried first from then on.

mod alone;
mod floods;
mod memory;
mod shares;
mod together;
mod wires;

use hvym_yamux_testing::memory::Counting;

#[global_allocator]
static COUNTING: Counting = Counting;
