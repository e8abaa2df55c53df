//! When hooks are due: compares where services can be reached with where they could the last time.

use std::collections::BTreeMap;

use crate::settings::HookTrigger;

/// A service that can be reached, or no more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HookEvent {
    /// By which link.
    pub(crate) link: String,
    /// Which.
    pub(crate) service: String,
    /// Where it is reached, or was.
    pub(crate) url: String,
    /// Which hooks are due.
    pub(crate) due: Vec<HookTrigger>,
}

/// Where services could be reached the last time.
#[derive(Debug, Default)]
pub(crate) struct HookBook {
    /// By link and service: the last URL, and whether it is reached there now.
    known: BTreeMap<(String, String), (String, bool)>,
}

impl HookBook {
    /// Services are reached at these URLs now, and no others are.
    pub(crate) fn handle(&mut self, current: &BTreeMap<(String, String), String>) -> Vec<HookEvent> {
        let mut events = Vec::new();
        for (key, (url, is_up)) in &mut self.known {
            if *is_up && !current.contains_key(key) {
                *is_up = false;
                events.push(event(key, url, vec![HookTrigger::Down]));
            }
        }
        for (key, url) in current {
            let due = match self.known.get(key) {
                None => vec![HookTrigger::First, HookTrigger::Changed, HookTrigger::Every],
                Some((before, _)) if before != url => vec![HookTrigger::Changed, HookTrigger::Every],
                Some((_, false)) => vec![HookTrigger::Every],
                Some((_, true)) => continue,
            };
            self.known.insert(key.clone(), (url.clone(), true));
            events.push(event(key, url, due));
        }
        events
    }

    /// A service is no more.
    pub(crate) fn retain(&mut self, is_there: impl Fn(&str, &str) -> bool) {
        self.known.retain(|(link, service), _| is_there(link, service));
    }
}

fn event((link, service): &(String, String), url: &str, due: Vec<HookTrigger>) -> HookEvent {
    HookEvent { link: link.clone(), service: service.clone(), url: url.to_owned(), due }
}

#[cfg(test)]
mod tests {
    use HookTrigger::{Changed, Down, Every, First};

    use super::*;

    #[test]
    fn hooks_are_due_at_the_first_url_at_another_and_at_each_return() {
        let mut book = HookBook::default();
        let mut due = |url: Option<&str>| -> Vec<HookTrigger> {
            let key = ("link".to_owned(), "web".to_owned());
            let current = url.map(|url| (key, url.to_owned())).into_iter().collect();
            book.handle(&current).into_iter().flat_map(|event| event.due).collect()
        };
        assert_eq!(due(None), []);
        assert_eq!(due(Some("a")), [First, Changed, Every]);
        assert_eq!(due(Some("a")), []);
        assert_eq!(due(None), [Down]);
        assert_eq!(due(None), []);
        assert_eq!(due(Some("a")), [Every]);
        assert_eq!(due(Some("b")), [Changed, Every]);
    }
}
