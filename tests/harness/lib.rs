//! The harness: two machines, one seed, no sockets.
