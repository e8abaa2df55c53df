//! The browser package in a real browser. Scripts act for the page; relays and other agents are processes of the real
//! program.
#![cfg(unix)]

mod bundled;
mod demo;
mod determinism;
mod fetch;
mod foreign;
mod lifecycle;
mod page;
mod serve;
mod share;
mod signers;
#[path = "../../runner-wasm/src/transcript.rs"]
mod transcript;
