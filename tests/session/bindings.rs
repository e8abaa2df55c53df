//! Who serves what when an owner has many sessions: rules one by one, and any sequence of events against a model.

use std::sync::Arc;

use hvym_tunnel_core::dialect::{OnConflict, Proto, Service};
use hvym_tunnel_core::relay::{
    AdmitError, Admitted, Directory, MAX_SESSIONS_OF_ONE, Name, Newcomer, Owner, SUCCESSOR_LIMIT, Serving,
    least_loaded,
};
use hvym_tunnel_core::rng::Rng;
use hvym_tunnel_core::time::Instant;

/// Sequences of one run. `SEQUENCES` overrides it.
const SEQUENCES: u32 = 1000;
const NOW: Instant = Instant::from_millis(1000);
const MODES: [OnConflict; 4] =
    [OnConflict::Takeover, OnConflict::Reject, OnConflict::Pool, OnConflict::Standby];

fn owner(name: &str) -> Owner {
    Owner::Named(name.into())
}

fn service(name: &str, on_conflict: OnConflict) -> Service {
    Service { on_conflict, ..Service::http(name) }
}

/// A directory with a session for each key, each of another program of one owner.
fn sessions(keys: impl IntoIterator<Item = u32>) -> Directory<u32> {
    let mut directory = Directory::new("relay.example");
    for key in keys {
        let newcomer = Newcomer { owner: owner("a"), instance: Some(key.to_string()), keeps_older: false };
        directory.admit(key, newcomer, NOW).expect("room");
    }
    directory
}

/// The sessions that serve visitors of a service.
fn serve(directory: &Directory<u32>, name: &str) -> Vec<u32> {
    match directory.serving(&Name { owner: owner("a"), service: Some(name.to_owned()) }) {
        Serving::By { sessions, .. } => sessions,
        _ => Vec::new(),
    }
}

#[test]
fn programs_of_one_owner_serve_their_own_services_side_by_side() {
    let mut directory = sessions(1..=3);
    assert_eq!(directory.bind(1, &service("web", OnConflict::Takeover)), Ok(vec![]));
    assert_eq!(directory.bind(2, &service("api", OnConflict::Takeover)), Ok(vec![]));
    assert_eq!((serve(&directory, "web"), serve(&directory, "api")), (vec![1], vec![2]));
    assert_eq!(directory.remove(2, NOW), [Arc::from("api")]);
    assert_eq!((serve(&directory, "web"), serve(&directory, "api")), (vec![1], vec![]));
}

#[test]
fn the_newer_one_takes_over_unless_it_asks_to_be_refused() {
    let mut directory = sessions(1..=3);
    assert_eq!(directory.bind(1, &service("web", OnConflict::Takeover)), Ok(vec![]));
    assert_eq!(directory.bind(2, &service("web", OnConflict::Takeover)), Ok(vec![1]));
    assert_eq!(serve(&directory, "web"), [2]);
    assert_eq!(directory.bind(3, &service("web", OnConflict::Reject)), Err(Some(2)));
    assert_eq!(serve(&directory, "web"), [2]);
    assert_eq!(directory.bind(2, &service("web", OnConflict::Reject)), Ok(vec![]), "its own is no conflict");
    // The clean-up of the one that was taken from, late as it may be.
    assert!(directory.remove(1, NOW).is_empty());
    assert_eq!(serve(&directory, "web"), [2]);
    assert_eq!(directory.bind(9, &service("web", OnConflict::Takeover)), Err(None), "nobody logged in");
}

#[test]
fn a_pool_shares_visitors_and_a_standby_waits_its_turn() {
    for (mode, all, left) in
        [(OnConflict::Pool, vec![1, 2, 3], vec![2, 3]), (OnConflict::Standby, vec![1], vec![2])]
    {
        let mut directory = sessions(1..=4);
        for key in 1..=3 {
            assert_eq!(directory.bind(key, &service("web", mode)), Ok(vec![]));
        }
        assert_eq!(serve(&directory, "web"), all);
        assert!(directory.remove(1, NOW).is_empty(), "others have it");
        assert_eq!(serve(&directory, "web"), left);
        directory.set_leaving(2);
        assert_eq!(serve(&directory, "web"), [3], "who goes away serves nobody new");
        // Who says something else takes it from all, but does not disturb the one that goes away by itself.
        assert_eq!(directory.bind(4, &service("web", OnConflict::Takeover)), Ok(vec![3]));
        assert_eq!(serve(&directory, "web"), [4]);
    }
}

