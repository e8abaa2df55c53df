//! The registry of a relay whose operator lists agents in options and in a file, which may change at any time.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use hvym_tunnel_core::relay::{AgentList, AgentRule};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::files;

use crate::config::{AccessSettings, Policy};
use crate::registry::{Admission, AgentListFileError, Decision, Refusal, Registry};

/// The largest list that is read: [`MAX_LISTED_AGENTS`](hvym_tunnel_core::relay::MAX_LISTED_AGENTS) lines with comments.
const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;

/// What tells a file from the one that was read before.
type Stamp = Option<(SystemTime, u64)>;

/// The lists of a relay.
pub(crate) struct AgentLists {
    settings: AccessSettings,
    policy: Policy,
    /// `None`: every identity may log in that is not denied.
    listed: RwLock<Option<Arc<AgentList>>>,
    /// Of the file, when it was read last.
    stamp: Mutex<Stamp>,
}

impl AgentLists {
    /// Reads the lists that these settings name.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(crate) fn load(settings: AccessSettings, policy: Policy) -> Result<Self, AgentListFileError> {
        let stamp = Mutex::new(stamp(&settings));
        let listed = RwLock::new(read(&settings)?.map(Arc::new));
        Ok(Self { settings, policy, listed, stamp })
    }

    fn rule(&self, address: &Address) -> Result<AgentRule, Refusal> {
        if self.settings.denied.contains(address) {
            return Err(Refusal("this relay's operator does not let this identity in".to_owned()));
        }
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner).clone();
        match listed {
            None => Ok(AgentRule::new(*address)),
            Some(list) => list.get(address).cloned().ok_or_else(|| {
                Refusal(format!("this relay serves listed agents only: ask its operator to list {address}"))
            }),
        }
    }
}

impl Registry for AgentLists {
    fn admit(&self, agent: Address) -> Decision<'_, Admission> {
        let admission = self.rule(&agent).map(|rule| {
            Admission::new(self.policy)
                .with_listed(self.settings.has_list())
                .with_tcp_ports(rule.tcp_ports)
                .with_max_services(rule.max_services)
                .with_rate(rule.rate)
        });
        Box::pin(async move { admission })
    }

    fn may_claim(&self, agent: &Address, name: &str) -> Option<Result<(), Refusal>> {
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        let owner = listed.name_owner(name)?;
        let kept = || Refusal("this relay keeps this name for somebody else".to_owned());
        Some(if owner == *agent { Ok(()) } else { Err(kept()) })
    }

    fn reload(&self) -> Option<Result<usize, AgentListFileError>> {
        self.settings.allowed_file.as_ref()?;
        *self.stamp.lock().unwrap_or_else(PoisonError::into_inner) = stamp(&self.settings);
        let read = read(&self.settings).map(Option::unwrap_or_default);
        Some(read.map(|list| {
            let agents = list.len();
            *self.listed.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(list));
            agents
        }))
    }

    fn poll(&self) -> Option<Result<usize, AgentListFileError>> {
        let is_same = stamp(&self.settings) == *self.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if is_same { None } else { self.reload() }
    }
}

