//! Settings that change while a program runs: what is applied is exactly the difference, and what is wrong changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use hvym_tunnel_net::target::ServiceName;
use hvym_tunnel_settings::{Change, LinkEntry, ServiceEntry, Settings, difference, parse};
use proptest::prelude::*;

const FILE: &str = r#"version = 1

[[link]]
name = "home"
relay = "tunnel.example"
reconnect_delay = 2

[[link]]
name = "cloud"
relay = "wss://app.example"
dialect = "cloud"

[[service]]
name = "web"
target = "3000"
link = "home"

[[service]]
name = "api"
target = "3001"
link = "home"
allow_cidr = ["10.0.0.0/8"]

[[service]]
name = "ollama"
target = "http://localhost:11434"
link = "cloud"
probe = "ollama"

[health]
interval = 30

[api]
port = 8765

[[hooks.ready]]
url = "http://localhost:9999/hook"
"#;

fn settings(text: &str) -> Settings {
    parse(text, Path::new("config.toml"), &[]).unwrap_or_else(|error| panic!("{error}\n{text}")).settings
}

/// What runs: the links and their services.
#[derive(Clone, PartialEq, Debug, Default)]
struct Running {
    links: BTreeMap<String, (LinkEntry, BTreeMap<String, ServiceEntry>)>,
    sections: Settings,
    /// How often each link was dialled.
    dials: BTreeMap<String, u32>,
}

impl Running {
    fn start(settings: &Settings) -> Self {
        let mut running = Running::default();
        for change in difference(&Settings::default(), settings) {
            running.apply(&change, settings);
        }
        running.sections = only_sections(settings);
        running
    }

    fn dial(&mut self, name: &ServiceName, new: &Settings) {
        let link = new.links.iter().find(|link| link.name == *name).expect("the link is there");
        let services = new.services_of(link).filter(|service| service.enabled);
        let services = services.map(|service| (service.name.to_string(), plain(service))).collect();
        self.links.insert(name.to_string(), (link.clone(), services));
        *self.dials.entry(name.to_string()).or_default() += 1;
    }

    fn apply(&mut self, change: &Change, new: &Settings) {
        let service = |link: &ServiceName, service: &ServiceName| {
            let link = new.links.iter().find(|known| known.name == *link).expect("the link is there");
            plain(new.services_of(link).find(|known| known.name == *service).expect("the service is there"))
        };
        match change {
            Change::LinkRemoved(name) => {
                assert!(self.links.remove(name.as_str()).is_some(), "{name} did not run");
            }
            Change::LinkAdded(name) => {
                assert!(!self.links.contains_key(name.as_str()), "{name} runs already");
                self.dial(name, new);
            }
            Change::LinkChanged(name) => {
                assert!(self.links.contains_key(name.as_str()), "{name} did not run");
                self.dial(name, new);
            }
            Change::ServiceRemoved { link, service } => {
                let (_, services) = self.links.get_mut(link.as_str()).expect("the link runs");
                assert!(services.remove(service.as_str()).is_some(), "{service} was not offered");
            }
            Change::ServiceAdded { link, service: name } => {
                let entry = service(link, name);
                let (_, services) = self.links.get_mut(link.as_str()).expect("the link runs");
                assert!(services.insert(name.to_string(), entry).is_none(), "{name} was offered already");
            }
            Change::ServiceChanged { link, service: name } => {
                let entry = service(link, name);
                let (_, services) = self.links.get_mut(link.as_str()).expect("the link runs");
                assert!(services.insert(name.to_string(), entry).is_some(), "{name} was not offered");
            }
            Change::Api { .. } => self.sections.api = new.api.clone(),
            Change::Health => self.sections.health = new.health.clone(),
            Change::Alerts => self.sections.alerts = new.alerts.clone(),
            Change::Hooks => self.sections.hooks = new.hooks.clone(),
            Change::Log => self.sections.log = new.log.clone(),
            Change::Ui => self.sections.ui = new.ui.clone(),
            Change::Start => self.sections.start = new.start.clone(),
            Change::Limits => self.sections.limits = new.limits.clone(),
            other => panic!("{other:?} is not known here"),
        }
    }
}

/// How a service is offered, however it names its link.
fn plain(service: &ServiceEntry) -> ServiceEntry {
    ServiceEntry { link: None, ..service.clone() }
}