#[test]
fn who_carries_something_else_shares_nothing() {
    let pooled = service("web", OnConflict::Pool);
    for other in [
        Service { proto: Proto::H2, ..pooled.clone() },
        Service { public: false, ..pooled.clone() },
        Service { on_conflict: OnConflict::Standby, ..pooled.clone() },
    ] {
        let mut directory = sessions(1..=2);
        assert_eq!(directory.bind(1, &pooled), Ok(vec![]));
        assert_eq!(directory.bind(2, &other), Ok(vec![1]), "{other:?}");
    }
}

#[test]
fn a_newer_session_of_one_program_replaces_its_ghost_at_once() {
    let mut directory = sessions(1..=2);
    for key in 1..=2 {
        directory.bind(key, &service("web", OnConflict::Pool)).expect("bound");
    }
    directory.bind(1, &service("api", OnConflict::Takeover)).expect("bound");
    let again = Newcomer { owner: owner("a"), instance: Some("1".into()), keeps_older: false };
    let admitted = directory.admit(7, again, NOW);
    assert_eq!(admitted, Ok(Admitted { replaced: Some(1), vacant: vec!["api".into()] }));
    assert_eq!(serve(&directory, "web"), [2]);
    let api = Name { owner: owner("a"), service: Some("api".into()) };
    assert_eq!(directory.serving(&api), Serving::Expected { proto: Proto::Http });
    directory.bind(7, &service("api", OnConflict::Takeover)).expect("bound");
    directory.expire(&owner("a"), NOW + SUCCESSOR_LIMIT * 2);
    assert_eq!(serve(&directory, "api"), [7]);
    assert!(directory.remove(1, NOW).is_empty());
    assert_eq!((directory.len(), serve(&directory, "api")), (2, vec![7]));
}

#[test]
fn older_programs_are_one_program_and_may_keep_the_older_session() {
    let mut directory = sessions([]);
    let older = |keeps_older| Newcomer { owner: owner("a"), instance: None, keeps_older };
    assert_eq!(directory.admit(1, older(true), NOW).map(|admitted| admitted.replaced), Ok(None));
    assert_eq!(directory.admit(2, older(true), NOW), Err(AdmitError::Conflict));
    assert_eq!(directory.admit(2, older(false), NOW).map(|admitted| admitted.replaced), Ok(Some(1)));
    directory.set_leaving(2);
    assert_eq!(directory.admit(3, older(true), NOW).map(|admitted| admitted.replaced), Ok(Some(2)));
    let other = Newcomer { instance: Some("x".into()), ..older(true) };
    assert_eq!(directory.admit(4, other, NOW).map(|admitted| admitted.replaced), Ok(None));
}

#[test]
fn an_owner_has_so_many_sessions_and_no_more() {
    let most = u32::try_from(MAX_SESSIONS_OF_ONE).expect("few");
    let mut directory = sessions(1..=most);
    let newcomer = |instance: &str| Newcomer {
        owner: owner("a"),
        instance: Some(instance.to_owned()),
        keeps_older: false,
    };
    assert_eq!(directory.admit(most + 1, newcomer("new"), NOW), Err(AdmitError::TooMany));
    assert_eq!(directory.admit(most + 1, newcomer("1"), NOW).map(|admitted| admitted.replaced), Ok(Some(1)));
    assert_eq!(directory.admit(most + 2, newcomer("new"), NOW), Err(AdmitError::TooMany));
    directory.remove(2, NOW);
    assert!(directory.admit(most + 2, newcomer("new"), NOW).is_ok());
    let other = Newcomer { owner: owner("b"), ..newcomer("new") };
    assert!(directory.admit(most + 3, other, NOW).is_ok());
}

