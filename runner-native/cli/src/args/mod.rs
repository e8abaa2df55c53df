//! Everything a person types and sees: the commands, their options, and the streams they write to.
//!
//! Knows no network. A command ends in checked options for a runner, or in a [`ExitError`].

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::path::Path;

use clap::builder::Resettable;
use clap::{ArgAction, Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) mod access_log;
pub(crate) mod admin;
pub(crate) mod backup;
pub(crate) mod client;
mod completions;
mod delegate;
mod demo;
mod doctor;
mod help;

mod expose;

mod compat;
pub(crate) mod config;
mod forward;
pub(crate) mod health;

mod identity;
mod identity_files;
mod inspect;
pub(crate) mod logs;
mod logs_command;
mod man;
mod manager;
pub(crate) mod mcp;
mod names;
mod operator;
mod own_relay;
mod passphrase;
pub(crate) mod registry;
pub(crate) mod relay;
mod relay_file;
mod relays;
pub(crate) mod requests;
mod service;
mod sessions;
pub(crate) mod share;
mod signer;

mod token;
pub(crate) mod tunely_env;
pub(crate) mod tunnel;
mod up;
mod upstream;
mod version;
mod whoami;
mod words;

use hvym_tunnel_agent::settings::CompatSystem;
use thiserror::Error;

use crate::exit::{Exit, ExitError};
use crate::output::write_out;
use crate::report::{Reporter, Style};
use crate::trace_file::TraceFile;
use hvym_tunnel_net::files;
use hvym_tunnel_net::key;

/// Gives a service on your own machine a public address, named by your Stellar key.
#[derive(Parser, Debug)]
#[command(name = "hvym-tunnel", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    terminal: Terminal,
    #[command(flatten)]
    pub(crate) passphrase: passphrase::PassphraseArgs,
}

const EXAMPLES: &str = "\
Examples:
    hvym-tunnel expose 3000                          try it: an address on this machine
    hvym-tunnel expose 3000 --relay tunnel.example   localhost:3000 is public there
    hvym-tunnel forward G.../db 5432 --relay ...     reach what somebody lets you reach
    hvym-tunnel relay                                run a relay, here for this machine
    hvym-tunnel demo                                 see a tunnel in a browser tab
    hvym-tunnel share web --for 2h --relay ...       a link to a private service
    hvym-tunnel requests --follow                    what visitors ask for
    hvym-tunnel identity                             your address

Every option --so-named can be set by a variable HVYM_TUNNEL_SO_NAMED; what is
typed wins over the variable, the variable over the default. The variable
HVYM_TUNNEL_SECRET may hold the secret itself. Times on the screen are UTC.";

/// The commands.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    Expose(Box<expose::ExposeArgs>),
    Up(up::UpArgs),
    Config(config::ConfigArgs),
    Forward(Box<forward::ForwardArgs>),
    Relay(Box<relay::RelayArgs>),
    Admin(admin::AdminArgs),
    Tunnel(tunnel::TunnelArgs),
    Health(health::HealthArgs),
    Demo(Box<demo::DemoArgs>),
    Identity(identity::IdentityArgs),
    Share(share::ShareArgs),
    Token(token::TokenArgs),
    Relays(relays::RelaysArgs),
    Manager(Box<manager::ManagerArgs>),
    Mcp(Box<mcp::McpArgs>),
    Status(client::StatusArgs),
    /// Start a link of a manager that runs, or all of them
    Start(client::LinkArgs),
    /// Stop a link of a manager that runs, or all of them: what is under way may take 10 s
    Stop(client::LinkArgs),
    /// Stop and start a link of a manager that runs, or all of them
    Restart(client::LinkArgs),
    Bind(client::BindArgs),
    Unbind(client::UnbindArgs),
    Alerts(client::AlertsArgs),
    Events(client::EventsArgs),
    Requests(requests::RequestsArgs),
    Logs(logs_command::LogsArgs),
    Whoami(whoami::WhoamiArgs),
    Doctor(Box<doctor::DoctorArgs>),
    Service(service::ServiceArgs),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Version(version::VersionArgs),
    /// Print a completion script for a shell
    #[command(
        after_help = "Examples:\n    hvym-tunnel completions bash > ~/.local/share/bash-completion/completions/hvym-tunnel\n    hvym-tunnel completions fish > ~/.config/fish/completions/hvym-tunnel.fish"
    )]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    Man(man::ManArgs),
}

