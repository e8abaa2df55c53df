//! The browser package in a real browser: the page's side by scripts, every other side by processes of the real program.
#![cfg(unix)]

#[path = "browser/bundled.rs"]
mod bundled;
#[path = "browser/demo.rs"]
mod demo;
#[path = "browser/fetch.rs"]
mod fetch;
#[path = "browser/life.rs"]
mod life;
#[path = "browser/same.rs"]
mod same;
#[path = "browser/serve.rs"]
mod serve;
#[path = "browser/signers.rs"]
mod signers;
#[path = "../runner-wasm/src/story.rs"]
mod story;
#[path = "browser/tab.rs"]
mod tab;
