//! The browser runner: drives [`hvym_tunnel_core`] from a browser tab.
#![forbid(unsafe_code)]
