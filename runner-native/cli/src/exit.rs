//! How the program ends: one exit code per reason a script can act on, and the failure that carries it.
//!
//! Which error has which code and hint is in `failure`.

use std::fmt;
use std::process::ExitCode;

/// Why the program ended. The numbers are part of the interface and never change.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Exit {
    /// Stopped as asked, everything finished.
    Clean,
    /// Something that nobody foresaw.
    Unexpected,
    /// The command line cannot be understood.
    Usage,
    /// Every option is well formed, but together they make no sense or name what is not there.
    Config,
    /// The identity cannot be used, or the relay refused it.
    Refused,
    /// Somebody else holds the name.
    NameConflict,
    /// The relay could not be reached; only with `--no-retry` or `--timeout`.
    RelayUnreachable,
    /// Nothing listens at the target; only with `--require-upstream`.
    UpstreamUnreachable,
    /// The terminal is gone: 128 + SIGHUP, as shells count.
    HungUp,
    /// Ctrl-C before anything was ready: 128 + SIGINT, as shells count.
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Exit::Clean => 0,
            Exit::Unexpected => 1,
            Exit::Usage => 2,
            Exit::Config => 3,
            Exit::Refused => 4,
            Exit::NameConflict => 5,
            Exit::RelayUnreachable => 6,
            Exit::UpstreamUnreachable => 7,
            Exit::HungUp => 129,
            Exit::Interrupted => 130,
        }
    }

    /// The word for it in JSON.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Exit::Clean => "clean",
            Exit::Unexpected => "unexpected",
            Exit::Usage => "usage",
            Exit::Config => "config",
            Exit::Refused => "refused",
            Exit::NameConflict => "name_conflict",
            Exit::RelayUnreachable => "relay_unreachable",
            Exit::UpstreamUnreachable => "upstream_unreachable",
            Exit::HungUp => "hung_up",
            Exit::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Closes the help of every command that can end by itself.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
    0  stopped as asked               5  name taken
    1  unexpected                     6  relay unreachable
    2  command line not understood       (--no-retry, --timeout)
    3  options contradict something   7  nothing listens at the target
    4  identity refused                  (--require-upstream)
                                    129  terminal gone
                                    130  Ctrl-C before anything was ready";

/// Why the program cannot go on: what a person reads, and what a script gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ExitError {
    /// The code to end with.
    pub(crate) exit: Exit,
    /// What happened, without a full stop.
    pub(crate) message: String,
    /// What else is wrong, each a line of its own.
    pub(crate) more: Vec<String>,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl ExitError {
    /// A failure that says only what happened.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        ExitError { exit, message: message.into(), more: Vec::new(), hint: None }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// All that is wrong, a line for each.
    pub(crate) fn text(&self) -> String {
        self.more.iter().fold(self.message.clone(), |text, line| format!("{text}\n{line}"))
    }

    /// The terminal is gone.
    pub(crate) fn hung_up() -> Self {
        ExitError::new(Exit::HungUp, "the terminal is gone")
    }

    /// Ctrl-C came before anything was ready.
    pub(crate) fn interrupted() -> Self {
        ExitError::new(Exit::Interrupted, "interrupted before anything was ready")
    }
}

impl fmt::Display for ExitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl std::error::Error for ExitError {}
