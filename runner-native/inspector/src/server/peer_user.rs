//! Whether who connects on the loopback interface is the user that the agent runs as. Linux knows; elsewhere nobody is refused.
//!
//! Without it every user of the machine could read the page, the token in it, and so the secrets of visitors.

use std::net::SocketAddr;

use hvym_tunnel_net::socket_table;

/// Who may do anything anyway.
const ROOT: u32 = 0;

/// Whether a connection from `peer` to `own` may be served: unless the system says that another user made it. An agent
/// of root serves everybody, since its owner is somebody else.
pub(super) fn is_served(peer: SocketAddr, own: SocketAddr) -> bool {
    let Some(user) = socket_table::own_user().filter(|user| *user != ROOT) else { return true };
    is_made_by(&socket_table::text(), peer, own, user)
}

/// Whether all sockets of the table that lead from the port of `peer` to that of `own` are of `user`, or of root. Whatever their
/// addresses are: a doubt is for the page's owner.
fn is_made_by(table: &str, peer: SocketAddr, own: SocketAddr, user: u32) -> bool {
    let mut rows = socket_table::rows(table)
        .filter(|row| row.local.port() == peer.port() && row.remote.port() == own.port() && row.has_owner());
    rows.all(|row| row.user == user || row.user == ROOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 0100007F:10CC 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 41 1\n   \
        1: 0100007F:C001 0100007F:10CC 01 00000000:00000000 00:00000000 00000000  1000        0 42 1\n   \
        2: 0100007F:C002 0100007F:10CC 01 00000000:00000000 00:00000000 00000000  1001        0 43 1\n   \
        3: 0100007F:C003 0100007F:10CC 06 00000000:00000000 00:00000000 00000000     0        0 0 3\n   \
        4: 0100007F:C004 0100007F:10CC 01 00000000:00000000 00:00000000 00000000     0        0 44 1\n   \
        5: 0200007F:C001 0100007F:10CD 01 00000000:00000000 00:00000000 00000000  1001        0 45 1\n   \
        6: 0000000000000000FFFF00000100007F:C006 0000000000000000FFFF00000100007F:10CC 01 0:0 0:0 0 1001 0 46 1\n";

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn connections_of_other_users_are_known() {
        let made_by = |from: u16, user: u32| is_made_by(TABLE, at(from), at(0x10cc), user);
        assert!(made_by(0xc001, 1000) && !made_by(0xc001, 1001));
        assert!(made_by(0xc002, 1001) && !made_by(0xc002, 1000));
        // One that has ended, one of root, and one that is not in the table.
        assert!(made_by(0xc003, 1000) && made_by(0xc004, 1000) && made_by(0xc005, 1000));
        // By a socket of IPv6 to an address of IPv4.
        assert!(made_by(0xc006, 1001) && !made_by(0xc006, 1000));
        assert!(is_made_by("", at(1), at(2), 1000));
    }

    #[test]
    fn a_connection_of_this_process_is_served() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own = listener.local_addr().expect("it is bound");
        let client = std::net::TcpStream::connect(own).expect("it listens");
        assert!(is_served(client.local_addr().expect("it is connected"), own));
    }
}
