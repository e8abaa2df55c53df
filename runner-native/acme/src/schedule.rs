//! Which certificates are ordered when: a bounded queue, waits that grow from failure to failure, and budgets a week that stay
//! below the limits of certificate authorities.
//!
//! It knows the wall clock as seconds of the Unix epoch, and neither network nor disk. What it must not forget over a restart
//! is its [`Record`]s.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Orders in progress at once. One that the authority does not end must not hold up the others.
pub(crate) const MAX_IN_PROGRESS: usize = 4;
/// Certificates, present or wanted, of hosts: as many as agents, and a custom domain for some.
pub(crate) const MAX_CERTIFICATES: usize = 1000;
/// New certificates a week. Let's Encrypt issues 50 for one registered domain, of which an operator may want some elsewhere.
pub(crate) const WEEKLY_NEW: usize = 40;
/// Certificates a week for the same names. Let's Encrypt issues 5.
pub(crate) const WEEKLY_SAME: usize = 4;
const WEEK: u64 = 7 * 86_400;
/// The wait after the first failure, and how much longer each later one is. Let's Encrypt takes five failed validations of a
/// name an hour: these make three.
const FIRST_WAIT: u64 = 300;
const WAIT_FACTOR: u64 = 3;
const MAX_WAIT: u64 = 86_400;
/// The longest wait that an authority may ask for: longer than any of its limits.
const MAX_RETRY_AFTER: u64 = WEEK;
/// A certificate is renewed after this part of its life, and at the latest after [`JITTER_PARTS`] more, so that not all of a
/// relay's are at once.
const RENEWED_AFTER: (u64, u64) = (2, 3);
/// A part of the life: 1 in 24, which is before a quarter of it is left.
const JITTER_PARTS: u64 = 24;
/// How long after a renewal that nobody needed the next one is thought of.
const ABSENCE: u64 = 86_400;

/// What is known of one certificate.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Record {
    /// When it was issued within the last week.
    pub(crate) issued: Vec<u64>,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// Not ordered before this.
    pub(crate) not_before: u64,
}

#[derive(Default)]
struct Entry {
    record: Record,
    /// When the one that is there should be renewed; `None` if there is none.
    renew_at: Option<u64>,
    /// When it ends.
    ends_at: u64,
    /// Whether somebody wants it.
    is_wanted: bool,
    in_progress: bool,
}

impl Entry {
    fn due_at(&self) -> Option<u64> {
        (self.is_wanted && !self.in_progress)
            .then(|| self.renew_at.unwrap_or_default().max(self.record.not_before))
    }
}

/// What becomes of a wish for a certificate.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum WishResult {
    /// It is ordered, or will be at once.
    Accepted,
    /// Not before this moment.
    Later(u64),
    /// There are too many.
    Full,
}

/// The schedule. Certificates are called by their first name.
#[derive(Default)]
pub(crate) struct Schedule {
    entries: BTreeMap<String, Entry>,
}

impl Schedule {
    pub(crate) fn new(records: BTreeMap<String, Record>) -> Self {
        let entry = |record| Entry { record, ..Entry::default() };
        Self { entries: records.into_iter().map(|(name, record)| (name, entry(record))).collect() }
    }

    /// What must outlive a restart, without what no longer matters.
    pub(crate) fn records(&self, now: u64) -> BTreeMap<String, Record> {
        let kept = self.entries.iter().filter_map(|(name, entry)| {
            let mut record = entry.record.clone();
            record.issued.retain(|at| now < at.saturating_add(WEEK));
            (!record.issued.is_empty() || record.failures > 0).then(|| (name.clone(), record))
        });
        kept.collect()
    }

    /// Somebody wants a certificate.
    pub(crate) fn want(&mut self, name: &str, now: u64) -> WishResult {
        if !self.entries.contains_key(name) && self.entries.len() >= MAX_CERTIFICATES {
            self.entries.retain(|_, entry| {
                entry.is_wanted || entry.record.not_before > now || !entry.record.issued.is_empty()
            });
            if self.entries.len() >= MAX_CERTIFICATES {
                return WishResult::Full;
            }
        }
        let entry = self.entries.entry(name.to_owned()).or_default();
        entry.is_wanted = true;
        if entry.in_progress {
            return WishResult::Accepted;
        }
        match self.may_start_at(name, now) {
            Some(at) if at > now => WishResult::Later(at),
            _ => WishResult::Accepted,
        }
    }

