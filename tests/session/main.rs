//! Links, sessions and agents: two machines, one seed, no sockets.

mod any_input;
mod attempts;
mod bindings;
mod delegation;
mod determinism;
mod links;
mod login;
mod ports;
mod reach;
mod reconnect;
mod runner_view;
mod states;
mod streams;
mod takeover;
mod wakers;
mod walk;
