//! The networks that an operator has banned, for agents and visitors alike, and the file that keeps them.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hvym_tunnel_core::relay::Ban;
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_net::state_dir::StateDir;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::bans::BanError;

/// Networks at once. Each connection is compared with all of them: with more, a firewall is the place.
pub(crate) const MAX_NETWORKS: usize = 1024;
/// The file in the state folder.
const FILE: &str = "network-bans.json";
/// A ban takes at most some 600 bytes in the file: a reason may be escaped.
const MAX_FILE_BYTES: usize = MAX_NETWORKS * 1024;

/// A ban as the file has it.
#[derive(Deserialize, Serialize)]
struct Row {
    network: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    reason: String,
}

/// All bans of networks.
#[derive(Default)]
pub(crate) struct NetworkBans {
    all: Mutex<Vec<(IpNet, Ban)>>,
    /// Whether there are any, so that a relay without them takes no lock.
    has_any: AtomicBool,
    folder: Option<StateDir>,
}

impl NetworkBans {
    /// The bans that this folder keeps.
    ///
    /// # Errors
    /// The file cannot be read, or is not one of bans: starting without them would let in whom somebody has banned.
    pub(crate) fn load(folder: Option<StateDir>, now: UnixTime) -> io::Result<Self> {
        let content = folder.as_ref().map(|folder| folder.read(FILE, MAX_FILE_BYTES)).transpose()?.flatten();
        let rows: Vec<Row> = content.map_or(Ok(Vec::new()), |content| serde_json::from_slice(&content))?;
        if rows.len() > MAX_NETWORKS {
            return Err(io::Error::other(BanError::NetworksFull));
        }
        let ban = |row: Row| {
            let network = row.network.parse().map_err(io::Error::other)?;
            Ok::<_, io::Error>((network, Ban::new(row.until.map(UnixTime::from_secs), &row.reason)))
        };
        let mut all = rows.into_iter().map(ban).collect::<io::Result<Vec<_>>>()?;
        all.retain(|(_, ban)| holds(ban, now));
        Ok(Self { has_any: AtomicBool::new(!all.is_empty()), all: Mutex::new(all), folder })
    }

    /// Whether whoever comes from there is banned now.
    pub(crate) fn contains(&self, ip: IpAddr, now: impl FnOnce() -> UnixTime) -> bool {
        if !self.has_any.load(Ordering::Acquire) {
            return false;
        }
        let (ip, now) = (ip.to_canonical(), now());
        self.lock().iter().any(|(network, ban)| network.contains(&ip) && holds(ban, now))
    }

    /// All bans that hold now.
    pub(crate) fn all(&self, now: UnixTime) -> Vec<(IpNet, Ban)> {
        self.lock().iter().filter(|(_, ban)| holds(ban, now)).cloned().collect()
    }

    /// Bans a network from now on, in place of an earlier ban of it.
    ///
    /// # Errors
    /// [`BanError`].
    pub(crate) fn ban(&self, network: IpNet, ban: Ban, now: UnixTime) -> Result<(), BanError> {
        let mut all = self.lock();
        all.retain(|(known, ban)| *known != network && holds(ban, now));
        if all.len() >= MAX_NETWORKS {
            return Err(BanError::NetworksFull);
        }
        all.push((network, ban));
        self.store(&all)
    }

    /// Lifts the ban of just this network. `None`: there was none.
    ///
    /// # Errors
    /// [`BanError::Unwritable`]: it is lifted until the relay starts again.
    pub(crate) fn lift(&self, network: &IpNet, now: UnixTime) -> Result<Option<Ban>, BanError> {
        let mut all = self.lock();
        all.retain(|(_, ban)| holds(ban, now));
        let at = all.iter().position(|(known, _)| known == network);
        let lifted = at.map(|at| all.remove(at).1);
        self.store(&all)?;
        Ok(lifted)
    }

