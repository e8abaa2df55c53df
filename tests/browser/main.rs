//! The browser package in a real browser: the page's side by scripts, every other side by processes of the real program.
#![cfg(unix)]

mod bundled;
mod demo;
mod fetch;
mod life;
mod same;
mod serve;
mod signers;
#[path = "../../runner-wasm/src/story.rs"]
mod story;
mod tab;
