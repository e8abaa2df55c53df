//! The folder of examples that need more than one crate: `cargo run -p hvym-tunnel-examples --example NAME`.