    fn store(&self, all: &[(IpNet, Ban)]) -> Result<(), BanError> {
        self.has_any.store(!all.is_empty(), Ordering::Release);
        let Some(folder) = &self.folder else { return Ok(()) };
        let row = |(network, ban): &(IpNet, Ban)| Row {
            network: network.to_string(),
            until: ban.until.map(UnixTime::as_secs),
            reason: ban.reason.clone(),
        };
        let rows: Vec<Row> = all.iter().map(row).collect();
        let text = serde_json::to_vec(&rows).map_err(io::Error::from);
        text.and_then(|text| folder.write(FILE, &text)).map_err(BanError::Unwritable)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(IpNet, Ban)>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn holds(ban: &Ban, now: UnixTime) -> bool {
    ban.until.is_none_or(|until| now < until)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_000);

    fn network(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

    fn is_banned(bans: &NetworkBans, ip: &str, now: u64) -> bool {
        bans.contains(ip.parse().expect("an address"), || UnixTime::from_secs(now))
    }

    #[test]
    fn whoever_comes_from_a_banned_network_is_banned_until_it_ends() {
        let path = std::env::temp_dir().join(format!("hvym-tunnel-network-bans-{}", std::process::id()));
        let folder = || Some(StateDir::new(&path));
        let bans = NetworkBans::load(folder(), NOW).expect("no file is no ban");
        assert!(!is_banned(&bans, "192.0.2.9", 1_000));
        let brief = Ban::new(Some(UnixTime::from_secs(1_010)), "a \"flood\"");
        bans.ban(network("192.0.2.0/24"), brief, NOW).expect("a folder");
        bans.ban(network("2001:db8::/32"), Ban::new(None, ""), NOW).expect("a folder");
        for (ip, now, expected) in [
            ("192.0.2.0", 1_009, true),
            ("::ffff:192.0.2.255", 1_009, true),
            ("192.0.2.255", 1_010, false),
            ("192.0.3.0", 1_000, false),
            ("2001:db8:ffff::1", 9_999, true),
            ("2001:db9::1", 1_000, false),
        ] {
            assert_eq!(is_banned(&bans, ip, now), expected, "{ip} at {now}");
        }
        let again = NetworkBans::load(folder(), UnixTime::from_secs(1_009)).expect("its own file");
        assert_eq!(again.all(UnixTime::from_secs(1_009)).len(), 2);
        let later = NetworkBans::load(folder(), UnixTime::from_secs(1_010)).expect("its own file");
        assert_eq!(later.all(NOW).len(), 1);
        assert!(later.lift(&network("2001:db8::/33"), NOW).is_ok_and(|lifted| lifted.is_none()));
        assert!(later.lift(&network("2001:db8::/32"), NOW).is_ok_and(|lifted| lifted.is_some()));
        assert!(!is_banned(&later, "2001:db8:ffff::1", 1_000));
        std::fs::write(path.join(FILE), "[{").expect("a file");
        assert!(NetworkBans::load(folder(), NOW).is_err(), "a damaged file lets nobody in by accident");
        std::fs::remove_dir_all(path).expect("it was ours");
    }

    #[test]
    fn there_are_so_many_bans_and_no_more_and_those_that_are_over_make_room() {
        let bans = NetworkBans::default();
        let until = Some(UnixTime::from_secs(1_001));
        let net =
            |number: usize| IpNet::from(IpAddr::from(u32::try_from(number).expect("few").to_be_bytes()));
        for number in 0..MAX_NETWORKS {
            bans.ban(net(number), Ban::new(until, ""), NOW).expect("room");
        }
        assert!(matches!(bans.ban(net(MAX_NETWORKS), Ban::new(None, ""), NOW), Err(BanError::NetworksFull)));
        bans.ban(net(0), Ban::new(until, "again"), NOW).expect("it has its place");
        bans.ban(net(MAX_NETWORKS), Ban::new(None, ""), UnixTime::from_secs(1_001))
            .expect("the others are over");
        assert_eq!(bans.all(NOW).len(), 1);
    }
}