/// How everything is shown; understood by every command.
#[derive(Args, Debug)]
struct Terminal {
    /// Show text without colours (so does NO_COLOR)
    #[arg(long, global = true, env = "HVYM_TUNNEL_NO_COLOR", hide_env = true)]
    no_color: bool,
    /// Log more to standard error: -v connections, -vv decisions, -vvv every message
    #[arg(short, long, global = true, action = ArgAction::Count, env = "HVYM_TUNNEL_VERBOSE", hide_env = true)]
    verbose: u8,
    /// Write what happens on the data path to this file, one JSON object a line, to look for the reason of a fault
    ///
    /// Sizes, ends and times of links, streams and visitors' connections, at most 256 MiB; no content, no name and no
    /// address.
    #[arg(long, global = true, value_name = "FILE", env = "HVYM_TUNNEL_TRACE", hide_env = true)]
    trace: Option<std::path::PathBuf>,
}

/// How a command that keeps running reports.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct Output {
    /// Write one JSON object per line to standard output instead of text
    ///
    /// Each has a member "event": own_relay, inspecting, ready, bound, request, reached, refused, upstream_unreachable, disconnected,
    /// reconnected, told, draining, stopped, error, for a forward forwarding, not_reached, and for a relay listening,
    /// agent_joined, agent_left (with the member "address", or "name" for guests), audit, database_lost, database_back, certificate_loaded, certificate_kept,
    /// certificate_issued, certificate_failed, state_failed, keys_loaded, keys_kept, upgraded, upgrade_failed, and for up config_loaded, config_kept, link_failed. Without it, the URL and one line per request go to standard output, everything else to standard error.
    #[arg(long, env = "HVYM_TUNNEL_JSON", hide_env = true)]
    json: bool,
    /// Keep the public URL, or where forward listens, in this file while there is one
    ///
    /// It appears whole when visitors can come, and is gone after the end.
    #[arg(long, value_name = "PATH", env = "HVYM_TUNNEL_URL_FILE", hide_env = true)]
    url_file: Option<std::path::PathBuf>,
}

impl Output {
    /// Whether programs read along, and no person.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }
}

impl Cli {
    /// Understands a command line.
    ///
    /// # Errors
    /// How the program ends instead: the help is a clean end, and everything was said already.
    pub(crate) fn understand(arguments: Vec<OsString>) -> Result<Cli, Exit> {
        Cli::parse(arguments).map_err(|error| match error {
            ParseError::Usage(error) => refuse(&error),
            ParseError::File(error) => {
                eprintln!("error: {error}");
                error.exit
            }
        })
    }

    /// As [`Cli::understand`], without a word to anybody.
    fn parse(arguments: Vec<OsString>) -> Result<Cli, ParseError> {
        // Before there are options, errors already have colours.
        let plain = arguments.iter().any(|argument| argument == "--no-color");
        let colour = if plain { ColorChoice::Never } else { ColorChoice::Auto };
        let mut command = without_empty_variables(Cli::command()).color(colour);
        let arguments = translated(arguments, &command);
        if arguments.iter().any(|argument| argument == "-h") {
            command = help::short(command);
        }
        let parse = |arguments: &[OsString]| command.clone().try_get_matches_from(arguments);
        let typed = parse(&arguments)?;
        let count = arguments.len();
        let arguments = relay_file::with_file(&command, &typed, arguments)?;
        let matches = if arguments.len() == count { typed } else { parse(&arguments)? };
        let count = arguments.len();
        let arguments = tunely_env::with_variables(&command, &matches, arguments)?;
        let matches = if arguments.len() == count { matches } else { parse(&arguments)? };
        Ok(Cli::from_arg_matches(&matches)?)
    }

