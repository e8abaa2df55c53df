//! `config`: what a person types about the settings file.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hvym_tunnel_settings::{ImportSource, Override};

/// Which settings file, and what is set beside it.
#[derive(Args, Debug)]
pub(crate) struct SettingsArgs {
    /// The settings file; without it config.toml in your settings folder (~/.config/hvym-tunnel), else in /etc/hvym-tunnel
    #[arg(long, global = true, value_name = "FILE", env = "HVYM_TUNNEL_CONFIG", hide_env = true)]
    pub(crate) config: Option<PathBuf>,
    /// Set a key for this run, as in api.port=9000; repeat for more
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub(crate) set: Vec<Override>,
}

fn key_and_value(text: &str) -> Result<Override, String> {
    Override::from_flag(text).ok_or_else(|| "a key, = and a value are needed, as in api.port=9000".to_owned())
}

/// Show, check and change the settings file, config.toml
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    hvym-tunnel config check                         everything that is wrong, by line
    hvym-tunnel config show --effective --origin     every setting, and who set it
    hvym-tunnel config set health.interval 60        change a key; comments stay
    hvym-tunnel config set link.main.relay wss://tunnel.example
    hvym-tunnel config set service.web.target 3000
    hvym-tunnel config get link.main.relay
    hvym-tunnel config import tunnel_config.json     take in an older program's file
    hvym-tunnel config import --from tunnel-manager  the same, from where it keeps it
    hvym-tunnel config restore                       go back to the newest backup

What is typed (--set) wins over a variable, the variable over the file, the file
over the default. api.port is set by HVYM_TUNNEL_API_PORT, and so on for every
key of a section. Before each change there is a backup, of which 20 are kept.")]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
}

#[derive(Subcommand, Debug)]
pub(crate) enum ConfigAction {
    /// Print where the settings file is
    Path,
    /// Print the settings file
    Show {
        /// Every setting, with the defaults, variables and --set
        #[arg(long)]
        effective: bool,
        /// Who set each: a line of the file, a variable, the command line, or nobody
        #[arg(long, requires = "effective")]
        origin: bool,
    },
    /// Say everything that is wrong with the settings (exit 3), or nothing
    Check {
        /// Another file than the one in use
        file: Option<PathBuf>,
    },
    /// Print the JSON schema of the settings file, for editors
    Schema,
    /// Print the value of a key, or a whole section
    Get {
        /// As in health.interval, link.main.relay or api
        key: String,
    },
    /// Change a key in the file, which is made if there is none
    ///
    /// link.NAME.relay and service.NAME.target add a link or a service of this name.
    Set {
        /// As in health.interval or link.main.relay
        key: String,
        /// TOML, or a text as it is
        value: String,
    },
    /// Write a copy of the settings file
    Export {
        /// Where to; - is standard output
        file: PathBuf,
        /// With the users, passwords and queries of URLs that are called
        #[arg(long)]
        with_secrets: bool,
    },
    /// Take in the settings of another program, or a copy
    ///
    /// Known are config.toml itself, tunnel_config.json (CloudToLocalLLM's Tunnel Manager), connection_config.json (its
    /// tray), Metavinci's TinyDB database, and the TOML file of tunely's agent. Their files are read and never written.
    Import {
        /// The file; with --from it may be left out where its place, or a variable, is usual
        #[arg(required_unless_present = "from")]
        file: Option<PathBuf>,
        /// Whose it is: hvym-tunnel, tunnel-manager, tray, metavinci or tunely
        #[arg(long, value_name = "PROGRAM", value_parser = import_source)]
        from: Option<ImportSource>,
        /// Print what the file would be, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Copy the settings file into backups beside it
    Backup,
    /// Go back to a backup, the newest unless one is named
    Restore {
        /// Which
        file: Option<PathBuf>,
    },
    /// Begin anew with an empty file
    Reset,
}

fn import_source(text: &str) -> Result<ImportSource, String> {
    let found = ImportSource::WORDS.into_iter().find(|(word, _)| *word == text);
    found.map(|(_, source)| source).ok_or_else(|| {
        let words: Vec<_> = ImportSource::WORDS.into_iter().map(|(word, _)| word).collect();
        format!("known are {}", words.join(", "))
    })
}
