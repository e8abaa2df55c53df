//! The options of `relay` in its file (`--config relay.toml`): each key without a section is an option, under its own name.
//!
//! What is typed wins over a variable, the variable over the file, the file over the default. A key is read by the parser of
//! its option, so that both take the same values; a relative path counts from the file's folder.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};

use clap::builder::ValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use hvym_tunnel_net::files;
use hvym_tunnel_settings::{Mistake, Mistakes, ValueOrigin, nearest};
use toml::de::{DeTable, DeValue};

use crate::exit::{Exit, ExitError};

/// The command that has such a file.
const COMMAND: &str = "relay";
/// Maximum size in bytes. A file of ten thousand tunnels has 1 MB.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// What names the file itself, and what ends the program at once.
const EXCEPT: [&str; 3] = ["config", "help", "version"];

/// `arguments` with those of the file that `relay` names, if it names one.
///
/// # Errors
/// The file cannot be read, or everything that is wrong with its options.
pub(super) fn with_file(
    command: &Command,
    matches: &ArgMatches,
    mut arguments: Vec<OsString>,
) -> Result<Vec<OsString>, ExitError> {
    let Some((COMMAND, relay)) = matches.subcommand() else { return Ok(arguments) };
    let Some(path) = relay.try_get_one::<PathBuf>("config").ok().flatten() else { return Ok(arguments) };
    let mut command = command.clone();
    command.build();
    let Some(options) = command.find_subcommand(COMMAND) else { return Ok(arguments) };
    let file = OptionFile { path, text: &read(path)?, options };
    arguments.extend(file.arguments(relay)?);
    Ok(arguments)
}

fn read(path: &Path) -> Result<String, ExitError> {
    let file = File::open(path).and_then(|file| files::read_text_limited(file, MAX_BYTES));
    let text = file
        .map_err(|error| ExitError::new(Exit::Config, format!("cannot read {}: {error}", path.display())))?;
    Ok(text.to_string())
}

/// A file of options that is being read.
struct OptionFile<'a> {
    path: &'a Path,
    text: &'a str,
    options: &'a Command,
}

