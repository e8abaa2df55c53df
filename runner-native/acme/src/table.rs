//! The certificates that handshakes choose from: by host name, else by the wildcard above it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::sign::CertifiedKey;

/// The protocol that a handshake of the challenge names (RFC 8737 section 4).
pub const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";

/// Certificates by name, and those that answer challenges.
#[derive(Debug, Default)]
pub(crate) struct CertificateTable {
    certificates: RwLock<HashMap<String, Arc<CertifiedKey>>>,
    challenges: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl CertificateTable {
    /// The certificate for `host`, lower case.
    pub(crate) fn certificate(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        let certificates = self.certificates.read().unwrap_or_else(PoisonError::into_inner);
        let wildcard = || certificates.get(&format!("*.{}", host.split_once('.')?.1));
        certificates.get(host).or_else(wildcard).cloned()
    }

    /// The certificate that answers the challenge for `host`.
    pub(crate) fn challenge(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        self.challenges.read().unwrap_or_else(PoisonError::into_inner).get(host).cloned()
    }

    /// From now on this one is shown for these names.
    pub(crate) fn insert(&self, names: &[String], certified: &Arc<CertifiedKey>) {
        let mut certificates = self.certificates.write().unwrap_or_else(PoisonError::into_inner);
        certificates.extend(names.iter().map(|name| (name.clone(), Arc::clone(certified))));
    }

    pub(crate) fn remove(&self, names: &[String]) {
        let mut certificates = self.certificates.write().unwrap_or_else(PoisonError::into_inner);
        certificates.retain(|name, _| !names.contains(name));
    }

    pub(crate) fn insert_challenge(&self, host: String, certified: CertifiedKey) {
        let mut challenges = self.challenges.write().unwrap_or_else(PoisonError::into_inner);
        challenges.insert(host, Arc::new(certified));
    }

    pub(crate) fn remove_challenge(&self, host: &str) {
        self.challenges.write().unwrap_or_else(PoisonError::into_inner).remove(host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::challenge_certificate;

    #[test]
    fn a_name_has_its_own_certificate_or_that_of_the_wildcard_right_above() {
        let table = CertificateTable::default();
        let [wildcard, own] = ["*.t.test", "own.t.test"]
            .map(|name| Arc::new(challenge_certificate(name, "").expect("a certificate")));
        table.insert(&["t.test".to_owned(), "*.t.test".to_owned()], &wildcard);
        table.insert(&["own.t.test".to_owned()], &own);
        let shown = |host: &str| table.certificate(host);
        let is =
            |shown: Option<Arc<CertifiedKey>>, expected| shown.is_some_and(|it| Arc::ptr_eq(&it, expected));
        assert!(
            is(shown("x.t.test"), &wildcard)
                && is(shown("t.test"), &wildcard)
                && is(shown("own.t.test"), &own)
        );
        assert!(["a.x.t.test", "test", "xt.test", ""].into_iter().all(|host| shown(host).is_none()));
        table.remove(&["own.t.test".to_owned()]);
        assert!(is(shown("own.t.test"), &wildcard));
    }

    #[test]
    fn a_challenge_is_shown_as_long_as_it_is_there() {
        let table = CertificateTable::default();
        table.insert_challenge(
            "x.t.test".to_owned(),
            challenge_certificate("x.t.test", "").expect("a certificate"),
        );
        assert!(table.challenge("x.t.test").is_some() && table.certificate("x.t.test").is_none());
        table.remove_challenge("x.t.test");
        assert!(table.challenge("x.t.test").is_none());
    }
}