    /// Understands a command line that is run later; nothing is said.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse_line(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
        let matches = without_empty_variables(Cli::command()).try_get_matches_from(arguments)?;
        Cli::from_arg_matches(&matches)
    }

    /// The files that this command writes where it is told to.
    pub(crate) fn written_files(&self) -> impl Iterator<Item = &Path> {
        let url_file = self.output().and_then(|output| output.url_file.as_deref());
        let own = match &self.command {
            Command::Relay(arguments) => {
                [arguments.access_log.access_log.as_deref(), arguments.operator.audit_file.as_deref()]
            }
            Command::Manager(arguments) => [arguments.state_db.as_deref(), None],
            _ => [None, None],
        };
        let all = [url_file, self.terminal.trace.as_deref()].into_iter().chain(own).flatten();
        // A dash is standard output.
        all.filter(|path| *path != Path::new("-"))
    }

    /// The file for the events of the data path, if one is wanted.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn trace(&self) -> io::Result<Option<TraceFile>> {
        self.terminal.trace.as_deref().map(TraceFile::create).transpose()
    }

    fn output(&self) -> Option<&Output> {
        match &self.command {
            Command::Expose(arguments) => Some(&arguments.output),
            Command::Up(arguments) => Some(&arguments.output),
            Command::Forward(arguments) => Some(&arguments.output),
            Command::Relay(arguments) => Some(&arguments.output),
            Command::Demo(arguments) => Some(&arguments.output),
            Command::Manager(arguments) => Some(&arguments.output),
            _ => None,
        }
    }

    /// Whoever waits for the file of `--url-file` would wait for ever if there can be none.
    ///
    /// # Errors
    /// Its folder takes no file.
    pub(crate) fn check_url_file(&self) -> Result<(), ExitError> {
        let Some(path) = self.output().and_then(|output| output.url_file.as_ref()) else { return Ok(()) };
        if path.exists() {
            // It may be no file, as /dev/stderr, which is told when there is a URL.
            return Ok(());
        }
        files::probe(path.parent().unwrap_or(path)).map_err(|error| {
            let message = format!("the URL cannot be kept in {}: {error}", path.display());
            ExitError::new(Exit::Config, message)
                .with_hint("name a file in a folder that this user can write")
        })
    }

    /// Where this command reports, and what it logs from now on.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(crate) fn reporter(&self, trace: Option<TraceFile>) -> io::Result<Reporter> {
        let output = self.output();
        // An empty NO_COLOR counts as none (no-color.org).
        let wanted =
            !self.terminal.no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let live = io::stderr().is_terminal();
        let style = Style {
            json: output.is_some_and(|output| output.json),
            colour: wanted && live && io::stdout().is_terminal(),
            live,
            columns: None,
            url_file: output.and_then(|output| output.url_file.clone()),
        };
        let reporter = Reporter::new(style, io::stdout(), io::stderr())?;
        logs::begin(self.terminal.verbose, trace, &reporter);
        let tell = reporter.panic_log();
        std::panic::set_hook(Box::new(move |panic| tell(&panic.to_string())));
        Ok(reporter)
    }
}

/// Why a command line is not understood.
#[derive(Debug, Error)]
enum ParseError {
    /// It is no command line of this program, or asks for its help.
    #[error("{}", key::concealed(&.0.to_string()))]
    Usage(#[from] clap::Error),
    /// The file that it names.
    #[error(transparent)]
    File(#[from] ExitError),
}

/// Options that are well formed, but contradict each other; further ones are
/// [`SettingsError`](hvym_tunnel_agent::settings::SettingsError)s.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum OptionError {
    /// Somebody took a public service for a private one.
    #[error("--allow says who may reach a private service, and this one is public")]
    AllowedButPublic,
    /// An option of a login that does not happen.
    #[error("{0} is about a login with a token, and --dialect names no system that has one")]
    NoLogin(&'static str),
    /// Nothing to log in with.
    #[error("--dialect {0} logs in with a token, and none is given")]
    NoToken(CompatSystem),
}

/// Runs a command that needs no network.
///
/// # Errors
/// What the command could not do.
pub(crate) fn print(command: Command) -> Result<(), ExitError> {
    match command {
        Command::Identity(arguments) => identity::run(arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Relays(arguments) => relays::run(&arguments),
        Command::Whoami(arguments) => whoami::run(&arguments),
        Command::Version(arguments) => version::run(&arguments),
        Command::Service(arguments) => match crate::service::run(arguments.options()?)? {
            Some(text) => write_out(text.as_bytes()),
            None => Ok(()),
        },
        Command::Completions { shell } => completions::run(shell, &mut Cli::command()),
        Command::Man(arguments) => man::run(&arguments, Cli::command()),
        // Those that need it were run already.
        _ => Ok(()),
    }
}

/// The command line in our words, if it was typed in those of another tunnel; that is said, so that a person learns them.
fn translated(arguments: Vec<OsString>, command: &clap::Command) -> Vec<OsString> {
    let is_command =
        |word: &str| word == "help" || command.get_subcommands().any(|command| command.get_name() == word);
    match words::translate(&arguments, is_command) {
        Some(words::Translated { arguments, shown }) => {
            eprintln!("understood as: {}", key::concealed(&shown));
            arguments
        }
        None => arguments,
    }
}

/// A variable that is set to nothing counts as not set: container files often do that.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|argument| match argument.get_env() {
            Some(name) if is_empty(name) => argument.env(Resettable::Reset),
            _ => argument,
        })
        .mut_subcommands(without_empty_variables)
}

