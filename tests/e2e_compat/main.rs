//! The real program against agents and relays of older systems.

mod foreign_servers;
mod guests;
mod matrix;
mod surfaces;
