//! What `-h` shows: of each large command the options that most people need, on one screen of 80 columns and 24 lines.
//!
//! `--help` shows everything.

use clap::builder::{Resettable, Str};
use clap::{Arg, Command};

/// The commands that most people need.
const COMMANDS: [&str; 9] =
    ["expose", "up", "forward", "share", "status", "requests", "relay", "doctor", "service"];

/// The arguments that most people need, by command, each with what fits into a line.
const ARGUMENTS: [(&str, &[(&str, &str)]); 3] = [
    (
        "expose",
        &[
            ("target", "3000, host:3000, https://host, ./folder, tcp://host:22"),
            ("relay", "the relay to connect to, as tunnel.example"),
            ("lan", "without a relay: for this network, too"),
            ("name", "ask for this name, or host name of your own"),
            ("service", "the name of the service"),
            ("bind", "one more service"),
            ("host-header", "the Host that a dev server wants"),
            ("basic-auth-file", "ask visitors for a password"),
            ("private", "for identities alone, by hvym-tunnel forward"),
            ("allow", "which identities; repeat for more"),
            ("url-file", "keep the URL in this file"),
            ("json", "one JSON object a line, for programs"),
        ],
    ),
    (
        "forward",
        &[
            ("to", "ADDRESS/SERVICE, or a link of hvym-tunnel share"),
            ("listen", "a port of this machine, as 5432"),
            ("relay", "the relay of the owner"),
            ("identity", "the file of another key"),
            ("url-file", "keep the place to connect to in this file"),
            ("json", "one JSON object a line, for programs"),
        ],
    ),
    (
        "relay",
        &[
            ("domain", "agents are names below it"),
            ("listen", "where, as 0.0.0.0:443"),
            ("acme", "have certificates issued; your e-mail address"),
            ("dns-listen", "be the DNS server of the domain"),
            ("tls-cert", "a certificate of your own (PEM)"),
            ("tls-key", "its key (PEM)"),
            ("allow-agent", "who may connect: G...; repeat for more"),
            ("open", "everybody may"),
            ("claim-names", "give names that people choose"),
            ("tcp-ports", "ports for services that are no websites"),
            ("json", "one JSON object a line, for programs"),
        ],
    ),
];

const TOP: &str = "\
Try it: hvym-tunnel expose 3000
All commands and options: hvym-tunnel --help";

const MORE: &str = "All options, examples and exit codes: --help";

/// `command` as `-h` shows it.
pub(super) fn short(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let rare = names.iter().filter(|name| !COMMANDS.contains(&name.as_str()));
    let command =
        rare.fold(command, |command, name| command.mut_subcommand(name, |command| command.hide(true)));
    let command = command
        .after_help(TOP)
        .disable_help_subcommand(true)
        .mut_args(|argument| argument.hide_short_help(true));
    ARGUMENTS.into_iter().fold(command, |command, (name, texts)| {
        command.mut_subcommand(name, |command| {
            command.mut_args(|argument| shortened(argument, texts)).after_help(MORE)
        })
    })
}

/// `argument` as one of `texts`, or hidden.
fn shortened(argument: Arg, texts: &[(&str, &'static str)]) -> Arg {
    let name = argument.get_long().map_or_else(|| argument.get_id().to_string(), str::to_owned);
    let Some((_, text)) = texts.iter().find(|(known, _)| *known == name) else {
        return argument.hide_short_help(true);
    };
    let has_value = argument.get_action().takes_values();
    // Headings take a screen of their own.
    let argument = argument.help_heading(Resettable::<Str>::Reset).help(*text);
    if has_value { argument.hide_default_value(true).hide_possible_values(true) } else { argument }
}
