//! Whether the program at the other end of a loopback connection is one of the same user, by what the kernel says of its socket.
//!
//! Such a program could read the file of the token, so that the token would prove no more.

use std::net::{IpAddr, SocketAddr};

/// Whether `peer`, which is connected to `local`, belongs to a program of this process's user. Where the system does not say, it
/// does not.
#[cfg(target_os = "linux")]
pub(super) fn is_same_user(peer: SocketAddr, local: SocketAddr) -> bool {
    if !(peer.ip().to_canonical().is_loopback() && local.ip().to_canonical().is_loopback()) {
        return false;
    }
    let table = match peer {
        SocketAddr::V4(_) => "/proc/self/net/tcp",
        SocketAddr::V6(_) => "/proc/self/net/tcp6",
    };
    let own = rustix::process::geteuid().as_raw();
    std::fs::read_to_string(table).is_ok_and(|text| owner(&text, peer, local) == Some(own))
}

/// Other systems do not say it in a file.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_same_user(_peer: SocketAddr, _local: SocketAddr) -> bool {
    false
}

/// The user of the socket at `local` that is connected to `remote`, by a table of the kernel (proc(5), /proc/net/tcp).
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn owner(table: &str, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    let (local, remote) = (entry(local), entry(remote));
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let is_meant = columns.next() == Some(&local) && columns.next() == Some(&remote);
        // The established state alone: a socket that waits for its end belongs to nobody.
        let is_open = is_meant && columns.next() == Some("01");
        columns.nth(3).filter(|_| is_open)?.parse().ok()
    })
}

/// An address as the table has it: words of the machine's own byte order, and the port.
fn entry(at: SocketAddr) -> String {
    let words = |octets: &[u8]| -> String {
        let word = |part: &[u8]| {
            let part = <[u8; 4]>::try_from(part).unwrap_or_default();
            format!("{:08X}", u32::from_ne_bytes(part))
        };
        octets.chunks_exact(4).map(word).collect()
    };
    let ip = match at.ip() {
        IpAddr::V4(ip) => words(&ip.octets()),
        IpAddr::V6(ip) => words(&ip.octets()),
    };
    format!("{ip}:{:04X}", at.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn the_user_of_a_connection_is_found_in_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:223D 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1\n\
            1: 0100007F:D431 0100007F:223D 01 00000000:00000000 00:00000000 00000000  1001        0 2 1\n\
            2: 0100007F:D432 0100007F:223D 06 00000000:00000000 00:00000000 00000000     0        0 0 1\n";
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!(owner(table, at(0xD431), at(0x223D)), Some(1001));
        assert_eq!((owner(table, at(0xD432), at(0x223D)), owner(table, at(1), at(0x223D))), (None, None));
        assert_eq!(entry("[::1]:8765".parse().expect("an address")), "00000000000000000000000001000000:223D");
    }

    #[cfg(target_os = "linux")]
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