fn only_sections(settings: &Settings) -> Settings {
    Settings { links: Vec::new(), services: Vec::new(), ..settings.clone() }
}

fn changes(before: &str, after: &str) -> Vec<Change> {
    difference(&settings(before), &settings(after))
}

fn name(text: &str) -> ServiceName {
    text.parse().expect("a name")
}

#[test]
fn the_same_settings_change_nothing() {
    assert_eq!(changes(FILE, FILE), []);
    let commented = FILE
        .replace("port = 8765", "port = 8765 # theirs")
        .replace("[[service]]\nname = \"web\"", "# mine\n[[service]]\nname = \"web\"");
    assert_eq!(changes(FILE, &commented), []);
}

#[test]
fn a_service_that_comes_goes_or_changes_touches_no_other() {
    let (home, api) = (name("home"), name("api"));
    let without = FILE.replace(
        "[[service]]\nname = \"api\"\ntarget = \"3001\"\nlink = \"home\"\nallow_cidr = [\"10.0.0.0/8\"]\n",
        "",
    );
    assert_eq!(
        changes(FILE, &without),
        [Change::ServiceRemoved { link: home.clone(), service: api.clone() }]
    );
    assert_eq!(changes(&without, FILE), [Change::ServiceAdded { link: home.clone(), service: api.clone() }]);
    let other = FILE.replace("target = \"3001\"", "target = \"3002\"");
    assert_eq!(changes(FILE, &other), [Change::ServiceChanged { link: home.clone(), service: api.clone() }]);
    let off = FILE.replace("target = \"3001\"", "target = \"3001\"\nenabled = false");
    assert_eq!(changes(FILE, &off), [Change::ServiceRemoved { link: home, service: api }]);
}

#[test]
fn a_link_is_dialled_anew_only_if_its_own_settings_or_its_first_service_are_others() {
    let home = || Change::LinkChanged(name("home"));
    assert_eq!(changes(FILE, &FILE.replace("reconnect_delay = 2", "reconnect_delay = 3")), [home()]);
    let first = FILE.replace("name = \"web\"", "name = \"site\"");
    assert_eq!(changes(FILE, &first), [home()], "the bare address leads to another service");
    let off = FILE.replace("dialect = \"cloud\"", "dialect = \"cloud\"\nenabled = false");
    assert_eq!(changes(FILE, &off), [Change::LinkRemoved(name("cloud"))]);
    assert_eq!(changes(&off, FILE), [Change::LinkAdded(name("cloud"))]);
}

#[test]
fn a_service_that_moves_leaves_its_link_before_it_comes_to_the_other() {
    let moved = FILE.replace("target = \"3001\"\nlink = \"home\"\n", "target = \"3001\"\nlink = \"spare\"\n");
    let moved = format!("{moved}\n[[link]]\nname = \"spare\"\nrelay = \"spare.example\"\n");
    let expected = [
        Change::ServiceRemoved { link: name("home"), service: name("api") },
        Change::LinkAdded(name("spare")),
    ];
    assert_eq!(changes(FILE, &moved), expected);
}

#[test]
fn a_section_is_applied_alone_and_only_another_place_moves_the_api() {
    let edit = |from: &str, to: &str| changes(FILE, &FILE.replace(from, to));
    assert_eq!(edit("port = 8765", "port = 8766"), [Change::Api { rebind: true }]);
    assert_eq!(edit("port = 8765", "port = 8765\nlocal_read = false"), [Change::Api { rebind: false }]);
    assert_eq!(edit("interval = 30", "interval = 31"), [Change::Health]);
    assert_eq!(edit("/hook", "/other"), [Change::Hooks]);
}

