//! The delegations that their owners took back, until they would be over anyway: in memory, and in a file if there is a folder
//! for it.
//!
//! Knows no session. The file has no secret in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hvym_proxy::limits::VisitorKey;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::stellar::delegation::{DelegationId, MAX_LIFETIME};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_net::state_dir::StateDir;
use thiserror::Error;

/// The name of the file in the relay's folder.
const FILE: &str = "revocations";
/// Revocations of one owner at once, so that one cannot take the room of all. A person revokes a few in a year.
pub(crate) const MAX_OF_OWNER: usize = 64;
/// Revocations at once: 2 MiB of memory, and as much of a file that is written anew with each.
pub(crate) const MAX_ALL: usize = 16 * 1024;
/// New revocations of one network in a day: what a household of owners needs, and too few to fill the places of all.
const MAX_OF_NETWORK: u32 = 256;
/// Networks whose revocations are counted at once; those with fewest are forgotten for more.
const MAX_NETWORKS: usize = 4096;
/// Maximum size of the file in bytes: an address, an id and a time in each line.
const MAX_FILE_BYTES: usize = MAX_ALL * 128;

/// Why the file cannot be used. A relay that went on without it would let in again whom owners have shut out.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum RevocationsError {
    /// The system refused to read it.
    #[error("cannot read the revoked delegations in {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's message.
        reason: String,
    },
    /// A line is not one that a relay writes.
    #[error("line {line} of {} is not a revoked delegation", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Which, from 1 on.
        line: usize,
    },
}

/// There is no room: the owner has [`MAX_OF_OWNER`], its network [`MAX_OF_NETWORK`] of today, or all together [`MAX_ALL`].
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "this relay keeps at most {MAX_OF_OWNER} revoked delegations of one owner and {MAX_ALL} in all, and takes {MAX_OF_NETWORK} \
     of one network in a day"
)]
pub(crate) struct RevocationsFull;

type Entries = BTreeMap<(Address, DelegationId), UnixTime>;

/// What networks took since their day began.
#[derive(Debug, Default)]
struct NetworkShares(BTreeMap<VisitorKey, (UnixTime, u32)>);

impl NetworkShares {
    const DAY: u64 = 24 * 60 * 60;

    /// Whether `network` may take one more, which counts.
    fn take(&mut self, network: VisitorKey, now: UnixTime) -> bool {
        self.0.retain(|_, (since, _)| now.as_secs() < since.as_secs().saturating_add(Self::DAY));
        if self.0.len() >= MAX_NETWORKS
            && !self.0.contains_key(&network)
            && let Some(least) = self.0.iter().min_by_key(|(_, (_, taken))| *taken).map(|(key, _)| *key)
        {
            self.0.remove(&least);
        }
        let (_, taken) = self.0.entry(network).or_insert((now, 0));
        let is_within = *taken < MAX_OF_NETWORK;
        *taken += u32::from(is_within);
        is_within
    }
}

/// The revoked delegations of a relay.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    entries: Mutex<Entries>,
    shares: Mutex<NetworkShares>,
    /// Held while the file is written, so that what is written last has all entries.
    folder: Mutex<Option<StateDir>>,
    /// Whether there are entries that are not in the file.
    is_unwritten: AtomicBool,
}