#[test]
fn the_service_called_web_has_the_bare_address_and_else_the_first_bound() {
    let mut directory = sessions(1..=2);
    let bare =
        |directory: &Directory<u32>| match directory.serving(&Name { owner: owner("a"), service: None }) {
            Serving::By { service, .. } => service.to_string(),
            other => format!("{other:?}"),
        };
    assert_eq!(bare(&directory), "Unbound");
    let private = Service { public: false, ..Service::http("secret") };
    for service in [Service::tcp("db"), private, Service::http("api"), Service::http("docs")] {
        directory.bind(1, &service).expect("bound");
    }
    assert_eq!(bare(&directory), "api");
    directory.bind(2, &Service::http("web")).expect("bound");
    assert_eq!(bare(&directory), "web");
    directory.remove(2, NOW);
    assert!(directory.unbind(1, "api") && !directory.unbind(2, "docs"));
    assert_eq!(bare(&directory), "docs");
    let name = |service: &str| Name { owner: owner("a"), service: Some(service.to_owned()) };
    assert_eq!(directory.serving(&name("secret")), Serving::Unbound, "visitors do not reach it");
    assert!(matches!(directory.serving_for_identities(&owner("a"), "secret"), Serving::By { .. }));
}

#[test]
fn the_least_loaded_is_chosen_and_of_several_each_in_turn() {
    let choose = |loads: &[usize], turn| least_loaded(loads.iter().copied(), turn);
    assert_eq!(choose(&[], 0), None);
    assert_eq!((0..3).map(|turn| choose(&[4, 1, 2], turn)).collect::<Vec<_>>(), [Some(1); 3]);
    let turns = (0..5).map(|turn| choose(&[1, 3, 1, 1], turn));
    assert_eq!(turns.collect::<Vec<_>>(), [Some(0), Some(2), Some(3), Some(0), Some(2)]);
}

/// The same rules over flat lists.
#[derive(Default)]
struct Model {
    /// Key, owner, instance, whether it goes away; oldest first.
    sessions: Vec<(u32, u8, Option<String>, bool)>,
    /// Owner, name, key and what was said, in the order of binding.
    holds: Vec<(u8, String, u32, Service)>,
    /// What may be back, and until when.
    expected: Vec<(u8, String, Instant, Proto, bool)>,
    /// Services in the order in which they were bound first.
    order: Vec<(u8, String)>,
}

impl Model {
    fn is_leaving(&self, key: u32) -> bool {
        self.sessions.iter().any(|(known, .., leaving)| *known == key && *leaving)
    }

    fn take_out(&mut self, key: u32, is_followed: bool, now: Instant) -> Vec<String> {
        self.sessions.retain(|(known, ..)| *known != key);
        let (gone, left): (Vec<_>, Vec<_>) = self.holds.drain(..).partition(|(.., holder, _)| *holder == key);
        self.holds = left;
        let mut vacant = Vec::new();
        for (owner, name, _, said) in gone {
            if !self.holds.iter().any(|(o, n, ..)| *o == owner && *n == name) {
                if is_followed {
                    let until = now + SUCCESSOR_LIMIT;
                    self.expected.push((owner, name.clone(), until, said.proto, said.public));
                }
                vacant.push(name);
            }
        }
        self.tidy();
        vacant
    }

    fn tidy(&mut self) {
        let (holds, expected) = (&self.holds, &self.expected);
        self.order.retain(|(owner, name)| {
            holds.iter().any(|(o, n, ..)| o == owner && n == name)
                || expected.iter().any(|(o, n, ..)| o == owner && n == name)
        });
    }

    fn admit(
        &mut self,
        key: u32,
        who: u8,
        instance: Option<String>,
        now: Instant,
    ) -> (Option<u32>, Vec<String>) {
        let same =
            |(_, owner, known, _): &&(u32, u8, Option<String>, bool)| *owner == who && *known == instance;
        let older = self.sessions.iter().find(same).map(|(older, ..)| *older);
        let vacant = older.map(|older| self.take_out(older, true, now)).unwrap_or_default();
        self.sessions.push((key, who, instance, false));
        (older, vacant)
    }

