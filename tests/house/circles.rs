//! Files of a crate do not import each other in circles.
//!
//! A file that declares others (`mod.rs`, `lib.rs`, `link.rs` beside `link/`) is their facade: it names them, and they
//! name it, because what several of them share stands there. Such arrows between a file and those below it are not
//! counted. An import through a facade counts as an import of the file that defines the name.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{assert_none, product, words};

/// Folders of sources, each one crate.
const CRATES: [&str; 19] = [
    "core/src",
    "core/yamux/src",
    "core/http1/src",
    "core/websocket/src",
    "core/dns/src",
    "core/pages/src",
    "core/compat/src",
    "runner-native/net/src",
    "runner-native/acme/src",
    "runner-native/agent/src",
    "runner-native/manager/src",
    "runner-native/cluster/src",
    "runner-native/registry/src",
    "runner-native/relay/src",
    "runner-native/settings/src",
    "runner-native/state/src",
    "runner-native/cli/src",
    "runner-wasm/src",
    "xtask/src",
];

/// Crates whose folders form circles through their facades still: the agent, whose settings name its services, and the
/// program.
const FOLDER_CIRCLES: [&str; 2] = ["runner-native/agent/src", "runner-native/cli/src"];

/// A module by its names from the root of the crate.
type Module = Vec<String>;

/// The modules of a crate, each with its bare text.
struct Crate(BTreeMap<Module, String>);

impl Crate {
    /// From paths below the root of the sources.
    fn new(files: impl IntoIterator<Item = (String, String)>) -> Self {
        Crate(files.into_iter().map(|(path, bare)| (module(&path), bare)).collect())
    }

    /// The modules that `from` imports, without those above and below it.
    fn imports(&self, from: &Module, bare: &str) -> BTreeSet<Module> {
        let paths = paths(bare).into_iter().filter_map(|path| absolute(from, &path));
        let targets = paths.filter_map(|path| self.definition(&path));
        targets.filter(|to| !to.starts_with(from) && !from.starts_with(to)).collect()
    }

    /// The module that defines what a path names, as far as its text tells.
    fn definition(&self, path: &[String]) -> Option<Module> {
        let length = (0..=path.len()).rev().find(|length| self.0.contains_key(&path[..*length]))?;
        let found = path[..length].to_vec();
        let Some(name) = path.get(length) else { return Some(found) };
        if defines(&self.0[&found], name) {
            return Some(found);
        }
        // A facade gives on what one of its files defines.
        let mut below =
            self.0.iter().filter(|(module, _)| module.len() > length && module.starts_with(&found));
        let defining = below.find(|(_, bare)| defines(bare, name)).map(|(module, _)| module.clone());
        Some(defining.unwrap_or(found))
    }

    /// Every circle of files, as the names of their modules.
    fn circles(&self) -> Vec<Vec<String>> {
        circles(&self.0.iter().map(|(module, bare)| (module.clone(), self.imports(module, bare))).collect())
    }

    /// Every circle of folders, each with the file beside it: one that leads through a facade is no circle of files.
    fn folder_circles(&self) -> Vec<Vec<String>> {
        let folder = |module: &Module| module.iter().take(1).cloned().collect::<Module>();
        let mut imports: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (module, bare) in self.0.iter().filter(|(module, _)| !module.is_empty()) {
            let from = folder(module);
            let targets =
                self.imports(module, bare).iter().map(folder).filter(|to| *to != from).collect::<Vec<_>>();
            imports.entry(from).or_default().extend(targets);
        }
        circles(&imports)
    }
}

