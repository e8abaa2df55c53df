//! What was looked at, and how it is told: line by line for a person, as one object for a program.

use std::time::Duration;

use serde::Serialize;

use crate::exit::{Exit, ExitError};
use crate::output::write_out;
use crate::report::escaped;

/// How long one check may wait for an answer.
pub(super) const STEP_LIMIT: Duration = Duration::from_secs(10);

/// How one check ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// As it should be.
    Ok,
    /// It works, but may not for everybody or for long.
    Warn,
    /// This is why it does not work.
    Fail,
    /// Not looked at.
    Skip,
}

impl Outcome {
    const fn word(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Warn => "warn",
            Outcome::Fail => "FAIL",
            Outcome::Skip => "skip",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Check {
    name: &'static str,
    outcome: Outcome,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Check {
    fn new(name: &'static str, outcome: Outcome, detail: impl Into<String>) -> Self {
        Self { name, outcome, detail: detail.into(), hint: None }
    }

    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Outcome::Ok, detail)
    }

    pub(super) fn warn(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Outcome::Warn, detail)
    }

    pub(super) fn fail(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Outcome::Fail, detail)
    }

    pub(super) fn skip(name: &'static str, why: impl Into<String>) -> Self {
        Self::new(name, Outcome::Skip, why)
    }

    /// What the program itself would end with.
    pub(super) fn of_error(name: &'static str, error: &ExitError) -> Self {
        Self { hint: error.hint.clone(), ..Self::fail(name, error.message.clone()) }
    }

    #[must_use]
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn text(&self) -> String {
        let mut text = format!("{:<5} {:<10} {}\n", self.outcome.word(), self.name, escaped(&self.detail));
        if let Some(hint) = &self.hint {
            text.push_str(&format!("{:<16} {}\n", "", escaped(hint)));
        }
        text
    }
}

/// All that was looked at so far.
pub(super) struct Diagnosis {
    json: bool,
    checks: Vec<Check>,
    /// The exit code of the first fault.
    exit: Option<Exit>,
}

impl Diagnosis {
    pub(super) const fn new(json: bool) -> Self {
        Self { json, checks: Vec::new(), exit: None }
    }

    /// Notes a check; if it failed, `exit` is the program's code unless something failed before.
    ///
    /// # Errors
    /// Nobody reads.
    pub(super) fn add(&mut self, check: Check, exit: Exit) -> Result<(), ExitError> {
        if check.outcome == Outcome::Fail {
            self.exit.get_or_insert(exit);
        }
        if !self.json {
            write_out(check.text().as_bytes())?;
        }
        self.checks.push(check);
        Ok(())
    }

    /// Notes that none of these was looked at.
    ///
    /// # Errors
    /// Nobody reads.
    pub(super) fn skip(&mut self, names: &[&'static str], why: &str) -> Result<(), ExitError> {
        names.iter().try_for_each(|name| self.add(Check::skip(name, why), Exit::Unexpected))
    }

    /// Tells a program what was found.
    ///
    /// # Errors
    /// Something failed, or nobody reads.
    pub(super) fn finish(self) -> Result<(), ExitError> {
        #[derive(Serialize)]
        struct Found<'a> {
            ok: bool,
            checks: &'a [Check],
        }
        if self.json {
            let found = Found { ok: self.exit.is_none(), checks: &self.checks };
            let text = serde_json::to_string(&found).expect("texts always have a JSON form");
            write_out(format!("{text}\n").as_bytes())?;
        }
        let failed = self.checks.iter().filter(|check| check.outcome == Outcome::Fail).count();
        match self.exit {
            Some(exit) => {
                Err(ExitError::new(exit, format!("{failed} of {} checks failed", self.checks.len())))
            }
            None => Ok(()),
        }
    }
}
