//! The list of agents that a relay serves: its text form, one agent in each line, and what each of them may have.
//!
//! It reads no file; a runner does, and keeps the list that it has if a new one is wrong.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use thiserror::Error;

use crate::names::{ClaimedName, ClaimedNameError};
use crate::stellar::{Address, AddressError};

/// Agents in one list: some megabytes, and more than anybody keeps by hand.
pub const MAX_LISTED_AGENTS: usize = 10_000;

/// One agent of a list, and what it may have. `None` is what every agent may have.
///
/// As text: `G... [names=a,b] [tcp-ports=N] [max-services=N] [rate=N]`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct AgentRule {
    /// Who.
    pub address: Address,
    /// The names that are kept for it alone.
    pub names: Vec<ClaimedName>,
    /// Public TCP ports at once.
    pub tcp_ports: Option<usize>,
    /// Services at once.
    pub max_services: Option<usize>,
    /// Requests of its visitors in a second, in the long run.
    pub rate: Option<u32>,
}

impl AgentRule {
    /// An agent that may have what all may have.
    pub const fn new(address: Address) -> Self {
        Self { address, names: Vec::new(), tcp_ports: None, max_services: None, rate: None }
    }
}

/// The agents that a relay serves, each once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AgentList {
    rules: BTreeMap<Address, AgentRule>,
}

impl AgentList {
    /// Adds an agent, or replaces its rule.
    pub fn insert(&mut self, rule: AgentRule) {
        self.rules.insert(rule.address, rule);
    }

    /// Adds the agents of `other`; its rules replace those of the same agents.
    pub fn extend(&mut self, other: AgentList) {
        self.rules.extend(other.rules);
    }

    /// The rule of `address`; `None` if it is not listed.
    pub fn get(&self, address: &Address) -> Option<&AgentRule> {
        self.rules.get(address)
    }

    /// Who alone may have the name; `None` if it is kept for nobody.
    pub fn name_owner(&self, name: &str) -> Option<Address> {
        let has = |rule: &&AgentRule| rule.names.iter().any(|kept| kept.as_str() == name);
        self.rules.values().find(has).map(|rule| rule.address)
    }

    /// The agents listed, ordered by their keys.
    pub fn iter(&self) -> impl Iterator<Item = &AgentRule> {
        self.rules.values()
    }

    /// How many agents are listed.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether nobody is listed.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// Why a text is no list of agents. A secret seed that stands in it is not repeated.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("line {line}, column {column}: {mistake}")]
pub struct AgentListError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong there.
    pub mistake: AgentRuleError,
}

/// Why a line names no agent.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum AgentRuleError {
    /// No address stands first.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The same agent in two lines: which of them holds would be a guess.
    #[error("this agent is listed already, in line {0}")]
    Repeated(usize),
    /// A word that is no option.
    #[error("an option is names=, tcp-ports=, max-services= or rate=")]
    Option,
    /// The same option twice.
    #[error("this option is set already")]
    OptionRepeated,
    /// A value that is no number, or too large for what it counts.
    #[error("a whole number up to {0} is needed")]
    Number(u32),
    /// A value that is no name, or several without commas between them.
    #[error(transparent)]
    Name(#[from] ClaimedNameError),
    /// A name that another agent has.
    #[error("this agent's names are those of another, in line {0}")]
    NameRepeated(usize),
    /// More agents than [`MAX_LISTED_AGENTS`].
    #[error("at most {MAX_LISTED_AGENTS} agents can be listed")]
    TooMany,
}

/// The words of a line, each with its column.
fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = line;
    let mut column = 1;
    core::iter::from_fn(move || {
        let skipped = rest.chars().take_while(|c| c.is_whitespace()).count();
        rest = rest.trim_start();
        column += skipped;
        if rest.is_empty() {
            return None;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let at = column;
        column += word.chars().count();
        rest = after;
        Some((at, word))
    })
}

fn number(text: &str, most: u32) -> Result<u32, AgentRuleError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| digits && *number <= most);
    number.ok_or(AgentRuleError::Number(most))
}

