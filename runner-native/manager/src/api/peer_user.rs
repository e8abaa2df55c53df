//! Whether the program at the other end of a loopback connection is one of the same user, by what the kernel says of its socket.
//!
//! Such a program could read the file of the token, so that the token would prove no more.

use std::net::SocketAddr;

use hvym_tunnel_net::socket_table;

/// Whether `peer`, which is connected to `local`, belongs to a program of this process's user. Where the system does not say, it
/// does not.
pub(super) fn is_same_user(peer: SocketAddr, local: SocketAddr) -> bool {
    let is_loopback = |at: SocketAddr| at.ip().to_canonical().is_loopback();
    let own = socket_table::own_user().filter(|_| is_loopback(peer) && is_loopback(local));
    own.is_some_and(|own| owner(&socket_table::text(), peer, local) == Some(own))
}

/// The user of the socket at `from` that is connected to `to`. The established state alone: one that waits for its end belongs to
/// nobody.
fn owner(table: &str, from: SocketAddr, to: SocketAddr) -> Option<u32> {
    let mut rows = socket_table::rows(table).filter(|row| row.leads(from, to) && row.is_established());
    rows.next().map(|row| row.user)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn the_user_of_a_connection_is_found_in_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:223D 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1\n\
            1: 0100007F:D431 0100007F:223D 01 00000000:00000000 00:00000000 00000000  1001        0 2 1\n\
            2: 0100007F:D432 0100007F:223D 06 00000000:00000000 00:00000000 00000000     0        0 0 1\n\
            3: 0000000000000000FFFF00000100007F:D433 0000000000000000FFFF00000100007F:223D 01 0:0 0:0 0 1002 0 3 1\n";
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(owner(table, at(0xD431), at(0x223D)), Some(1001));
        assert_eq!((owner(table, at(0xD432), at(0x223D)), owner(table, at(1), at(0x223D))), (None, None));
        assert_eq!(owner(table, at(0xD433), at(0x223D)), Some(1002), "by a socket of IPv6");
    }

    #[test]
    fn a_connection_of_this_process_is_one_of_this_user() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = std::net::TcpListener::bind(at) else { continue };
            let local = listener.local_addr().expect("its address");
            let client = std::net::TcpStream::connect(local).expect("it listens");
            assert!(is_same_user(client.local_addr().expect("its address"), local));
            let other = SocketAddr::new(local.ip(), 1);
            assert!(!is_same_user(other, local));
        }
    }
}
