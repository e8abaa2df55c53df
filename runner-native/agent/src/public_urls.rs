//! The URLs and names that a relay has given, and what is still asked of it.

use std::collections::BTreeMap;

use hvym_tunnel_core::names::{BARE_SERVICE, UrlCheck, UrlError};

/// The URLs of one agent's services at its relay.
pub(crate) struct PublicUrls {
    check: UrlCheck,
    /// The names that its owner wants, in order.
    wanted: Vec<String>,
    /// What the relay answered on this link: where a name leads, or a refusal.
    answers: BTreeMap<String, Option<String>>,
}

impl PublicUrls {
    /// At the relay that is dialled at `host`, and of which the key is known before, or not.
    pub(crate) fn new(host: &str, is_known: bool, wanted: Vec<String>) -> Self {
        Self { check: UrlCheck::new(host, is_known), wanted, answers: BTreeMap::new() }
    }

    /// A session begins. A relay of an older system gives no names; returns those that are wanted of one.
    pub(crate) fn begin(&mut self, is_older: bool) -> Vec<String> {
        self.check.set_older(is_older);
        self.answers.clear();
        let refused = if is_older { self.wanted.clone() } else { Vec::new() };
        self.answers.extend(refused.iter().map(|name| (name.clone(), None)));
        refused
    }

    /// Whether a URL of the relay's may be shown.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(&self, url: &str) -> Result<(), UrlError> {
        let mut outcome = self.check.check(url, None);
        // Host names of its owner's may stand there too.
        for name in &self.wanted {
            outcome = outcome.or_else(|_| self.check.check(url, Some(name)));
        }
        outcome
    }

    /// The relay gave a name. Returns whether it is one that is wanted.
    ///
    /// # Errors
    /// It leads to a URL that is not its own.
    pub(crate) fn grant(&mut self, name: &str, url: &str) -> Result<bool, UrlError> {
        self.check.check(url, Some(name))?;
        Ok(self.answer(name, Some(url.to_owned())))
    }

    /// The relay does not give a name. Returns whether it is one that is wanted.
    pub(crate) fn refuse(&mut self, name: &str) -> bool {
        self.answer(name, None)
    }

    fn answer(&mut self, name: &str, answer: Option<String>) -> bool {
        let is_wanted = self.wanted.iter().any(|wanted| wanted == name);
        if is_wanted {
            self.answers.insert(name.to_owned(), answer);
        }
        is_wanted
    }

    /// Whether the relay has answered for all names.
    pub(crate) fn is_settled(&self) -> bool {
        self.wanted.iter().all(|name| self.answers.contains_key(name))
    }

    /// Where the first of the names leads that the relay gave, if `service` is the one that they lead to.
    pub(crate) fn named(&self, service: &str) -> Option<&str> {
        let given = self.wanted.iter().find_map(|name| self.answers.get(name)?.as_deref());
        given.filter(|_| service == BARE_SERVICE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_that_was_given_is_shown_for_the_service_that_it_leads_to() {
        let names = ["cool-app".to_owned(), "app.example.org".to_owned()];
        let mut urls = PublicUrls::new("tunnel.example", false, names.to_vec());
        assert!(urls.begin(false).is_empty() && !urls.is_settled());
        assert!(urls.refuse("cool-app") && !urls.refuse("other"));
        assert!(urls.named("web").is_none() && !urls.is_settled());
        assert!(urls.grant("app.example.org", "https://evil.example/").is_err());
        assert_eq!(urls.grant("app.example.org", "https://app.example.org/"), Ok(true));
        assert!(urls.is_settled());
        assert_eq!((urls.named("web"), urls.named("api")), (Some("https://app.example.org/"), None));
        assert!(
            urls.check("https://app.example.org/").is_ok() && urls.check("https://example.org/").is_err()
        );
        assert!(urls.begin(false).is_empty() && urls.named("web").is_none(), "another session");
        assert_eq!(urls.begin(true), names, "an older relay gives none");
        assert!(urls.is_settled());
    }
}
