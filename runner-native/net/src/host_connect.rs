//! TCP connections to hosts by name.

use std::io;

use super::tcp::Tcp;

/// A TCP connection without delay, to whichever address of `host` answers first in the resolver's order.
pub(crate) async fn connect(host: &str, port: u16) -> io::Result<Tcp> {
    let mut refused = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    for at in smol::net::resolve((host, port)).await? {
        match Tcp::connect(at).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}
