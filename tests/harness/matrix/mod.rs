//! The real programs of older systems against ours: a row for each program, a column for each thing that people do.
//!
//! A cell passes, or is listed with the fact about the other program that makes it impossible. It is tried all the same:
//! a cell of the list that passes, or fails in another way than the fact explains, is a fault. Nothing here knows a wire.

mod cells;
pub mod clients;
pub mod servers;
pub mod service;
pub mod visitor;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

pub use self::cells::Column;
use self::service::Service;
use self::visitor::Visitor;
use crate::program::{Home, PATIENCE, Program};

/// How long to wait for what never comes.
const SHORT: Duration = Duration::from_secs(8);

/// One pair of programs.
pub trait Row {
    /// What the table calls it.
    fn name(&self) -> &'static str;

    /// The cells that the other program makes impossible.
    fn impossible(&self) -> &'static [Impossible];

    /// Whether JSON passes byte for byte. Some parse it and write it anew, which is no fault.
    fn keeps_json(&self) -> bool {
        true
    }

    /// Whether an agent says that it wants another's place, so that the other does not take it back.
    fn has_force(&self) -> bool {
        true
    }

    /// Starts the public side.
    fn open(&self, setting: Setting) -> Box<dyn Public>;
}

/// A cell that cannot pass.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Impossible {
    /// Which.
    pub column: Column,
    /// The fact about the other program, behind "because".
    pub reason: &'static str,
    /// What is seen because of it. Anything else that is seen is a fault like others.
    pub seen: &'static str,
    /// Whether that is a wait for what never comes.
    stalls: bool,
}

impl Impossible {
    /// A cell that ends in something else, which is seen.
    pub const fn seen(column: Column, reason: &'static str, seen: &'static str) -> Self {
        Impossible { column, reason, seen, stalls: false }
    }

    /// A cell that does not end.
    pub const fn stalls(column: Column, reason: &'static str, seen: &'static str) -> Self {
        Impossible { column, reason, seen, stalls: true }
    }
}

/// How a public side is set up.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Setting {
    /// As people run it.
    Usual,
    /// It gives a service one second to begin its answer.
    Impatient,
    /// It keeps the older of two agents, where that is its choice and not the newer agent's.
    Loyal,
}

/// A public side that runs.
pub trait Public {
    /// Somebody who wants to see the service.
    fn visitor(&self) -> Visitor;

    /// Ends it as a power cut would, and starts it again at the same place.
    fn restart(&mut self);

    /// Starts an agent there.
    fn join(&self, agent: Joining) -> Agent;
}

/// How an agent is started.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Joining {
    /// The port of its service.
    pub target: u16,
    /// Whether it shows what the public side wants to see.
    pub is_known: bool,
    /// Whether it wants the place of another one.
    pub is_forced: bool,
}

impl Joining {
    /// One that is known, with its service at this port.
    pub fn to(target: u16) -> Self {
        Joining { target, is_known: true, is_forced: false }
    }
}

/// An agent that was started, and the words by which it tells how that went.
#[derive(Debug)]
pub struct Agent {
    /// Its process.
    pub program: Program,
    /// Where it runs, and what it was given.
    pub home: Home,
    /// What it says when it was let in.
    pub joined: String,
    /// What it says when it was not.
    pub refused: &'static str,
}

impl Agent {
    /// Waits until it was let in.
    ///
    /// # Panics
    /// When it is not.
    pub fn await_joined(&mut self) {
        let joined = self.program.tells(&self.joined, PATIENCE);
        assert!(joined, "it is not let in: {:?}", self.program);
    }

    /// Waits until it was turned away.
    ///
    /// # Panics
    /// When it is not.
    pub fn await_refused(&mut self) {
        let refused = self.program.tells(self.refused, PATIENCE);
        assert!(refused, "nobody turns it away: {:?}", self.program);
    }
}

/// Two programs, a service and a visitor, for all cells that do not harm them.
pub struct Stage {
    /// Behind the agent.
    pub service: Service,
    /// At the public side.
    pub visitor: Visitor,
    /// How long any step may take.
    pub patience: Duration,
    _agent: Agent,
    _public: Box<dyn Public>,
}

impl Stage {
    fn set(row: &dyn Row, patience: Duration) -> Self {
        let service = Service::start("the first");
        let public = row.open(Setting::Usual);
        let mut agent = public.join(Joining::to(service.port));
        agent.await_joined();
        let visitor = Visitor { patience, ..public.visitor() };
        until(PATIENCE, || is("hello from the first", visitor.greeting()));
        Stage { service, visitor, patience, _agent: agent, _public: public }
    }
}

/// Looks at all cells of a row, writes them down where `HVYM_TUNNEL_MATRIX` says, and says which are not as they
/// should be.
///
/// # Panics
/// When there is one.
pub fn run(number: usize, row: &dyn Row) {
    let mut stage = None;
    let mut cells = Vec::new();
    let mut faults = Vec::new();
    for column in Column::ALL {
        let listed = row.impossible().iter().find(|impossible| impossible.column == column);
        let stalls = listed.is_some_and(|impossible| impossible.stalls);
        let patience = if stalls { SHORT } else { PATIENCE };
        let seen = catch_unwind(AssertUnwindSafe(|| column.look(row, &mut stage, patience)));
        let (outcome, is_fault) = judged(seen.map_err(|panic| words(&*panic)), listed);
        // What was left in the middle of something shows nothing more.
        if outcome != "pass" {
            stage = None;
        }
        if is_fault {
            faults.push(format!("{}: {outcome}", column.title()));
        }
        cells.push(json!({"column": column.title(), "outcome": outcome}));
    }
    if let Some(folder) = std::env::var_os("HVYM_TUNNEL_MATRIX").map(PathBuf::from) {
        let text = json!({"number": number, "name": row.name(), "cells": cells}).to_string();
        fs::write(folder.join(format!("{number}.json")), text).expect("the folder takes a file");
    }
    assert!(faults.is_empty(), "{}:\n{}", row.name(), faults.join("\n"));
}

/// What the table says about a cell, and whether that is a fault.
fn judged(seen: Result<(), String>, listed: Option<&Impossible>) -> (String, bool) {
    match (seen, listed) {
        (Ok(()), None) => ("pass".to_owned(), false),
        (Err(fault), None) => (format!("FAIL: {fault}"), true),
        (Ok(()), Some(listed)) => {
            (format!("FAIL: it passes, and is listed as impossible because {}", listed.reason), true)
        }
        (Err(fault), Some(listed)) if fault.contains(listed.seen) => {
            (format!("impossible: because {}", listed.reason), false)
        }
        (Err(fault), Some(listed)) => {
            (format!("FAIL: not as impossible because {}, but: {fault}", listed.reason), true)
        }
    }
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words").to_owned()
}

/// Looks again and again, until `look` has nothing to complain about.
///
/// # Panics
/// When it still has, after `patience`.
pub fn until(patience: Duration, mut look: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + patience;
    while let Err(complaint) = look() {
        assert!(Instant::now() < deadline, "{complaint}");
    }
}

/// Whether `seen` is what was expected, in words.
///
/// # Errors
/// It is not.
pub fn is(expected: &str, seen: String) -> Result<(), String> {
    if seen == expected { Ok(()) } else { Err(format!("{seen:?} instead of {expected:?}")) }
}