impl Revocations {
    /// Those of the file in `folder`; without a folder they are kept in memory alone.
    ///
    /// # Errors
    /// [`RevocationsError`]. An absent file is an empty one.
    pub(crate) fn load(folder: Option<&Path>) -> Result<Self, RevocationsError> {
        let Some(folder) = folder.map(StateDir::new) else { return Ok(Self::default()) };
        let path = folder.path(FILE);
        let text = folder.read_text(FILE, MAX_FILE_BYTES).map_err(|error| RevocationsError::Unreadable {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let text = text.unwrap_or_default();
        let malformed = |line| RevocationsError::Malformed { path: path.clone(), line };
        let entries = text.lines().enumerate().map(|(index, line)| entry(line).ok_or(malformed(index + 1)));
        let entries = entries.collect::<Result<_, _>>()?;
        let folder = Mutex::new(Some(folder));
        Ok(Self { entries: Mutex::new(entries), folder, ..Self::default() })
    }

    /// Whether `owner` took this delegation back.
    pub(crate) fn contains(&self, owner: Address, id: DelegationId) -> bool {
        self.lock().contains_key(&(owner, id))
    }

    /// Revokes a delegation of `owner`, which is over at `until` or, if that is not known, a year from now at the latest.
    /// `network` is where it comes from, if that is limited. What is over already is forgotten. It counts at once; [`Self::write`] makes it survive a restart. Returns whether it is
    /// news.
    ///
    /// # Errors
    /// [`RevocationsFull`]; nothing has changed then.
    pub(crate) fn add(
        &self,
        owner: Address,
        id: DelegationId,
        until: Option<UnixTime>,
        network: Option<VisitorKey>,
        now: UnixTime,
    ) -> Result<bool, RevocationsFull> {
        let latest = UnixTime::from_secs(now.as_secs().saturating_add(MAX_LIFETIME.as_secs()));
        let until = until.map_or(latest, |until| until.min(latest));
        let mut entries = self.lock();
        entries.retain(|_, until| now < *until);
        let of_owner = entries.keys().filter(|(other, _)| *other == owner).count();
        let is_known = entries.contains_key(&(owner, id));
        if !is_known {
            let is_full = of_owner >= MAX_OF_OWNER || entries.len() >= MAX_ALL;
            let shares = || self.shares.lock().unwrap_or_else(PoisonError::into_inner);
            if is_full || network.is_some_and(|network| !shares().take(network, now)) {
                return Err(RevocationsFull);
            }
        }
        let known = entries.entry((owner, id)).or_insert(UnixTime::from_secs(0));
        let is_news = until > *known;
        if is_news {
            *known = until;
            self.is_unwritten.store(true, Ordering::Release);
        }
        Ok(is_news)
    }

    /// Writes all entries to the file, unless it has them. Returns whether they survive a restart. Blocks.
    pub(crate) fn write(&self) -> bool {
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(folder) = folder.as_ref() else { return false };
        if !self.is_unwritten.swap(false, Ordering::AcqRel) {
            return true;
        }
        let text: String = {
            let entries = self.lock();
            entries.iter().map(|((owner, id), until)| format!("{owner} {id} {until}\n")).collect()
        };
        let written = folder.write(FILE, text.as_bytes());
        if let Err(error) = &written {
            tracing::error!(path = %folder.path(FILE).display(), %error, "revoked delegations cannot be kept");
            self.is_unwritten.store(true, Ordering::Release);
        }
        written.is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One line of the file.
fn entry(line: &str) -> Option<((Address, DelegationId), UnixTime)> {
    let mut words = line.split(' ');
    let (owner, id) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let until = words.next()?.parse().ok().map(UnixTime::from_secs)?;
    words.next().is_none().then_some(((owner, id), until))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_767_225_600);

    fn owner(number: usize) -> Address {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        Address::from_public_key(key)
    }

    fn id(number: usize) -> DelegationId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        DelegationId(id)
    }

    fn in_secs(seconds: u64) -> UnixTime {
        UnixTime::from_secs(NOW.as_secs() + seconds)
    }

    /// A folder that nobody else uses, removed at the end.
    struct TempFolder(PathBuf);

    impl TempFolder {
        fn new(name: &str) -> Self {
            TempFolder(std::env::temp_dir().join(format!("hvym-tunnel-{name}-{}", std::process::id())))
        }
    }

    impl Drop for TempFolder {
        fn drop(&mut self) {
            let _gone = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_revocation_is_of_one_owner_and_survives_a_restart_where_there_is_a_folder() {
        let folder = TempFolder::new("revoked");
        let kept = Revocations::load(Some(&folder.0)).expect("nothing is there");
        kept.add(owner(1), id(1), Some(in_secs(10)), None, NOW).expect("room");
        assert!(kept.write(), "it can be written");
        let read = Revocations::load(Some(&folder.0)).expect("what was written");
        assert!(read.contains(owner(1), id(1)));
        assert!(!read.contains(owner(2), id(1)) && !read.contains(owner(1), id(2)));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let file = std::fs::metadata(folder.0.join(FILE)).expect("a file");
            assert_eq!(file.permissions().mode() & 0o777, 0o600);
        }
        let path = folder.0.join(FILE);
        std::fs::remove_file(&path).expect("a file");
        assert!(kept.write() && !path.exists(), "it has them all");
        std::fs::remove_dir_all(&folder.0).expect("a folder");
        std::fs::write(&folder.0, "in the way").expect("a file");
        kept.add(owner(1), id(2), None, None, NOW).expect("room");
        assert!(!kept.write() && !kept.write(), "it is said that it was not written");
        std::fs::remove_file(&folder.0).expect("a file");
        assert!(kept.write() && path.exists(), "it is tried again");
        let memory = Revocations::load(None).expect("no file");
        memory.add(owner(1), id(1), None, None, NOW).expect("room");
        assert!(memory.contains(owner(1), id(1)) && !memory.write(), "it is said that it does not survive");
    }

    #[test]
    fn what_is_over_is_forgotten_and_nothing_is_kept_for_more_than_a_year() {
        let kept = Revocations::default();
        kept.add(owner(1), id(1), Some(in_secs(10)), None, NOW).expect("room");
        kept.add(owner(1), id(2), None, None, NOW).expect("room");
        kept.add(owner(1), id(3), Some(UnixTime::from_secs(u64::MAX)), None, NOW).expect("room");
        // Who revokes again cannot shorten it.
        kept.add(owner(1), id(1), Some(in_secs(5)), None, NOW).expect("room");
        kept.add(owner(2), id(9), None, None, in_secs(9)).expect("room");
        assert!(kept.contains(owner(1), id(1)));
        kept.add(owner(2), id(9), None, None, in_secs(10)).expect("room");
        assert!(!kept.contains(owner(1), id(1)));
        let year = MAX_LIFETIME.as_secs();
        kept.add(owner(2), id(9), None, None, in_secs(year - 1)).expect("room");
        assert!(kept.contains(owner(1), id(2)) && kept.contains(owner(1), id(3)));
        kept.add(owner(2), id(9), None, None, in_secs(year)).expect("room");
        assert!(!kept.contains(owner(1), id(2)) && !kept.contains(owner(1), id(3)));
    }

    #[test]
    fn an_owner_has_so_many_revocations_and_no_more_and_all_together_too() {
        let kept = Revocations::default();
        let add =
            |of: usize, number: usize, now| kept.add(owner(of), id(number), Some(in_secs(10)), None, now);
        for number in 0..MAX_OF_OWNER {
            assert_eq!(add(0, number, NOW), Ok(true));
        }
        assert_eq!(add(0, MAX_OF_OWNER, NOW), Err(RevocationsFull));
        assert_eq!(add(0, 0, NOW), Ok(false), "it is known");
        for number in MAX_OF_OWNER..MAX_ALL {
            assert_eq!(add(1 + number / MAX_OF_OWNER, number, NOW), Ok(true));
        }
        assert_eq!(add(MAX_ALL, 0, NOW), Err(RevocationsFull));
        assert_eq!(add(MAX_ALL, 0, in_secs(10)), Ok(true), "the others are over");
    }

    #[test]
    fn a_network_with_ever_new_owners_leaves_the_places_to_others() {
        let kept = Revocations::default();
        let network = |last: u8| Some(VisitorKey::new([192, 0, 2, last].into()));
        let add = |of: usize, last, now| kept.add(owner(of), id(of), None, network(last), now);
        let taken = (0..1000).filter(|of| add(*of, 1, NOW).is_ok()).count();
        assert_eq!(taken, MAX_OF_NETWORK as usize);
        assert_eq!(add(0, 1, NOW), Ok(false), "what is known counts no more");
        assert_eq!(add(2000, 2, NOW), Ok(true), "another network");
        assert_eq!(add(3000, 1, in_secs(24 * 60 * 60 - 1)), Err(RevocationsFull));
        assert_eq!(add(3000, 1, in_secs(24 * 60 * 60)), Ok(true), "another day");
    }

    #[test]
    fn the_networks_that_are_counted_are_bounded_and_the_busiest_stay() {
        let mut shares = NetworkShares::default();
        let network = |number: u32| VisitorKey::new(std::net::Ipv4Addr::from(number).into());
        for _ in 0..=MAX_OF_NETWORK {
            shares.take(network(0), NOW);
        }
        for number in 1..=2 * u32::try_from(MAX_NETWORKS).expect("it fits") {
            assert!(shares.take(network(number), NOW));
        }
        assert_eq!(shares.0.len(), MAX_NETWORKS);
        assert!(!shares.take(network(0), NOW));
    }

    #[test]
    fn a_file_that_is_not_understood_keeps_a_relay_from_starting() {
        let folder = TempFolder::new("unrevoked");
        std::fs::create_dir_all(&folder.0).expect("a folder");
        let good = format!("{} {} 5\n", owner(1), id(1));
        for (more, line) in
            [("\n", 2), ("x\n", 2), (&*good.replace(" 5", " 5 6"), 2), (&*good.replace(" 5", " -5"), 2)]
        {
            std::fs::write(folder.0.join(FILE), format!("{good}{more}")).expect("a file");
            let error = Revocations::load(Some(&folder.0)).expect_err(more);
            assert_eq!(error, RevocationsError::Malformed { path: folder.0.join(FILE), line });
        }
        std::fs::write(folder.0.join(FILE), vec![b'x'; MAX_FILE_BYTES + 1]).expect("a file");
        assert!(matches!(Revocations::load(Some(&folder.0)), Err(RevocationsError::Unreadable { .. })));
    }
}