fn count(text: &str, most: u32) -> Result<Option<usize>, AgentRuleError> {
    number(text, most).map(|count| usize::try_from(count).ok())
}

fn names(text: &str) -> Result<Vec<ClaimedName>, AgentRuleError> {
    text.split(',').map(|name| Ok(ClaimedName::new(name)?)).collect()
}

impl AgentRule {
    /// Every option of a line is at most this: beyond, no list is meant.
    const MOST: u32 = 1_000_000;

    /// Sets what `option` says.
    fn set(&mut self, option: &str) -> Result<(), AgentRuleError> {
        let (key, value) = option.split_once('=').ok_or(AgentRuleError::Option)?;
        let is_set = match key {
            "names" => !core::mem::replace(&mut self.names, names(value)?).is_empty(),
            "tcp-ports" => {
                let ports = count(value, u32::from(u16::MAX))?;
                core::mem::replace(&mut self.tcp_ports, ports).is_some()
            }
            "max-services" => core::mem::replace(&mut self.max_services, count(value, Self::MOST)?).is_some(),
            "rate" => self.rate.replace(number(value, Self::MOST)?).is_some(),
            _ => return Err(AgentRuleError::Option),
        };
        if is_set { Err(AgentRuleError::OptionRepeated) } else { Ok(()) }
    }

    /// Reads a line that is not empty.
    fn parse(line: &str) -> Result<Self, (usize, AgentRuleError)> {
        let mut words = words(line);
        let (column, address) = words.next().unwrap_or((1, ""));
        let mut rule = AgentRule::new(address.parse().map_err(|error: AddressError| (column, error.into()))?);
        for (column, option) in words {
            rule.set(option).map_err(|mistake| (column, mistake))?;
        }
        Ok(rule)
    }
}

/// As it is written in a list.
impl fmt::Display for AgentRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        for (index, name) in self.names.iter().enumerate() {
            write!(f, "{}{name}", if index == 0 { " names=" } else { "," })?;
        }
        let counts = [("tcp-ports", self.tcp_ports), ("max-services", self.max_services)];
        for (key, count) in counts {
            if let Some(count) = count {
                write!(f, " {key}={count}")?;
            }
        }
        self.rate.map_or(Ok(()), |rate| write!(f, " rate={rate}"))
    }
}

impl FromStr for AgentRule {
    type Err = AgentRuleError;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        Self::parse(line).map_err(|(_, mistake)| mistake)
    }
}

/// One agent in each line; empty lines and what follows `#` are left out.
impl FromStr for AgentList {
    type Err = AgentListError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut list = AgentList::default();
        let (mut lines, mut names) = (BTreeMap::new(), BTreeMap::new());
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let line = line.split('#').next().unwrap_or_default();
            if line.trim().is_empty() {
                continue;
            }
            let error = |column, mistake| AgentListError { line: number, column, mistake };
            let rule = AgentRule::parse(line).map_err(|(column, mistake)| error(column, mistake))?;
            if let Some(first) = lines.insert(rule.address, number) {
                return Err(error(1, AgentRuleError::Repeated(first)));
            }
            for name in &rule.names {
                if let Some(first) = names.insert(name.clone(), number).filter(|first| *first != number) {
                    return Err(error(1, AgentRuleError::NameRepeated(first)));
                }
            }
            if list.len() >= MAX_LISTED_AGENTS {
                return Err(error(1, AgentRuleError::TooMany));
            }
            list.insert(rule);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::{String, ToString};

    use super::*;

    fn address(seed: u8) -> Address {
        Address::from_public_key([seed; 32])
    }

    fn wrong(text: &str) -> (usize, usize, AgentRuleError) {
        let error = text.parse::<AgentList>().expect_err(text);
        (error.line, error.column, error.mistake)
    }