impl OptionFile<'_> {
    /// The options that neither the command line nor a variable sets, as if they were typed.
    fn arguments(&self, typed: &ArgMatches) -> Result<Vec<OsString>, Mistakes> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let mut list: Vec<Mistake> =
            errors.iter().map(|error| self.mistake(error.span(), "", error.message())).collect();
        let mut arguments = Vec::new();
        for (key, value) in table.get_ref() {
            let (name, at) = (key.get_ref().as_ref(), Some(key.span()));
            // Sections are about agents of other systems, and read elsewhere.
            if matches!(value.get_ref(), DeValue::Table(_)) {
                continue;
            }
            let Some(option) = self.option(name) else {
                list.push(self.mistake(at, name, &self.unknown(name)));
                continue;
            };
            match self.words(option, value.get_ref()) {
                Ok(words) => match self.refusal(&words) {
                    Some(what) => list.push(self.mistake(at, name, &what)),
                    None if is_typed(typed, option) => {}
                    None => arguments.extend(words),
                },
                Err(what) => list.push(self.mistake(at, name, &what)),
            }
        }
        list.sort();
        if list.is_empty() { Ok(arguments) } else { Err(Mistakes { path: self.path.to_owned(), list }) }
    }

    fn mistake(&self, at: Option<std::ops::Range<usize>>, key: &str, what: &str) -> Mistake {
        let at = at.map_or(0, |at| at.start.min(self.text.len()));
        let line = self.text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        let what = what.split('\n').collect::<Vec<_>>().join(", ");
        Mistake { origin: ValueOrigin::Line(line), key: key.to_owned(), what }
    }

    fn named(&self) -> impl Iterator<Item = (&Arg, String)> {
        let options =
            self.options.get_arguments().filter(|option| !EXCEPT.contains(&option.get_id().as_str()));
        options.filter_map(|option| Some((option, option.get_long()?.replace('-', "_"))))
    }

    fn option(&self, key: &str) -> Option<&Arg> {
        self.named().find(|(_, name)| name == key).map(|(option, _)| option)
    }

    fn unknown(&self, key: &str) -> String {
        let names: Vec<String> = self.named().map(|(_, name)| name).collect();
        match nearest(key, &names) {
            Some(name) => format!("there is no such key; did you mean {name}?"),
            None => {
                "there is no such key: each option of relay is one, as in listen or allow_agent".to_owned()
            }
        }
    }

    /// What somebody would type for `value`.
    fn words(&self, option: &Arg, value: &DeValue<'_>) -> Result<Vec<OsString>, String> {
        let long = option.get_long().unwrap_or_default();
        let one = |value: &DeValue<'_>| -> Result<OsString, String> {
            match value {
                DeValue::String(text) => Ok(self.value(option, text)),
                DeValue::Integer(number) => Ok(number.to_string().into()),
                DeValue::Float(number) => Ok(number.to_string().into()),
                DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                    Err("a text or a number is needed".to_owned())
                }
            }
        };
        let with = |value: &DeValue<'_>| {
            let mut word = OsString::from(format!("--{long}="));
            word.push(one(value)?);
            Ok::<_, String>(word)
        };
        match (option.get_action(), value) {
            (ArgAction::SetTrue, DeValue::Boolean(true)) => Ok(vec![format!("--{long}").into()]),
            (ArgAction::SetTrue, DeValue::Boolean(false)) => Ok(Vec::new()),
            (ArgAction::SetTrue, _) => Err("true or false is needed".to_owned()),
            (ArgAction::Count, DeValue::Integer(number)) => {
                let times = number.to_string().parse::<u8>().map_err(|_| "a small number is needed")?;
                Ok(vec![format!("--{long}").into(); times.into()])
            }
            (ArgAction::Append, DeValue::Array(list)) => {
                list.iter().map(|item| with(item.get_ref())).collect()
            }
            (_, value) => with(value).map(|word| vec![word]),
        }
    }

    /// A text as it is typed: a path counts from the folder of the file.
    fn value(&self, option: &Arg, text: &str) -> OsString {
        let is_path = option.get_value_parser().type_id() == ValueParser::path_buf().type_id();
        match (is_path, self.path.parent()) {
            (true, Some(folder)) => folder.join(text).into(),
            _ => text.into(),
        }
    }

    /// Why these words are none that could be typed, by themselves.
    fn refusal(&self, words: &[OsString]) -> Option<String> {
        let typed = std::iter::once(OsStr::new(COMMAND).to_owned()).chain(words.iter().cloned());
        let error = self.options.clone().try_get_matches_from(typed).err()?;
        // Whether options make sense together is seen when all are there.
        if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
            return None;
        }
        let known = self.possible(words);
        Some(match std::error::Error::source(&error) {
            Some(source) => source.to_string(),
            None if !known.is_empty() => format!("one of {} is needed", known.join(", ")),
            None => "another value is needed".to_owned(),
        })
    }

    fn possible(&self, words: &[OsString]) -> Vec<String> {
        let long = words.first().and_then(|word| word.to_str()?.strip_prefix("--")?.split('=').next());
        let option = self.options.get_arguments().find(|option| option.get_long() == long);
        let values = option.map(Arg::get_possible_values).unwrap_or_default();
        values.iter().map(|value| value.get_name().to_owned()).collect()
    }
}