/// One edit of a text, as an editor, a script or a failing disk makes it.
#[derive(Clone, Debug)]
enum Edit {
    RemoveLine(usize),
    RepeatLine(usize),
    SwapLines(usize, usize),
    Replace(usize, u8),
    Cut(usize),
    Insert(usize, &'static str),
    Number(usize, i64),
}

const SNIPPETS: [&str; 12] = [
    "[[link]]\nname = \"third\"\nrelay = \"third.example\"",
    "[[service]]\nname = \"extra\"\ntarget = \"4000\"\nlink = \"home\"",
    "[[service]]\nname = \"web\"\ntarget = \"4001\"\nlink = \"cloud\"",
    "enabled = false",
    "public = false",
    "link = \"cloud\"",
    "[log]\nlevel = \"debug\"",
    "[limits]\nrequest_timeout = 5",
    "unknown = 1",
    "\"\"\"",
    "[api.x]",
    "port = 9000",
];

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        any::<usize>().prop_map(Edit::RemoveLine),
        any::<usize>().prop_map(Edit::RepeatLine),
        any::<(usize, usize)>().prop_map(|(a, b)| Edit::SwapLines(a, b)),
        any::<(usize, u8)>().prop_map(|(at, byte)| Edit::Replace(at, byte)),
        any::<usize>().prop_map(Edit::Cut),
        (any::<usize>(), 0..SNIPPETS.len()).prop_map(|(at, n)| Edit::Insert(at, SNIPPETS[n])),
        (any::<usize>(), -1_i64..100_000).prop_map(|(at, number)| Edit::Number(at, number)),
    ]
}

impl Edit {
    fn apply(&self, text: &str) -> String {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let count = lines.len().max(1);
        match self {
            Edit::Cut(at) => {
                let at = at % (text.len() + 1);
                return (0..=at).rev().find_map(|at| text.get(..at)).unwrap_or_default().to_owned();
            }
            Edit::Replace(at, byte) => {
                let mut bytes = text.as_bytes().to_vec();
                let length = bytes.len().max(1);
                if let Some(place) = bytes.get_mut(at % length) {
                    *place = *byte;
                }
                return String::from_utf8_lossy(&bytes).into_owned();
            }
            Edit::RemoveLine(at) if !lines.is_empty() => {
                lines.remove(at % count);
            }
            Edit::RepeatLine(at) if !lines.is_empty() => lines.insert(at % count, lines[at % count].clone()),
            Edit::SwapLines(a, b) if !lines.is_empty() => lines.swap(a % count, b % count),
            Edit::Insert(at, snippet) => lines.insert(at % (lines.len() + 1), (*snippet).to_owned()),
            Edit::Number(at, number) => {
                let numbered: Vec<usize> =
                    (0..lines.len()).filter(|n| lines[*n].ends_with(|c: char| c.is_ascii_digit())).collect();
                if let Some(line) = numbered.get(at % numbered.len().max(1)) {
                    let key = lines[*line].split('=').next().unwrap_or_default().trim().to_owned();
                    lines[*line] = format!("{key} = {number}");
                }
            }
            Edit::RemoveLine(_) | Edit::RepeatLine(_) | Edit::SwapLines(..) => {}
        }
        lines.join("\n") + "\n"
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn edits_of_any_kind_never_crash_and_are_applied_whole_or_not_at_all(edits in prop::collection::vec(edit(), 1..8)) {
        let (mut text, mut current) = (FILE.to_owned(), settings(FILE));
        let mut running = Running::start(&current);
        for edit in edits {
            text = edit.apply(&text);
            let parsed = parse(&text, Path::new("config.toml"), &[]);
            let Ok(loaded) = parsed else {
                // What is wrong is told, and what ran runs on.
                prop_assert!(!parsed.expect_err("mistakes").list.is_empty());
                continue;
            };
            let new = loaded.settings;
            let before = running.clone();
            let changes = difference(&current, &new);
            for change in &changes {
                running.apply(change, &new);
            }
            let fresh = Running::start(&new);
            prop_assert_eq!(&running.links, &fresh.links, "{}", text);
            prop_assert_eq!(&running.sections, &only_sections(&new));
            for (name, link) in &fresh.links {
                let is_same = before.links.get(name) == Some(link) && settings_first(&current, name) == settings_first(&new, name);
                prop_assert!(!is_same || running.dials.get(name) == before.dials.get(name), "{} was dialled for nothing", name);
            }
            prop_assert_eq!(difference(&new, &new), vec![]);
            current = new;
        }
    }
}

fn settings_first(settings: &Settings, link: &str) -> Option<String> {
    let link = settings.links.iter().find(|known| known.name.as_str() == link)?;
    settings.services_of(link).find(|service| service.enabled).map(|service| service.name.to_string())
}