    #[test]
    fn a_list_says_what_each_agent_may_have() {
        let (ann, bob) = (address(1), address(2));
        let text = format!(
            "# friends\r\n\n  {ann} names=cool-app,web tcp-ports=0 \tmax-services=3 rate=10 # Ann\n{bob}\n"
        );
        let list: AgentList = text.parse().expect("a list");
        let rule = AgentRule {
            names: Vec::from(["cool-app", "web"].map(|name| ClaimedName::new(name).expect("a name"))),
            tcp_ports: Some(0),
            max_services: Some(3),
            rate: Some(10),
            ..AgentRule::new(ann)
        };
        assert_eq!(
            (list.len(), list.get(&ann), list.get(&bob)),
            (2, Some(&rule), Some(&AgentRule::new(bob)))
        );
        assert_eq!(list.get(&address(3)), None);
        assert_eq!(rule.to_string().parse(), Ok(rule));
        assert_eq!(
            ["web", "cool", "cool-app"].map(|name| list.name_owner(name)),
            [Some(ann), None, Some(ann)]
        );
        assert!("# nobody\n\n".parse::<AgentList>().is_ok_and(|list| list.is_empty()));
    }

    #[test]
    fn a_wrong_line_is_named_with_its_column() {
        let ann = address(1);
        for (line, column, mistake) in [
            (format!("{ann} tcp-ports=1 prots=2"), 70, AgentRuleError::Option),
            (format!("{ann}  tcp-ports"), 59, AgentRuleError::Option),
            (format!("{ann} rate=1 rate=1"), 65, AgentRuleError::OptionRepeated),
            (format!("{ann} names=abc names=abc"), 68, AgentRuleError::OptionRepeated),
            (format!("{ann} tcp-ports=0 tcp-ports=0"), 70, AgentRuleError::OptionRepeated),
            (format!("{ann} max-services=0 max-services=0"), 73, AgentRuleError::OptionRepeated),
            (format!("{ann} tcp-ports=65536"), 58, AgentRuleError::Number(65_535)),
            (format!("{ann} tcp-ports=+1"), 58, AgentRuleError::Number(65_535)),
            (format!("{ann} rate="), 58, AgentRuleError::Number(1_000_000)),
            (format!("{ann} max-services=1000001"), 58, AgentRuleError::Number(1_000_000)),
            (format!("{ann} names=abc,,def"), 58, AgentRuleError::Name(ClaimedNameError::Length)),
            (format!("{ann} names=a--b"), 58, AgentRuleError::Name(ClaimedNameError::Characters)),
            (format!("{ann} names=www"), 58, AgentRuleError::Name(ClaimedNameError::Reserved)),
            (format!("  {ann}x"), 3, AgentRuleError::Address(AddressError::Length(57))),
            ("\u{e9}\u{e9} rate=1".to_string(), 1, AgentRuleError::Address(AddressError::Length(2))),
        ] {
            assert_eq!(wrong(&format!("\n{line}\n")), (2, column, mistake), "{line}");
        }
        assert_eq!(wrong(&format!("{ann}\n#\n{ann} rate=1")), (3, 1, AgentRuleError::Repeated(1)));
        let bob = address(2);
        let both = format!("{ann} names=abc,abc\n\n{bob} names=def,abc");
        assert_eq!(wrong(&both), (3, 1, AgentRuleError::NameRepeated(1)));
        assert!(format!("{ann} tcp-ports=65535 rate=1000000").parse::<AgentList>().is_ok());
    }

    #[test]
    fn a_secret_in_a_list_is_not_repeated() {
        let secret = format!("S{}", &address(1).to_string()[1..]);
        let error = secret.parse::<AgentList>().expect_err("no address");
        assert!(!format!("{error} {error:?}").contains(&secret[1..]), "{error}");
    }

    #[test]
    fn a_list_has_so_many_agents_and_no_more() {
        let line = |number: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            format!("{}\n", Address::from_public_key(key))
        };
        let full: String = (0..MAX_LISTED_AGENTS).map(line).collect();
        assert_eq!(full.parse::<AgentList>().map(|list| list.len()), Ok(MAX_LISTED_AGENTS));
        let over = format!("{full}{}", line(MAX_LISTED_AGENTS));
        assert_eq!(wrong(&over), (MAX_LISTED_AGENTS + 1, 1, AgentRuleError::TooMany));
    }
}
