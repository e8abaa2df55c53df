//! The TCP sockets of this machine as the kernel lists them (proc(5), `/proc/net/tcp`): where they lead, and whose they are.
//!
//! Decides nothing: what somebody may do is a matter of whoever asks. Elsewhere than on Linux there is no list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// States of a socket (`include/net/tcp_states.h`).
const ESTABLISHED: u8 = 1;
/// One that has ended, and one that listens.
const WITHOUT_OWNER: [u8; 2] = [6, 10];

/// One socket. Addresses of IPv4 are written as such, also where the socket is one of IPv6 (RFC 4291 section 2.5.5.2).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SocketRow {
    /// Its own end.
    pub local: SocketAddr,
    /// The other one.
    pub remote: SocketAddr,
    /// Its user, if it has one: see [`Self::has_owner`].
    pub user: u32,
    state: u8,
}

impl SocketRow {
    /// Whether it is connected, in both directions.
    pub fn is_established(&self) -> bool {
        self.state == ESTABLISHED
    }

    /// Whether its user is somebody: of a socket that waits for its end, and of one that listens, the list says nothing.
    pub fn has_owner(&self) -> bool {
        !WITHOUT_OWNER.contains(&self.state)
    }

    /// Whether it leads from one end to the other, whatever kind of socket it is.
    pub fn leads(&self, from: SocketAddr, to: SocketAddr) -> bool {
        let is_same = |one: SocketAddr, other: SocketAddr| {
            one.port() == other.port() && one.ip() == other.ip().to_canonical()
        };
        is_same(self.local, from) && is_same(self.remote, to)
    }
}

/// The user of this process, whose number the list has.
#[cfg(target_os = "linux")]
pub fn own_user() -> Option<u32> {
    Some(rustix::process::geteuid().as_raw())
}

/// Nobody: there is no list.
#[cfg(not(target_os = "linux"))]
pub fn own_user() -> Option<u32> {
    None
}

/// What the kernel lists now.
#[cfg(target_os = "linux")]
pub fn text() -> String {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
    tables.into_iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

/// Nothing.
#[cfg(not(target_os = "linux"))]
pub fn text() -> String {
    String::new()
}

/// The sockets in a list. What is no socket, as the line of headings, is passed over.
pub fn rows(text: &str) -> impl Iterator<Item = SocketRow> {
    text.lines().filter_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let (local, remote) = (end(columns.next()?)?, end(columns.next()?)?);
        let state = u8::from_str_radix(columns.next()?, 16).ok()?;
        let user = columns.nth(3)?.parse().ok()?;
        Some(SocketRow { local, remote, user, state })
    })
}

/// An address and a port: words in the byte order of the machine, each as a hexadecimal number.
fn end(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut octets = [0; 16];
            for (index, part) in octets.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(index * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn sockets_of_both_families_are_read() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:223D 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1\n\
            1: 0100007F:D431 0100007F:223D 01 00000000:00000000 00:00000000 00000000  1001        0 2 1\n\
            2: 0100007F:D432 0100007F:223D 06 00000000:00000000 00:00000000 00000000     0        0 0 1\n\
            3: 00000000000000000000000001000000:D433 00000000000000000000000001000000:223D 01 0:0 0:0 0 1002 0 3 1\n\
            4: 0000000000000000FFFF00000100007F:D434 0000000000000000FFFF00000100007F:223D 01 0:0 0:0 0 1003 0 4 1\n\
            5: 0100007F 0100007F:223D 01 0:0 0:0 0 1004 0 5 1\n\
            6: zzzzzzzz:D431 0100007F:223D 01 0:0 0:0 0 1004 0 5 1\n";
        let rows: Vec<_> = rows(text).collect();
        let said: Vec<_> = rows
            .iter()
            .map(|row| (row.local.to_string(), row.user, row.is_established(), row.has_owner()))
            .collect();
        let expected = [
            ("127.0.0.1:8765", 1000, false, false),
            ("127.0.0.1:54321", 1001, true, true),
            ("127.0.0.1:54322", 0, false, false),
            ("[::1]:54323", 1002, true, true),
            ("127.0.0.1:54324", 1003, true, true),
        ];
        assert_eq!(said, expected.map(|(at, user, open, owned)| (at.to_owned(), user, open, owned)));
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        assert!(rows[4].leads(at("127.0.0.1:54324"), at("127.0.0.1:8765")));
        assert!(rows[4].leads(at("[::ffff:127.0.0.1]:54324"), at("127.0.0.1:8765")));
        assert!(!rows[4].leads(at("127.0.0.1:54324"), at("127.0.0.1:8766")));
        assert!(!rows[4].leads(at("127.0.0.2:54324"), at("127.0.0.1:8765")));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn sockets_of_this_process_are_in_the_list() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = std::net::TcpListener::bind(at) else { continue };
            let to = listener.local_addr().expect("it is bound");
            let client = std::net::TcpStream::connect(to).expect("it listens");
            let from = client.local_addr().expect("it is connected");
            let text = text();
            let row = rows(&text).find(|row| row.leads(from, to)).expect("it is listed");
            assert!(row.is_established() && Some(row.user) == own_user());
        }
    }
}