/// Whether the command line or a variable sets it.
fn is_typed(typed: &ArgMatches, option: &Arg) -> bool {
    let source = typed.value_source(option.get_id().as_str());
    matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};
    use hvym_tunnel_relay::config::RelayOptions;

    use super::*;
    use crate::args::{Cli, Command as Commands};

    /// The options of `relay` with a file of this content, and these arguments.
    fn options(text: &str, arguments: &[&str]) -> Result<RelayOptions, String> {
        let path = std::env::temp_dir().join(format!(
            "hvym-tunnel-relay-file-{}-{:?}.toml",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::write(&path, text).expect("a file");
        let words = ["hvym-tunnel", "relay", "--config"].map(OsString::from).into_iter();
        let words = words.chain([path.clone().into_os_string()]).chain(arguments.iter().map(OsString::from));
        let words: Vec<_> = words.collect();
        let result = (|| {
            let command = Cli::command();
            let matches = command.clone().try_get_matches_from(words.clone()).map_err(|e| e.to_string())?;
            let words = with_file(&command, &matches, words).map_err(|error| error.text())?;
            let matches = command.try_get_matches_from(words).map_err(|error| error.to_string())?;
            let cli = Cli::from_arg_matches(&matches).map_err(|error| error.to_string())?;
            match cli.command {
                Commands::Relay(relay) => {
                    relay.options().map(|(_, options)| options).map_err(|error| error.message)
                }
                _ => Err("another command".to_owned()),
            }
        })();
        std::fs::remove_file(&path).expect("it was ours");
        result
    }

    #[test]
    fn every_option_of_relay_is_a_key_of_its_file() {
        let mut command = Cli::command();
        command.build();
        let relay = command.find_subcommand("relay").expect("the command");
        let mut count = 0;
        for option in relay.get_arguments().filter(|option| !EXCEPT.contains(&option.get_id().as_str())) {
            let key = option.get_long().expect("every option has a long name").replace('-', "_");
            let possible = option.get_possible_values();
            let name = possible.first().map(|value| value.get_name().to_owned());
            let value = match (option.get_action(), name) {
                (ArgAction::SetTrue, _) => "true".to_owned(),
                (ArgAction::Count, _) => "1".to_owned(),
                (_, Some(name)) => format!("{name:?}"),
                // None that a parser takes: what matters is whose words come back.
                _ => "\"\\u0001 \"".to_owned(),
            };
            let text = format!("{key} = {value}\n");
            let told = options(&text, &[]).err().unwrap_or_default();
            assert!(!told.contains("no such key"), "{key}: {told}");
            count += 1;
        }
        assert!(count > 50, "{count}");
    }

    #[test]
    fn what_is_typed_wins_over_the_file_and_the_file_over_the_default() {
        let text = "listen = \"127.0.0.1:5000\"\nmax_connections = 77\nopen = true\nping_interval = 2.5\n\
            trusted_proxy = [\"10.0.0.1\", \"10.0.0.2\"]\npolicy = \"reject\"\ntls_cert = \"c.pem\"\ntls_key = \"/k.pem\"\n\
            [hvym]\npublic_tunnels = true\n";
        let read = options(text, &["--max-connections", "78"]).expect("options");
        assert_eq!((read.ingress.listen.port(), read.limits.connections), (5000, 78));
        assert!(read.access.open && read.guests.public_tunnels);
        assert_eq!(read.keepalive.ping_interval.as_millis(), 2500);
        assert_eq!(read.public.trusted_proxies.len(), 2);
        assert_eq!(read.public.tls_cert, Some(std::env::temp_dir().join("c.pem")));
        assert_eq!(read.public.tls_key, Some(PathBuf::from("/k.pem")));
        assert!(!options("open = false\n", &[]).expect("options").access.open);
    }

    #[test]
    fn all_mistakes_of_the_file_are_told_with_their_lines() {
        let text = "listen = \"nowhere\"\n# x\nconnectoins = 5\nopen = \"yes\"\npolicy = \"fight\"\nmax_connections = 0\n";
        let told = options(text, &[]).expect_err("mistakes");
        let expected = [
            ":1: listen: an IP address and a port are needed",
            ":3: connectoins: there is no such key; did you mean max_connections?",
            ":4: open: true or false is needed",
            ":5: policy: one of takeover, reject is needed",
            ":6: max_connections: a number from 1 to 1000000 is needed",
        ];
        for (told, expected) in told.lines().zip(expected) {
            assert!(told.contains(expected), "{told}\n{expected}");
        }
        assert_eq!(told.lines().count(), expected.len(), "{told}");
    }
}
