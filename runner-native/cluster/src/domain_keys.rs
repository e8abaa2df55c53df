//! The custom domains that HVYM's server records in Redis: which part of them to read next, and which of them lead to whom. Their shape is
//! recorded from that server.
//!
//! It has no clock and no socket, and does not know whose domains a relay knows by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use hvym_tunnel_core::names::{CustomHost, MAX_NAMES};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::Instant;
use serde::Deserialize;

/// What precedes the domain in the key of its record.
pub(crate) const DOMAIN_PREFIX: &str = "hvym_tunnel:domain:";
/// How often all of them are read again, which is how late a domain comes and goes: their owners have just changed DNS, which takes longer.
const RESCAN_AFTER: Duration = Duration::from_secs(5);
/// Bytes of a record. One has 400 and its domain twice.
const MAX_RECORD_BYTES: usize = 4096;
/// The status of a domain whose owner has proven that it is its own.
const VERIFIED: &str = "verified";

/// What HVYM's server says of a domain. Other members are for that server alone.
#[derive(Deserialize)]
struct CustomDomain {
    domain: String,
    stellar_address: String,
    status: String,
}

/// A part of the records.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DomainPage {
    /// Where the next part begins; 0 after the last.
    pub(crate) next: u64,
    /// The keys, and what they hold.
    pub(crate) records: Vec<(String, String)>,
}

/// Reads all records, part by part, again and again.
pub struct DomainScan {
    cursor: u64,
    found: BTreeMap<CustomHost, Address>,
    due: Instant,
}

impl DomainScan {
    /// Nothing is read yet.
    pub fn new(now: Instant) -> Self {
        Self { cursor: 0, found: BTreeMap::new(), due: now }
    }

    /// Which part is to be read now, if any: the cursor of Redis' `SCAN`.
    pub fn poll_cursor(&self, now: Instant) -> Option<u64> {
        (self.cursor != 0 || now >= self.due).then_some(self.cursor)
    }

    /// A part was read. Returns the domains that are verified, and their owners, if it was the last one.
    pub fn handle_page(&mut self, page: &DomainPage, now: Instant) -> Option<BTreeMap<CustomHost, Address>> {
        for (key, record) in &page.records {
            if self.found.len() < MAX_NAMES
                && let Some((host, owner)) = verified(key, record)
            {
                self.found.insert(host, owner);
            }
        }
        self.cursor = page.next;
        if page.next != 0 {
            return None;
        }
        self.due = now + RESCAN_AFTER;
        Some(std::mem::take(&mut self.found))
    }
}

/// The domain of a record, and its owner, if that is verified.
fn verified(key: &str, record: &str) -> Option<(CustomHost, Address)> {
    let name = key.strip_prefix(DOMAIN_PREFIX).filter(|_| record.len() <= MAX_RECORD_BYTES)?;
    let CustomDomain { domain, stellar_address, status } = serde_json::from_str(record).ok()?;
    let host = CustomHost::new(name).ok().filter(|host| host.as_str() == name && domain == name)?;
    Some((host, stellar_address.parse().ok()?)).filter(|_| status == VERIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Address = Address::from_public_key([7; 32]);

    /// As `json.dumps` of Python writes it.
    fn record(domain: &str, status: &str) -> (String, String) {
        let text = format!(
            r#"{{"domain": "{domain}", "stellar_address": "{OWNER}", "status": "{status}", "verification_method": "cname", "verification_token": "Pu14_PnHfJM8NOxRB3wbLwP6LAiU77qg8YZ5TNsFd00", "created_at": "2026-11-21T09:52:45.558886+00:00", "verified_at": null, "last_checked_at": null, "ssl_provisioned": false, "ssl_expires_at": null}}"#
        );
        (format!("{DOMAIN_PREFIX}{domain}"), text)
    }

    #[test]
    fn a_verified_record_leads_to_its_owner_and_nothing_else_does() {
        let (key, text) = record("gallery.example.com", VERIFIED);
        let host = CustomHost::new("gallery.example.com").expect("a host");
        assert_eq!(verified(&key, &text), Some((host, OWNER)));
        assert_eq!(verified(&key, &record("gallery.example.com", "pending_verification").1), None);
        assert_eq!(verified(&key, &record("other.example.com", VERIFIED).1), None, "it is of another key");
        assert_eq!(verified(&format!("{DOMAIN_PREFIX}x"), &record("x", VERIFIED).1), None);
        let upper = record("Gallery.example.com", VERIFIED);
        assert_eq!(verified(&upper.0, &upper.1), None, "they are in lower case");
        for other in ["", "[]", "{}", &text.replace(&OWNER.to_string(), "G"), &text[1..]] {
            assert_eq!(verified(&key, other), None, "{other}");
        }
        let padded = |bytes: usize| format!("{text}{}", " ".repeat(bytes - text.len()));
        assert!(verified(&key, &padded(MAX_RECORD_BYTES)).is_some());
        assert!(verified(&key, &padded(MAX_RECORD_BYTES + 1)).is_none());
    }

    #[test]
    fn the_records_are_known_when_the_last_part_was_read_and_read_again_later() {
        let (mut scan, now) = (DomainScan::new(Instant::ZERO), Instant::ZERO);
        assert_eq!(scan.poll_cursor(now), Some(0));
        let page = |next, domain| DomainPage { next, records: vec![record(domain, VERIFIED)] };
        assert_eq!(scan.handle_page(&page(7, "a.example.com"), now), None);
        assert_eq!(scan.poll_cursor(now), Some(7));
        let all = scan.handle_page(&page(0, "b.example.com"), now).expect("it was the last part");
        assert_eq!(
            all.keys().map(CustomHost::as_str).collect::<Vec<_>>(),
            ["a.example.com", "b.example.com"]
        );
        assert_eq!(scan.poll_cursor(now + (RESCAN_AFTER - Duration::from_millis(1))), None);
        let later = now + RESCAN_AFTER;
        assert_eq!(scan.poll_cursor(later), Some(0));
        assert_eq!(scan.handle_page(&DomainPage::default(), later), Some(BTreeMap::new()), "they are gone");
    }

    #[test]
    fn no_more_domains_are_taken_than_a_relay_keeps_names() {
        let mut scan = DomainScan::new(Instant::ZERO);
        let records = (0..=MAX_NAMES).map(|number| record(&format!("n{number}.example.com"), VERIFIED));
        let page = DomainPage { next: 0, records: records.collect() };
        let all = scan.handle_page(&page, Instant::ZERO).expect("it was the last part");
        assert_eq!(all.len(), MAX_NAMES);
    }
}
