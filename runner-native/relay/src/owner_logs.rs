//! The latest requests to the services of each identity, for whoever has that identity: in memory, bounded, and gone with the process.
//! It knows no session, and decides nothing about who may read.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http::Method;
use hvym_tunnel_core::relay::{Name, Owner};
use hvym_tunnel_core::stellar::Address;

/// Requests of all identities: 10 MB with usual paths, 45 MB with the longest.
const MAX_REQUESTS: usize = 50_000;
/// Requests of one identity: ten pages of a hundred.
const MAX_REQUESTS_OF_ONE: usize = 1000;
/// Identities, so that each has a page of its own however many there are. Beyond, whoever was visited longest ago has none.
const MAX_OWNERS: usize = MAX_REQUESTS / 20;
/// Bytes of a path that are kept: nobody reads a longer one in a list.
const MAX_PATH_BYTES: usize = 512;
/// Bytes of a method. Those in use have a dozen.
const MAX_METHOD_BYTES: usize = 32;
/// Bytes of an error: a sentence or two of a page.
const MAX_ERROR_BYTES: usize = 256;
/// Why there is no status.
const VISITOR_LEFT: &str = "the visitor left before there was a response";

/// One request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OwnerRequest {
    /// When it began.
    pub(crate) at: SystemTime,
    /// The service; `None`: its agent was awaited, and nobody said which.
    pub(crate) service: Option<Arc<str>>,
    pub(crate) method: Method,
    /// Without the query, where applications keep what nobody else may know.
    pub(crate) path: Box<str>,
    /// What the visitor was answered; `None`: it left before.
    pub(crate) status: Option<u16>,
    /// Until the head of the response.
    pub(crate) duration: Duration,
    /// Why the service gave no response.
    pub(crate) error: Option<Box<str>>,
}

/// A part of the log of one identity, newest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct OwnerLogPage {
    /// How many there are.
    pub(crate) total: usize,
    /// The services of the whole log, in order.
    pub(crate) services: Vec<String>,
    /// Those asked for.
    pub(crate) requests: Vec<OwnerRequest>,
}

type Log = VecDeque<OwnerRequest>;

/// The logs of all identities.
#[derive(Default)]
pub(crate) struct OwnerLogs(Mutex<BTreeMap<Address, Log>>);

/// A request under way.
pub(crate) struct OwnerLogEntry<'a> {
    logs: &'a OwnerLogs,
    owner: Address,
    request: OwnerRequest,
}

impl OwnerLogs {
    /// Begins the entry of a request to `name`, which is led to this service of an agent; `None`: its agent is awaited. The names of those
    /// whom nobody has reached yet are not taken from visitors.
    pub(crate) fn begin(
        &self,
        name: &Name,
        service: Option<&Arc<str>>,
        method: &str,
        target: &str,
    ) -> Option<Box<OwnerLogEntry<'_>>> {
        let Owner::Identity(owner) = name.owner else { return None };
        if service.is_none() && !self.lock().contains_key(&owner) {
            return None;
        }
        let path = target.split('?').next().unwrap_or_default();
        let method = Method::from_bytes(&method.as_bytes()[..method.len().min(MAX_METHOD_BYTES)]);
        let request = OwnerRequest {
            at: SystemTime::now(),
            service: service.cloned().or_else(|| name.service.as_deref().map(Arc::from)),
            method: method.unwrap_or_default(),
            path: cut(path, MAX_PATH_BYTES),
            status: None,
            duration: Duration::ZERO,
            error: None,
        };
        Some(Box::new(OwnerLogEntry { logs: self, owner, request }))
    }

    /// A part of the log of `owner`; of one service alone, if one is named.
    pub(crate) fn page(
        &self,
        owner: &Address,
        service: Option<&str>,
        limit: usize,
        offset: usize,
    ) -> OwnerLogPage {
        let logs = self.lock();
        let Some(log) = logs.get(owner) else { return OwnerLogPage::default() };
        let services: BTreeSet<&str> = log.iter().filter_map(|request| request.service.as_deref()).collect();
        let is_wanted =
            |request: &&OwnerRequest| service.is_none_or(|wanted| request.service.as_deref() == Some(wanted));
        OwnerLogPage {
            total: log.iter().filter(is_wanted).count(),
            services: services.into_iter().map(str::to_owned).collect(),
            requests: log.iter().rev().filter(is_wanted).skip(offset).take(limit).cloned().collect(),
        }
    }

    fn push(&self, owner: Address, request: OwnerRequest) {
        let mut logs = self.lock();
        if !logs.contains_key(&owner) {
            make_room(&mut logs);
        }
        let share = share(logs.len().max(1));
        let log = logs.entry(owner).or_default();
        while log.len() >= share {
            log.pop_front();
        }
        log.push_back(request);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Address, Log>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OwnerLogEntry<'_> {
    /// The service gives no response, for this reason.
    pub(crate) fn fail(&mut self, error: &str) {
        self.request.error = Some(cut(error, MAX_ERROR_BYTES));
    }

    /// Logs it: answered with `status` after so long.
    pub(crate) fn end(mut self, status: Option<u16>, duration: Duration) {
        if status.is_none() {
            self.fail(VISITOR_LEFT);
        }
        (self.request.status, self.request.duration) = (status, duration);
        self.logs.push(self.owner, self.request);
    }
}

