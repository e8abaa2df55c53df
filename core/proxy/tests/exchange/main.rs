//! A visitor's connection, its requests, and the connections to services, without a socket.

mod rig;
mod rules;