    fn bind(&mut self, key: u32, said: &Service) -> Result<Vec<u32>, Option<u32>> {
        let Some((_, who, ..)) = self.sessions.iter().find(|(known, ..)| *known == key) else {
            return Err(None);
        };
        let who = *who;
        let is_it = |hold: &(u8, String, u32, Service)| hold.0 == who && hold.1 == said.name;
        let others: Vec<_> = self.holds.iter().filter(|hold| is_it(hold) && hold.2 != key).cloned().collect();
        let live: Vec<u32> = others.iter().map(|hold| hold.2).filter(|key| !self.is_leaving(*key)).collect();
        if said.on_conflict == OnConflict::Reject && !live.is_empty() {
            return Err(live.first().copied());
        }
        let is_shared = matches!(said.on_conflict, OnConflict::Pool | OnConflict::Standby)
            && others.iter().all(|hold| hold.3 == *said);
        if !is_shared {
            self.holds.retain(|hold| !is_it(hold) || hold.2 == key);
        }
        match self.holds.iter_mut().find(|hold| is_it(hold) && hold.2 == key) {
            Some(hold) => hold.3 = said.clone(),
            None => self.holds.push((who, said.name.clone(), key, said.clone())),
        }
        self.expected.retain(|(owner, name, ..)| *owner != who || *name != said.name);
        if !self.order.contains(&(who, said.name.clone())) {
            self.order.push((who, said.name.clone()));
        }
        Ok(if is_shared { Vec::new() } else { live })
    }

    fn unbind(&mut self, key: u32, name: &str) -> bool {
        let Some(hold) = self.holds.iter().position(|hold| hold.2 == key && hold.1 == name) else {
            return false;
        };
        let (who, ..) = self.holds.remove(hold);
        self.tidy();
        !self.holds.iter().any(|(o, n, ..)| *o == who && n == name)
    }

    /// Whether visitors see it, and what it carries.
    fn seen(&self, who: u8, name: &str) -> Option<(bool, Proto)> {
        let held = self.holds.iter().find(|(o, n, ..)| *o == who && n == name);
        let expected = self.expected.iter().find(|(o, n, ..)| *o == who && n == name);
        held.map(|(.., said)| (said.public, said.proto))
            .or(expected.map(|(.., proto, public)| (*public, *proto)))
    }

    fn serving(&self, who: u8, name: Option<&str>, is_visitor: bool) -> Serving<u32> {
        let mut browsable = self.order.iter().filter(|(owner, name)| {
            *owner == who && self.seen(who, name).is_some_and(|(public, proto)| public && proto != Proto::Tcp)
        });
        let name = match name {
            Some(name) => Some(name.to_owned()),
            None if browsable.clone().any(|(_, name)| name == "web") => Some("web".to_owned()),
            None => browsable.next().map(|(_, name)| name.clone()),
        };
        let absent = match self.sessions.iter().any(|(_, owner, ..)| *owner == who) {
            true => Serving::Unbound,
            false => Serving::Absent,
        };
        let Some(name) = name else { return absent };
        let Some((public, proto)) = self.seen(who, &name) else { return absent };
        if is_visitor && !public {
            return absent;
        }
        let holds = || self.holds.iter().filter(|(o, n, ..)| *o == who && *n == name);
        let is_pool = holds().any(|(.., said)| said.on_conflict == OnConflict::Pool);
        let live = holds().map(|hold| hold.2).filter(|key| !self.is_leaving(*key));
        let sessions: Vec<u32> = live.take(if is_pool { usize::MAX } else { 1 }).collect();
        match sessions.is_empty() {
            true => Serving::Expected { proto },
            false => Serving::By { service: name.as_str().into(), proto, sessions },
        }
    }
}

