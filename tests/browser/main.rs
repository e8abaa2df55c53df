//! The browser package in a real browser. Scripts act for the page; relays and other agents are processes of the real
//! program.
#![cfg(unix)]

mod api;
mod applications;
mod bridge;
mod bridge_parts;
mod bundled;
mod console;
mod console_fixtures;
mod dashboard;
mod dashboard_settings;
mod demo;
mod determinism;
mod downloads;
mod fetch;
mod foreign;
mod hostile;
mod identities;
mod inspector;
mod inspector_states;
mod installed;
mod lifecycle;
mod matrix;
mod node_cli;
mod owner_dashboard;
mod page;
mod page_fixtures;
mod page_states;
mod pages_built;
mod persons;
mod private;
mod saving;
mod serve;
mod share;
mod shared;
mod signers;
mod soak;
mod sockets;
mod streams;
#[path = "../../runner-wasm/src/transcript.rs"]
mod transcript;
mod tunely;
mod wallets;