/// The circles among what imports what.
fn circles(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<Vec<String>> {
    let reached = |from: &Module| {
        let (mut reached, mut waiting) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(next) = waiting.pop() {
            for to in imports.get(&next).into_iter().flatten() {
                if reached.insert(to.clone()) {
                    waiting.push(to.clone());
                }
            }
        }
        reached
    };
    let all: BTreeMap<&Module, BTreeSet<Module>> =
        imports.keys().map(|module| (module, reached(module))).collect();
    let circles: BTreeSet<Vec<String>> = all
        .iter()
        .filter(|(module, reached)| reached.contains(**module))
        .map(|(module, reached)| {
            let both =
                reached.iter().filter(|other| all.get(other).is_some_and(|back| back.contains(*module)));
            both.map(|other| other.join("::")).collect()
        })
        .collect();
    circles.into_iter().collect()
}

/// `a/b.rs` and `a/b/mod.rs` are `[a, b]`, `lib.rs` and `main.rs` the root.
fn module(path: &str) -> Module {
    let mut names: Module = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    let is_root = names.len() == 1 && matches!(names[0].as_str(), "lib" | "main");
    if is_root || names.last().is_some_and(|name| name == "mod") {
        names.pop();
    }
    names
}

/// Whether a bare text defines `name` itself.
fn defines(bare: &str, name: &str) -> bool {
    const KINDS: [&str; 8] = ["struct", "enum", "trait", "type", "fn", "const", "static", "union"];
    words(bare).windows(2).any(|pair| KINDS.contains(&pair[0].1) && pair[1].1 == name)
}

/// The paths of a bare text that begin with `crate`, `super` or `self`; those of `use` with all that they name.
fn paths(bare: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let tokens = tokens(bare);
    let mut at = 0;
    while at < tokens.len() {
        let starts = matches!(tokens[at], "crate" | "super" | "self") && tokens.get(at + 1) == Some(&"::");
        if starts && at.checked_sub(1).is_none_or(|before| tokens[before] != "::") {
            at = tree(&tokens, at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Adds the paths of the tree that begins at `at`, and returns where it ends.
fn tree(tokens: &[&str], mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(at) {
            Some(&"{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| *token != "}") {
                    let end = tree(tokens, at, &path, found);
                    // What is no path, as the body of a macro: passed over.
                    at = if end == at { at + 1 } else { end };
                    at += usize::from(tokens.get(at) == Some(&","));
                }
                return at + 1;
            }
            Some(word) if word.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                path.push((*word).to_owned());
                at += 1;
            }
            Some(&"*") => at += 1,
            _ => return at,
        }
        if tokens.get(at) == Some(&"::") {
            at += 1;
            continue;
        }
        if tokens.get(at) == Some(&"as") {
            at += 2;
        }
        found.push(path);
        return at;
    }
}

/// Words, `::`, and every other sign by itself.
fn tokens(bare: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = bare.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        found.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    found
}

/// A path from the root of the crate, for a path in the module `from`.
fn absolute(from: &Module, path: &[String]) -> Option<Module> {
    let mut at = match path.first()?.as_str() {
        "crate" => Module::new(),
        _ => from.clone(),
    };
    for name in path {
        match name.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop()?;
            }
            _ => at.push(name.clone()),
        }
    }
    Some(at)
}

#[test]
fn files_do_not_import_each_other_in_circles() {
    let mut found = Vec::new();
    for folder in CRATES {
        let files = product(folder).into_iter();
        let below = format!("{folder}/");
        let files = files.map(|(path, bare)| (path.trim_start_matches(&below).to_owned(), bare));
        let files = Crate::new(files);
        let mut circles = files.circles();
        if !FOLDER_CIRCLES.contains(&folder) {
            circles.extend(files.folder_circles());
        }
        found.extend(circles.iter().map(|circle| format!("{folder}/: {}", circle.join(", "))));
    }
    assert_none(&found);
}

fn sample(files: &[(&str, &str)]) -> Crate {
    Crate::new(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())))
}

#[test]
fn a_circle_is_found() {
    let root = ("lib.rs", "mod a; mod b; mod c;");
    let a = ("a.rs", "use crate::b::{self, B}; pub struct A;");
    let b = ("b.rs", "pub struct B; fn f() -> super::c::C { }");
    assert_eq!(sample(&[root, a, b, ("c.rs", "pub struct C;")]).circles(), Vec::<Vec<String>>::new());
    let found = sample(&[root, a, b, ("c.rs", "use super::{c, a::A as D}; pub struct C;")]).circles();
    assert_eq!(found, [["a", "b", "c"]]);
}

#[test]
fn a_circle_through_a_facade_is_found_and_the_facade_itself_is_none() {
    let facade = ("m/mod.rs", "mod a; mod b; pub use a::A; pub use b::B; pub struct Shared;");
    let a = ("m/a.rs", "use super::{B, Shared}; pub struct A;");
    assert_eq!(
        sample(&[facade, a, ("m/b.rs", "use super::Shared; pub struct B;")]).circles(),
        Vec::<Vec<String>>::new()
    );
    assert_eq!(sample(&[facade, a, ("m/b.rs", "use super::A; pub struct B;")]).circles(), [["m::a", "m::b"]]);
}

#[test]
fn a_circle_of_folders_through_their_facades_is_found() {
    let files = [
        ("m/mod.rs", "mod a; pub struct M;"),
        ("m/a.rs", "use crate::n::N;"),
        ("n/mod.rs", "mod b; pub struct N;"),
        ("n/b.rs", "use crate::m::M;"),
    ];
    assert_eq!(sample(&files).circles(), Vec::<Vec<String>>::new());
    assert_eq!(sample(&files).folder_circles(), [["m", "n"]]);
    assert_eq!(sample(&files[..3]).folder_circles(), Vec::<Vec<String>>::new());
}