/// How many requests each of so many identities may have.
fn share(owners: usize) -> usize {
    (MAX_REQUESTS / owners).min(MAX_REQUESTS_OF_ONE)
}

/// Makes room for one more identity: each of the others gives its oldest requests.
fn make_room(logs: &mut BTreeMap<Address, Log>) {
    if logs.len() >= MAX_OWNERS {
        let latest = |log: &Log| log.back().map(|request| request.at);
        let oldest = logs.iter().min_by_key(|(_, log)| latest(log)).map(|(owner, _)| *owner);
        oldest.and_then(|owner| logs.remove(&owner));
    }
    let share = share(logs.len() + 1);
    for log in logs.values_mut() {
        log.drain(..log.len().saturating_sub(share));
        if log.capacity() > 2 * share {
            log.shrink_to(share);
        }
    }
}

/// `text`, as long as it may be.
fn cut(text: &str, limit: usize) -> Box<str> {
    text[..text.floor_char_boundary(limit)].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(number: usize) -> Address {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&number.to_be_bytes());
        Address::from_public_key(key)
    }

    fn name(number: usize, service: Option<&str>) -> Name {
        Name { owner: Owner::Identity(owner(number)), service: service.map(str::to_owned) }
    }

    fn log(logs: &OwnerLogs, number: usize, service: &str, target: &str) {
        let entry =
            logs.begin(&name(number, None), Some(&service.into()), "GET", target).expect("an identity");
        entry.end(Some(200), Duration::from_millis(3));
    }

    fn paths(page: &OwnerLogPage) -> Vec<&str> {
        page.requests.iter().map(|request| &*request.path).collect()
    }

    #[test]
    fn requests_are_read_newest_first_in_parts_and_by_service() {
        let logs = OwnerLogs::default();
        for (service, target) in [("web", "/1?token=secret"), ("we", "/2"), ("web", "/3"), ("web2", "/4")] {
            log(&logs, 1, service, target);
        }
        log(&logs, 2, "web", "/other");
        let all = logs.page(&owner(1), None, 100, 0);
        assert_eq!((all.total, paths(&all)), (4, vec!["/4", "/3", "/2", "/1"]));
        assert_eq!(all.services, ["we", "web", "web2"]);
        let part = logs.page(&owner(1), Some("web"), 1, 1);
        assert_eq!((part.total, paths(&part)), (2, vec!["/1"]));
        assert_eq!(logs.page(&owner(1), Some("w"), 100, 0).total, 0);
        assert_eq!(logs.page(&owner(3), None, 100, 0), OwnerLogPage::default());
    }

    #[test]
    fn what_had_no_response_says_why() {
        let logs = OwnerLogs::default();
        let begin = || logs.begin(&name(1, None), Some(&"web".into()), "GET", "/").expect("an identity");
        let mut failed = begin();
        failed.fail("the service closed the connection");
        failed.end(Some(502), Duration::ZERO);
        begin().end(None, Duration::ZERO);
        let errors = logs.page(&owner(1), None, 2, 0).requests.into_iter().map(|request| request.error);
        let errors: Vec<_> = errors.flatten().map(String::from).collect();
        assert_eq!(errors, [VISITOR_LEFT, "the service closed the connection"]);
    }

    #[test]
    fn names_that_nobody_has_reached_are_not_taken_from_visitors() {
        let logs = OwnerLogs::default();
        assert!(logs.begin(&name(1, Some("web")), None, "GET", "/").is_none());
        log(&logs, 1, "web", "/");
        let awaited = logs.begin(&name(1, Some("api")), None, "GET", "/late").expect("it is known by now");
        awaited.end(Some(503), Duration::ZERO);
        assert_eq!(logs.page(&owner(1), Some("api"), 9, 0).total, 1);
        let named = Name { owner: Owner::Named("app".into()), service: None };
        assert!(logs.begin(&named, Some(&"web".into()), "GET", "/").is_none());
    }

    #[test]
    fn one_identity_has_so_many_requests_and_each_text_is_so_long() {
        let logs = OwnerLogs::default();
        for number in 0..MAX_REQUESTS_OF_ONE {
            log(&logs, 1, "web", &format!("/{number}"));
        }
        assert_eq!(logs.page(&owner(1), None, 1, 0).total, MAX_REQUESTS_OF_ONE);
        assert_eq!(paths(&logs.page(&owner(1), None, 1, MAX_REQUESTS_OF_ONE - 1)), ["/0"]);
        log(&logs, 1, "web", &"é".repeat(MAX_PATH_BYTES));
        let page = logs.page(&owner(1), None, 1, 0);
        assert_eq!((page.total, page.requests[0].path.len()), (MAX_REQUESTS_OF_ONE, MAX_PATH_BYTES));
        assert_eq!(paths(&logs.page(&owner(1), None, 1, MAX_REQUESTS_OF_ONE - 1)), ["/1"]);
        let long = "M".repeat(MAX_METHOD_BYTES + 1);
        let entry = logs.begin(&name(1, None), Some(&"web".into()), &long, "/").expect("an identity");
        assert_eq!(entry.request.method.as_str(), &long[1..]);
        assert_eq!(
            (cut("abc", 2).as_ref(), cut("abc", 3).as_ref(), cut("abc", 4).as_ref()),
            ("ab", "abc", "abc")
        );
    }

    #[test]
    fn newcomers_take_from_the_longest_logs_and_the_whole_is_bounded() {
        let logs = OwnerLogs::default();
        let of = |number: usize| logs.page(&owner(number), None, 0, 0).total;
        let all = || logs.lock().values().map(Log::len).sum::<usize>();
        let full = MAX_REQUESTS / MAX_REQUESTS_OF_ONE;
        for number in 0..full {
            (0..MAX_REQUESTS_OF_ONE).for_each(|_| log(&logs, number, "web", "/"));
        }
        assert_eq!((all(), of(0)), (MAX_REQUESTS, MAX_REQUESTS_OF_ONE));
        log(&logs, full, "web", "/");
        assert_eq!((of(0), of(full)), (MAX_REQUESTS / (full + 1), 1));
        assert!(all() <= MAX_REQUESTS);
        (full + 1..MAX_OWNERS).for_each(|number| log(&logs, number, "web", "/"));
        assert_eq!((of(0), logs.lock().len()), (MAX_REQUESTS / MAX_OWNERS, MAX_OWNERS));
        // Whoever was visited longest ago has made room.
        log(&logs, MAX_OWNERS, "web", "/");
        assert_eq!((of(0), of(1), logs.lock().len()), (0, MAX_REQUESTS / MAX_OWNERS, MAX_OWNERS));
        assert!(logs.lock().values().all(|log| log.capacity() <= 4 * (MAX_REQUESTS / MAX_OWNERS)));
    }
}
