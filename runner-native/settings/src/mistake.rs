//! What is wrong with settings: all of it, each with its place.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ValueOrigin {
    /// A line of the file, counted from 1.
    Line(usize),
    /// A variable of the environment.
    Variable(String),
    /// The command line.
    Flag(String),
    /// Nobody set it.
    Default,
}

impl fmt::Display for ValueOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueOrigin::Line(line) => write!(f, "line {line}"),
            ValueOrigin::Variable(name) => f.write_str(name),
            ValueOrigin::Flag(text) => f.write_str(text),
            ValueOrigin::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Mistake {
    /// Where it stands.
    pub origin: ValueOrigin,
    /// The key, as in `link.main.relay`; empty where the text is no TOML.
    pub key: String,
    /// What is wrong, without what stands there: it could be a secret in the wrong place.
    pub what: String,
}

/// Everything that is wrong with a file and what was set beside it. Never empty.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub struct Mistakes {
    /// The file.
    pub path: PathBuf,
    /// In the order of the file.
    pub list: Vec<Mistake>,
}

impl Mistakes {
    /// One line for each, as compilers write them.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        let path = self.path.display();
        self.list.iter().map(move |Mistake { origin, key, what }| {
            let colon = if key.is_empty() { "" } else { ": " };
            match origin {
                ValueOrigin::Line(line) => format!("{path}:{line}: {key}{colon}{what}"),
                other => format!("{other}: {key}{colon}{what}"),
            }
        })
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{line}")?;
        }
        Ok(())
    }
}