    /// Nobody has its name at the moment. Returns whether the certificate is kept, in case somebody comes back: until its end.
    pub(crate) fn postpone(&mut self, name: &str, now: u64) -> bool {
        let Some(entry) = self.entries.get_mut(name) else { return false };
        entry.in_progress = false;
        if entry.renew_at.is_none() || entry.ends_at <= now {
            (entry.is_wanted, entry.renew_at) = (false, None);
            return false;
        }
        entry.renew_at = Some((now + ABSENCE).min(entry.ends_at));
        true
    }

    /// A certificate is there, valid for this period. `jitter` is a random number.
    pub(crate) fn handle_present(&mut self, name: &str, not_before: u64, not_after: u64, jitter: u16) {
        let life = not_after.saturating_sub(not_before);
        let (part, of) = RENEWED_AFTER;
        let jitter = life / JITTER_PARTS * u64::from(jitter) / u64::from(u16::MAX);
        let entry = self.entries.entry(name.to_owned()).or_default();
        entry.renew_at = Some(not_before + life / of * part + jitter);
        entry.ends_at = not_after;
        entry.is_wanted = true;
    }

    /// Its order ended with a certificate: see [`Self::handle_present`].
    pub(crate) fn handle_issued(&mut self, name: &str, now: u64) {
        let entry = self.entries.entry(name.to_owned()).or_default();
        entry.in_progress = false;
        entry.record.failures = 0;
        entry.record.not_before = 0;
        entry.record.issued.retain(|at| now < at.saturating_add(WEEK));
        entry.record.issued.push(now);
    }

    /// Its order failed. Returns when the next one begins.
    pub(crate) fn handle_failed(&mut self, name: &str, retry_after: Option<u64>, now: u64) -> u64 {
        let entry = self.entries.entry(name.to_owned()).or_default();
        entry.in_progress = false;
        let longer = WAIT_FACTOR.saturating_pow(entry.record.failures);
        let wait = FIRST_WAIT.saturating_mul(longer).min(MAX_WAIT);
        entry.record.failures = entry.record.failures.saturating_add(1);
        entry.record.not_before = now + wait.max(retry_after.unwrap_or_default().min(MAX_RETRY_AFTER));
        entry.record.not_before
    }

    /// The operator has mended something: what failed is ordered again at once, within the budgets.
    pub(crate) fn retry_all(&mut self) {
        for entry in self.entries.values_mut() {
            entry.record.not_before = 0;
        }
    }

    /// The next certificate to order now, which is in progress from then on.
    pub(crate) fn poll_start(&mut self, now: u64) -> Option<String> {
        if self.in_progress() >= MAX_IN_PROGRESS {
            return None;
        }
        let due = self.entries.keys().find(|name| self.may_start_at(name, now).is_some_and(|at| at <= now));
        let name = due?.clone();
        self.entries.get_mut(&name)?.in_progress = true;
        Some(name)
    }

    /// When [`Self::poll_start`] may have something; `None` if nothing is wanted, or only once an order ends.
    pub(crate) fn poll_timeout(&self, now: u64) -> Option<u64> {
        if self.in_progress() >= MAX_IN_PROGRESS {
            return None;
        }
        self.entries.keys().filter_map(|name| self.may_start_at(name, now)).min()
    }

    fn in_progress(&self) -> usize {
        self.entries.values().filter(|entry| entry.in_progress).count()
    }

    /// When a certificate can be ordered, by its own wait and by the budgets; `None` if it need not be.
    fn may_start_at(&self, name: &str, now: u64) -> Option<u64> {
        let entry = self.entries.get(name)?;
        let due_at = entry.due_at()?;
        let own = free_at(entry.record.issued.iter().copied(), WEEKLY_SAME, now);
        // A renewal is no new certificate.
        let is_new = entry.renew_at.is_none();
        let all = self.entries.values().flat_map(|entry| entry.record.issued.iter().copied());
        let all = if is_new { free_at(all, WEEKLY_NEW, now) } else { 0 };
        Some(due_at.max(own).max(all))
    }
}

/// When a budget of `limit` a week has room again.
fn free_at(issued: impl Iterator<Item = u64>, limit: usize, now: u64) -> u64 {
    let mut recent: Vec<u64> = issued.filter(|at| now < at.saturating_add(WEEK)).collect();
    recent.sort_unstable();
    let over = (recent.len() + 1).saturating_sub(limit);
    over.checked_sub(1).and_then(|last| recent.get(last)).map_or(0, |at| at.saturating_add(WEEK))
}

#[cfg(test)]
mod tests;
