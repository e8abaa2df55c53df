//! What the tools of three older systems ask a relay, over HTTP at its own name: the shapes they read, and to whom what is said.
#![cfg(unix)]

mod asking;
mod cloud;
mod database_outage;
mod full_disk;
mod hvym;
mod hvym_hosts;
mod tunely;
mod tunely_env;
mod tunely_registry;
mod tunnel_ports;
mod webhook;
mod wrong_keys;