fn stamp(settings: &AccessSettings) -> Stamp {
    let metadata = std::fs::metadata(settings.allowed_file.as_ref()?).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// The agents of the options and of the file; `None` if neither is given. What the file says of an agent holds.
fn read(settings: &AccessSettings) -> Result<Option<AgentList>, AgentListFileError> {
    if !settings.has_list() {
        return Ok(None);
    }
    let mut list = AgentList::default();
    settings.allowed.iter().for_each(|rule| list.insert(rule.clone()));
    if let Some(path) = &settings.allowed_file {
        let text = File::open(path).and_then(|file| files::read_text_limited(file, MAX_FILE_BYTES));
        let unreadable = |error: std::io::Error| AgentListFileError::Unreadable {
            path: path.clone(),
            reason: error.to_string(),
        };
        let wrong = |error| AgentListFileError::Wrong { path: path.clone(), error };
        list.extend(text.map_err(unreadable)?.parse().map_err(wrong)?);
    }
    Ok(Some(list))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn address(seed: u8) -> Address {
        Address::from_public_key([seed; 32])
    }

    fn admitted(lists: &AgentLists, seed: u8) -> Result<Admission, Refusal> {
        smol::block_on(lists.admit(address(seed)))
    }

    fn lists(settings: AccessSettings) -> Result<AgentLists, AgentListFileError> {
        AgentLists::load(settings, Policy::Reject)
    }

    #[test]
    fn without_a_list_everybody_is_admitted_who_is_not_denied() {
        let lists = lists(AccessSettings { denied: vec![address(2)], ..AccessSettings::default() });
        let lists = lists.expect("no file");
        assert_eq!(admitted(&lists, 1), Ok(Admission::new(Policy::Reject)));
        assert!(admitted(&lists, 2).is_err());
        assert!(lists.reload().is_none() && lists.poll().is_none());
    }

    #[test]
    fn with_a_list_nobody_else_is_admitted_and_what_is_denied_stays_denied() {
        let mut rule = AgentRule::new(address(1));
        (rule.tcp_ports, rule.max_services, rule.rate) = (Some(2), Some(3), Some(4));
        let allowed = vec![rule, AgentRule::new(address(2))];
        let settings = AccessSettings { allowed, denied: vec![address(2)], ..AccessSettings::default() };
        let lists = lists(settings).expect("no file");
        let expected = Admission::new(Policy::Reject)
            .with_listed(true)
            .with_tcp_ports(Some(2))
            .with_max_services(Some(3))
            .with_rate(Some(4));
        assert_eq!(admitted(&lists, 1), Ok(expected));
        assert!(admitted(&lists, 2).is_err());
        let refusal = admitted(&lists, 3).expect_err("not listed");
        assert!(refusal.0.contains(&address(3).to_string()), "{refusal}");
    }

    #[test]
    fn where_tokens_alone_count_no_identity_is_admitted_unless_it_is_listed() {
        let nobody = AccessSettings { tokens_only: true, open: true, ..AccessSettings::default() };
        let ann = AccessSettings { allowed: vec![AgentRule::new(address(1))], ..nobody.clone() };
        let admitted = |settings| {
            let lists = lists(settings).expect("no file");
            [1, 2].map(|seed| admitted(&lists, seed).is_ok())
        };
        assert_eq!((admitted(nobody), admitted(ann)), ([false, false], [true, false]));
    }

    #[test]
    fn a_name_that_is_kept_is_its_agents_alone() {
        let rule = format!("{} names=shop", address(1)).parse().expect("a rule");
        let lists =
            lists(AccessSettings { allowed: vec![rule], ..AccessSettings::default() }).expect("no file");
        assert_eq!(lists.may_claim(&address(1), "shop"), Some(Ok(())));
        assert!(lists.may_claim(&address(2), "shop").is_some_and(|claim| claim.is_err()));
        assert_eq!(lists.may_claim(&address(1), "other"), None);
    }

    #[test]
    fn a_file_is_read_again_when_it_changes_and_a_wrong_one_changes_nothing() {
        let path = std::env::temp_dir().join(format!("hvym-tunnel-agents-{}", std::process::id()));
        let settings = AccessSettings {
            allowed: vec![AgentRule::new(address(1))],
            allowed_file: Some(path.clone()),
            ..AccessSettings::default()
        };
        assert!(matches!(lists(settings.clone()), Err(AgentListFileError::Unreadable { .. })));
        fs::write(&path, format!("{}\n", address(2))).expect("a file");
        let lists = lists(settings).expect("a list");
        assert_eq!([1, 2, 3].map(|seed| admitted(&lists, seed).is_ok()), [true, true, false]);
        assert_eq!(lists.poll(), None);

        fs::write(&path, format!("{}\n{}\n", address(3), address(4))).expect("a file");
        assert_eq!(lists.poll(), Some(Ok(3)));
        assert_eq!([1, 2, 3].map(|seed| admitted(&lists, seed).is_ok()), [true, false, true]);
        fs::write(&path, format!("{}\n{} ports=1\n", address(2), address(5))).expect("a file");
        let error = lists.poll().expect("it changed").expect_err("a wrong line").to_string();
        assert!(error.contains("line 2, column 58"), "{error}");
        assert_eq!((lists.poll(), lists.reload().is_some_and(|read| read.is_err())), (None, true));
        assert!(admitted(&lists, 3).is_ok(), "the list from before holds");
        fs::remove_file(&path).expect("it was ours");
        assert!(matches!(lists.poll(), Some(Err(AgentListFileError::Unreadable { .. }))));
        assert!(admitted(&lists, 3).is_ok());
    }
}
