//! Words that the code does not use, because the field has others for what they named.
//!
//! Comments, texts and tests may have them. Words that are also usual in Rust or in English are looked for only where
//! something is defined by them.

use crate::source::{assert_none, line_of, product, words};

/// Words that no crate has in its code.
const ANYWHERE: &[&str] = &[
    "Abilities",
    "Asks",
    "BrokenOff",
    "HeadGathering",
    "Inbox",
    "Knock",
    "KnockHandshake",
    "Knocked",
    "Listens",
    "Liveness",
    "Manners",
    "NoRoom",
    "Prefixed",
    "Resting",
    "SOON",
    "STINT",
    "Shelves",
    "Spelled",
    "Strain",
    "Told",
    "Trusts",
    "UnderWay",
    "Unfit",
    "Unsayable",
    "Verdict",
    "Verdicts",
    "bury",
    "by_path",
    "conduit",
    "counts_calls",
    "cut_off",
    "foreign",
    "glitch",
    "glitches",
    "has_pieces",
    "is_hasty",
    "is_owed_an_answer",
    "keeps_authorization",
    "knocking",
    "lanes",
    "leftover",
    "patience",
    "plain_bytes",
    "relay_asks",
    "roster",
    "see_off",
    "sit_down",
    "spelled",
    "spelling",
    "starved",
    "strays",
    "surroundings",
    "switchboard",
    "toward_service",
    "trunk",
    "turn_away",
    "turnstile",
    "unheard",
    "unsay",
];

/// Words that define nothing below these folders.
const DEFINED: &[(&[&str], &[&str])] = &[
    (&["core", "runner-native", "runner-wasm/src"], &["Due", "farewell", "most", "of", "sole", "sooner"]),
    (
        &["core/yamux/src"],
        &[
            "Clock",
            "News",
            "crowded",
            "Part",
            "Slot",
            "Todo",
            "begin",
            "grown",
            "hold",
            "introduction",
            "life",
            "plan",
            "said",
            "shed",
            "tear",
            "tell",
            "turn",
            "watch",
        ],
    ),
    (&["core/src/agent"], &["wake"]),
    (&["core/src/relay"], &["expect"]),
    (&["core/compat/src"], &["settle"]),
    (&["core/http1/src"], &["Blind", "Exchange", "Look", "Part", "lists"]),
    (
        &["core/src", "core/compat/src"],
        &[
            "Exchange", "Guest", "Json", "Member", "Opening", "Part", "Plane", "Room", "Slot", "Walk",
            "answer", "ask", "avoid", "conclude", "give", "guest", "heard", "kept", "know", "leave", "maybe",
            "patient", "pipe", "rest", "say", "spell", "truth", "welcome", "whole", "wish", "word",
        ],
    ),
    (
        &["runner-native"],
        &[
            "Asked",
            "Bell",
            "Board",
            "Carried",
            "Counter",
            "Desk",
            "Door",
            "Failure",
            "Fault",
            "Gate",
            "HELP",
            "Hearing",
            "Latch",
            "Lent",
            "Phase",
            "Place",
            "Plane",
            "Seen",
            "Slow",
            "Threshold",
            "Ticket",
            "Waiting",
            "Watch",
            "Way",
            "alarm",
            "answering",
            "conversation",
            "exposure",
            "gauge",
            "goodbye",
            "guests",
            "introduce",
            "judge",
            "knock",
            "lead",
            "passage",
            "patient",
            "phases",
            "question",
            "reach",
            "readiness",
            "reply",
            "scratch",
            "seat",
            "standing",
            "surface",
            "tally",
            "threshold",
            "visitors",
            "watched",
        ],
    ),
];

/// Words that are no module below these folders; functions may have them.
const MODULES: &[(&[&str], &[&str])] = &[
    (
        &["runner-native"],
        &[
            "carry",
            "descriptors",
            "drain",
            "driver",
            "executor",
            "gate",
            "live",
            "load",
            "pipe",
            "ports",
            "upload",
        ],
    ),
    (&["runner-native/relay"], &["connect"]),
];

/// What stands before the word that it defines.
const KINDS: [&str; 9] = ["struct", "enum", "trait", "type", "union", "fn", "mod", "const", "static"];

/// Which words are looked for, where.
struct Banned<'a> {
    anywhere: &'a [&'a str],
    defined: Vec<&'a str>,
    modules: Vec<&'a str>,
}

impl<'a> Banned<'a> {
    /// Those of the tables above for a file.
    fn of(path: &str) -> Banned<'static> {
        let below = |table: &'static [(&[&str], &[&str])]| -> Vec<&'static str> {
            let here = |folders: &[&str]| {
                folders.iter().any(|folder| {
                    path.trim_end_matches(".rs") == *folder || path.starts_with(&format!("{folder}/"))
                })
            };
            table.iter().filter(|(folders, _)| here(folders)).flat_map(|(_, words)| *words).copied().collect()
        };
        Banned { anywhere: ANYWHERE, defined: below(DEFINED), modules: below(MODULES) }
    }

    /// The words that a bare text has: line and word.
    fn find<'b>(&self, bare: &'b str) -> Vec<(usize, &'b str)> {
        let words = words(bare);
        let before = |index: usize| index.checked_sub(1).map_or("", |before| words[before].1);
        let is_banned = |index: usize, word: &str| {
            self.anywhere.contains(&word)
                || (KINDS.contains(&before(index)) && self.defined.contains(&word))
                || (before(index) == "mod" && self.modules.contains(&word))
        };
        let found = words.iter().enumerate().filter(|(index, (_, word))| is_banned(*index, word));
        found.map(|(_, (at, word))| (line_of(bare, *at), *word)).collect()
    }
}

#[test]
fn the_code_speaks_the_words_of_the_field() {
    let mut found = Vec::new();
    for (path, bare) in ["core", "runner-native", "runner-wasm/src"].into_iter().flat_map(product) {
        let words = Banned::of(&path).find(&bare).into_iter();
        found.extend(words.map(|(line, word)| format!("{path}:{line}: {word}")));
    }
    assert_none(&found);
}

#[test]
fn a_banned_word_is_found() {
    let banned = Banned { anywhere: &["Knock"], defined: vec!["ask"], modules: vec!["pipe"] };
    let text = "struct Knocker;\nlet ask = pipe(Knock::new());\nfn ask() {}\nfn pipe() {}\nmod pipe;";
    assert_eq!(banned.find(text), [(2, "Knock"), (3, "ask"), (5, "pipe")]);
    assert!(Banned::of("core/yamux/src/life.rs").defined.contains(&"tear"));
    assert!(!Banned::of("core/src/link.rs").defined.contains(&"tear"));
}