#[test]
fn whatever_sessions_do_the_directory_says_what_a_simple_model_says() {
    let sequences = std::env::var("SEQUENCES").ok().and_then(|text| text.parse().ok()).unwrap_or(SEQUENCES);
    let mut outcomes = std::collections::BTreeSet::new();
    for number in 0..sequences {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        let data: [u8; 240] = Rng::new(seed).bytes();
        let (mut directory, mut model, mut now) = (Directory::new("relay.example"), Model::default(), NOW);
        for (step, bytes) in data.chunks_exact(4).enumerate() {
            let at = format!("sequence {number}, step {step}");
            let key = u32::from(bytes[1] % 8);
            let name = ["web", "api", "db"][usize::from(bytes[2] % 3)];
            match bytes[0] % 8 {
                0 | 1 => {
                    let key = 8 + u32::try_from(step).expect("few");
                    let (who, instance) = (bytes[1] & 1, bytes[2] % 4);
                    let instance = (instance > 0).then(|| instance.to_string());
                    let newcomer = Newcomer {
                        owner: owner(&who.to_string()),
                        instance: instance.clone(),
                        keeps_older: false,
                    };
                    let theirs = directory.admit(key, newcomer, now).expect("few");
                    let (replaced, vacant) = model.admit(key, who, instance, now);
                    assert_eq!(theirs.replaced, replaced, "{at}");
                    assert_eq!(sorted(&theirs.vacant), sorted(&vacant), "{at}");
                    outcomes.insert(if replaced.is_some() { "replaced" } else { "admitted" });
                }
                2..=4 => {
                    let key = live(&model, key);
                    let said = Service {
                        on_conflict: MODES[usize::from(bytes[3] % 4)],
                        proto: [Proto::Http, Proto::Http, Proto::H2, Proto::Tcp]
                            [usize::from(bytes[3] / 4 % 4)],
                        public: bytes[3] < 224,
                        ..Service::http(name)
                    };
                    let (theirs, ours) = (directory.bind(key, &said), model.bind(key, &said));
                    assert_eq!(theirs, ours, "{at}");
                    outcomes.insert(match ours {
                        Ok(taken) if taken.is_empty() => "bound",
                        Ok(_) => "taken over",
                        Err(Some(_)) => "refused",
                        Err(None) => "nobody",
                    });
                }
                5 => {
                    let key = live(&model, key);
                    assert_eq!(directory.unbind(key, name), model.unbind(key, name), "{at}");
                }
                6 if bytes[2] & 1 == 0 => {
                    let key = live(&model, key);
                    directory.set_leaving(key);
                    let leaving = model.sessions.iter_mut().find(|(known, ..)| *known == key);
                    leaving.into_iter().for_each(|session| session.3 = true);
                }
                6 => {
                    now = now + SUCCESSOR_LIMIT / 3;
                    (0..2).for_each(|who| directory.expire(&owner(&who.to_string()), now));
                    model.expected.retain(|(_, _, until, ..)| now < *until);
                    model.tidy();
                }
                _ => {
                    let key = live(&model, key);
                    let is_followed = model.is_leaving(key);
                    let (theirs, ours) = (directory.remove(key, now), model.take_out(key, is_followed, now));
                    assert_eq!(sorted(&theirs), sorted(&ours), "{at}");
                }
            }
            assert_eq!(directory.len(), model.sessions.len(), "{at}");
            for (who, name) in [0, 1].into_iter().flat_map(|who| {
                [None, Some("web"), Some("api"), Some("db")].into_iter().map(move |name| (who, name))
            }) {
                let asked = Name { owner: owner(&who.to_string()), service: name.map(str::to_owned) };
                let theirs = directory.serving(&asked);
                assert_eq!(theirs, model.serving(who, name, true), "{at}: {asked:?}");
                outcomes.insert(match theirs {
                    Serving::By { sessions, .. } if sessions.len() > 1 => "shared",
                    Serving::By { .. } => "served",
                    Serving::Expected { .. } => "expected",
                    Serving::Unbound => "unbound",
                    Serving::Absent => "absent",
                });
                if let Some(name) = name {
                    let theirs = directory.serving_for_identities(&asked.owner, name);
                    assert_eq!(theirs, model.serving(who, Some(name), false), "{at}: {asked:?}");
                }
            }
        }
    }
    assert_eq!(outcomes.len(), 11, "not all was reached: {outcomes:?}");
}

fn sorted<T: ToString>(names: &[T]) -> Vec<String> {
    let mut names: Vec<String> = names.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

/// A session that is there, or now and then one that is not.
fn live(model: &Model, number: u32) -> u32 {
    let count = model.sessions.len().max(1);
    let at = usize::try_from(number).expect("small");
    if at == 7 { 9999 } else { model.sessions.get(at % count).map_or(9999, |(key, ..)| *key) }
}