/// Shows what clap has to say, without any secret that was typed where none belongs.
fn refuse(error: &clap::Error) -> Exit {
    let exit = if error.exit_code() == 0 { Exit::Clean } else { Exit::Usage };
    let text = error.to_string();
    let safe = key::concealed(&text);
    if safe == text {
        // Nobody is left to tell if this fails.
        let _closed = error.print();
    } else {
        eprint!("{safe}");
        eprintln!(
            "hint: a secret is never an argument, where every user of this machine can read it: use a file,"
        );
        eprintln!(
            "      {} or --identity-stdin, and consider what was typed here known",
            key::SECRET_VARIABLE
        );
    }
    exit
}

#[cfg(test)]
mod tests {
    use hvym_tunnel_relay::Limits;
    use hvym_tunnel_relay::config::VisitorSettings;

    use super::*;

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_option_has_a_variable_of_its_own_name() {
        fn check(command: &clap::Command) {
            for argument in command.get_arguments().filter(|argument| argument.get_long().is_some()) {
                let long = argument.get_long().expect("filtered above");
                // That variable is the URL of a manager's API for the commands that ask one.
                if (command.get_name(), long) == ("expose", "api") {
                    continue;
                }
                if matches!(long, "help" | "version" | "force" | "of" | "from" | "for" | "reason" | "set") {
                    continue;
                }
                let variable = argument.get_env().map(|name| name.to_string_lossy().into_owned());
                let expected = format!("HVYM_TUNNEL_{}", long.to_uppercase().replace('-', "_"));
                assert_eq!(variable, Some(expected), "{} --{long}", command.get_name());
                assert!(argument.is_hide_env_set(), "--{long} repeats what the rule says");
            }
            // Those of the settings file do one thing and end: nobody sets variables for them.
            command.get_subcommands().filter(|command| command.get_name() != "config").for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn options_that_are_not_typed_have_the_defaults_of_the_library() {
        use hvym_tunnel_agent::settings::LinkSettings;

        let command = LinkSettings::augment_args(clap::Command::new("agent"));
        let command = command.mut_args(|argument| argument.env(Resettable::Reset));
        let matches = command.get_matches_from(["agent"]);
        assert_eq!(LinkSettings::from_arg_matches(&matches).ok(), Some(LinkSettings::default()));
    }

    #[derive(Parser)]
    struct LimitLine {
        #[command(flatten)]
        limits: Limits,
        #[command(flatten)]
        visitors: VisitorSettings,
    }

    fn limits(flags: &[&str]) -> LimitLine {
        LimitLine::parse_from([&["relay"], flags].concat())
    }

    #[test]
    fn what_is_not_said_is_as_usual_and_as_the_help_says() {
        let (usual, visitors) = (Limits::default(), VisitorSettings::default());
        let unsaid = limits(&[]);
        assert_eq!((&unsaid.limits, &unsaid.visitors), (&usual, &visitors));
        let help = LimitLine::command().term_width(1000).render_help().to_string();
        let visitor = VisitorSettings::DEFAULT_CONNECTIONS;
        let counts = [usual.connections, usual.sessions, visitor, usual.requests];
        let counts =
            [counts.as_slice(), &[usual.service_requests, usual.link_streams, usual.unread_mib]].concat();
        let times = [usual.head_timeout, usual.idle_timeout, usual.body_timeout, usual.response_timeout];
        let times = times
            .iter()
            .chain([&usual.send_timeout, &visitors.tunnel_timeout])
            .map(|time| time.as_secs().to_string());
        let all = counts.iter().map(ToString::to_string).chain(times);
        let rates = [VisitorSettings::DEFAULT_RATE, VisitorSettings::DEFAULT_RESETS, visitors.min_rate];
        for number in all.chain(rates.map(|rate| rate.to_string())) {
            assert!(help.contains(&format!("[default: {number}]")), "{number}: {help}");
        }
    }

    #[test]
    fn this_machine_is_limited_once_somebody_asks_for_it() {
        for other in ["--max-connections", "--min-rate", "--tunnel-timeout"] {
            assert!(limits(&[other, "5"]).visitors.exempts_loopback(), "{other}");
        }
        for own in ["connections", "rate", "requests", "tunnels", "resets"] {
            assert!(!limits(&[&format!("--visitor-{own}"), "5"]).visitors.exempts_loopback(), "{own}");
        }
    }
}
