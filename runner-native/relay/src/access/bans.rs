//! The bans of a relay, and the file that keeps them.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hvym_tunnel_core::relay::{Ban, BanTable, MAX_BANS};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_net::state_dir::StateDir;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The file in the state folder.
const FILE: &str = "bans.json";
/// A ban takes at most some 600 bytes in the file: a reason may be escaped.
const MAX_FILE_BYTES: usize = MAX_BANS * 1024;

/// Why a ban has no effect, or may not outlive this process.
#[derive(Debug, Error)]
pub(crate) enum BanError {
    /// There are too many.
    #[error(transparent)]
    Full(#[from] hvym_tunnel_core::relay::BansFull),
    /// There are too many of networks.
    #[error("as many networks are banned as can be")]
    NetworksFull,
    /// The file cannot be written. The ban holds until the relay ends.
    #[error("it holds until the relay ends, since the state folder cannot be written: {0}")]
    Unwritable(io::Error),
}

/// A ban as the file has it.
#[derive(Deserialize, Serialize)]
struct Row {
    address: Address,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    reason: String,
}

/// All bans.
pub(crate) struct Bans {
    table: Mutex<BanTable>,
    folder: Option<StateDir>,
}

impl Bans {
    /// The bans that this folder keeps.
    ///
    /// # Errors
    /// The file cannot be read, or is not one of bans: starting without them would let in whom somebody has banned.
    pub(crate) fn load(folder: Option<StateDir>, now: UnixTime) -> io::Result<Self> {
        let content = folder.as_ref().map(|folder| folder.read(FILE, MAX_FILE_BYTES)).transpose()?.flatten();
        let mut table = BanTable::default();
        if let Some(content) = content {
            for row in serde_json::from_slice::<Vec<Row>>(&content)? {
                let ban = Ban::new(row.until.map(UnixTime::from_secs), &row.reason);
                table.insert(row.address, ban, now).map_err(io::Error::other)?;
            }
            table.expire(now);
        }
        Ok(Self { table: Mutex::new(table), folder })
    }

    /// The ban of an agent, if there is one now.
    pub(crate) fn get(&self, agent: &Address, now: UnixTime) -> Option<Ban> {
        self.lock().get(agent, now).cloned()
    }

    /// All bans that hold now.
    pub(crate) fn all(&self, now: UnixTime) -> Vec<(Address, Ban)> {
        self.lock().iter(now).map(|(agent, ban)| (*agent, ban.clone())).collect()
    }

    /// Bans an agent from now on.
    ///
    /// # Errors
    /// [`BanError`].
    pub(crate) fn ban(&self, agent: Address, ban: Ban, now: UnixTime) -> Result<(), BanError> {
        let mut table = self.lock();
        table.insert(agent, ban, now)?;
        self.store(&mut table, now).map_err(BanError::Unwritable)
    }

    /// Lifts a ban. `None`: there was none.
    ///
    /// # Errors
    /// [`BanError::Unwritable`]: it is lifted until the relay starts again.
    pub(crate) fn lift(&self, agent: &Address, now: UnixTime) -> Result<Option<Ban>, BanError> {
        let mut table = self.lock();
        let lifted = table.remove(agent, now);
        self.store(&mut table, now).map_err(BanError::Unwritable)?;
        Ok(lifted)
    }

    fn store(&self, table: &mut BanTable, now: UnixTime) -> io::Result<()> {
        table.expire(now);
        let Some(folder) = &self.folder else { return Ok(()) };
        let row = |(address, ban): (&Address, &Ban)| Row {
            address: *address,
            until: ban.until.map(UnixTime::as_secs),
            reason: ban.reason.clone(),
        };
        let rows: Vec<Row> = table.iter(now).map(row).collect();
        folder.write(FILE, &serde_json::to_vec(&rows)?)
    }

    fn lock(&self) -> MutexGuard<'_, BanTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_000);

    #[test]
    fn bans_outlive_the_relay_until_they_end() {
        let path = std::env::temp_dir().join(format!("hvym-tunnel-bans-{}", std::process::id()));
        let folder = || Some(StateDir::new(&path));
        let [ann, bob, eve] = [1, 2, 3].map(|seed| Address::from_public_key([seed; 32]));
        let bans = Bans::load(folder(), NOW).expect("no file is no ban");
        let brief = Ban::new(Some(UnixTime::from_secs(1_010)), "a \"spammer\"\u{1b}");
        bans.ban(ann, brief.clone(), NOW).expect("a folder");
        bans.ban(bob, Ban::new(None, "worse"), NOW).expect("a folder");
        bans.ban(eve, Ban::new(None, ""), NOW).expect("a folder");
        assert_eq!(bans.lift(&eve, NOW).ok().flatten(), Some(Ban::new(None, "")));
        assert!(bans.lift(&eve, NOW).is_ok_and(|lifted| lifted.is_none()));
        let again = Bans::load(folder(), UnixTime::from_secs(1_009)).expect("its own file");
        assert_eq!(again.get(&ann, UnixTime::from_secs(1_009)), Some(brief));
        assert_eq!(again.all(UnixTime::from_secs(1_009)).len(), 2);
        let later = Bans::load(folder(), UnixTime::from_secs(1_010)).expect("its own file");
        assert_eq!(later.all(NOW).iter().map(|(who, _)| *who).collect::<Vec<_>>(), [bob]);
        std::fs::write(path.join(FILE), "[{").expect("a file");
        assert!(Bans::load(folder(), NOW).is_err(), "a damaged file lets nobody in by accident");
        std::fs::remove_dir_all(path).expect("it was ours");
    }
}
