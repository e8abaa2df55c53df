//! A visitor's connection, its requests, and the connections to services, without a socket.

mod cookies;
mod drain;
mod failures;
mod limits;
mod local;
mod peers;
mod rates;
mod rig;
mod rules;
mod upgrades;
