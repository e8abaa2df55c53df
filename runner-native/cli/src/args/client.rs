//! `status`, `start`, `stop`, `restart`, `bind`, `unbind`, `alerts` and `events`: what a person types to a manager that runs.

use std::path::PathBuf;

use clap::Args;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_manager::client::ApiAddress;
use hvym_tunnel_manager::places;
use hvym_tunnel_net::files;
use hvym_tunnel_net::target::{Binding, ServiceName};

use crate::exit::{Exit, ExitError};

/// The longest file of a token that is read.
const MAX_TOKEN_BYTES: usize = 1024;

/// Which manager, and how its answers are shown.
#[derive(Args, Debug)]
#[command(next_help_heading = "Manager")]
pub(crate) struct ClientArgs {
    /// The API of the manager, as http://localhost:8765, in place of your own socket
    #[arg(long, value_name = "URL", env = "HVYM_TUNNEL_API", hide_env = true)]
    api: Option<String>,
    /// The file of the API's token, for --api
    #[arg(long, value_name = "FILE", requires = "api", env = "HVYM_TUNNEL_API_TOKEN_FILE", hide_env = true)]
    api_token_file: Option<PathBuf>,
    /// Write what the manager answers as JSON
    #[arg(long, env = "HVYM_TUNNEL_JSON", hide_env = true)]
    pub(crate) json: bool,
}

impl ClientArgs {
    /// Where the manager is asked.
    ///
    /// # Errors
    /// The URL is none, or there is no place for a socket.
    pub(crate) fn address(&self) -> Result<ApiAddress, ExitError> {
        if let Some(url) = &self.api {
            let token = self.api_token_file.clone().or_else(places::token_file).and_then(|file| token(&file));
            return ApiAddress::parse(url, token)
                .map_err(|error| ExitError::new(Exit::Usage, format!("--api {url}: {error}")));
        }
        let nowhere = || {
            ExitError::new(Exit::Config, "there is no home folder, and so no socket of a manager")
                .with_hint("name its API with --api http://localhost:8765")
        };
        places::api_socket().map(ApiAddress::Socket).ok_or_else(nowhere)
    }
}

/// The token in a file, if there is one. Without it the manager says that one is needed.
fn token(file: &std::path::Path) -> Option<String> {
    let text = files::read_text_limited(std::fs::File::open(file).ok()?, MAX_TOKEN_BYTES).ok()?;
    Some(text.trim().to_owned())
}

/// Show links, connections and services of a manager that runs
#[derive(Args, Debug)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Which links are meant.
#[derive(Args, Debug)]
pub(crate) struct LinkArgs {
    /// The link; all of them without it
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Add a service to a manager that runs, or replace the one of its name
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
    hvym-tunnel bind docs=4000
    hvym-tunnel bind db=tcp://localhost:5432 --private --allow GFRIEND...")]
pub(crate) struct BindArgs {
    /// Its name, and the local place
    #[arg(value_name = "NAME=TARGET")]
    pub(crate) binding: Binding,
    /// Keep visitors out: only identities named by --allow reach it
    #[arg(long, env = "HVYM_TUNNEL_PRIVATE", hide_env = true)]
    pub(crate) private: bool,
    /// Let in the identity with this address (G...); repeat for more
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', env = "HVYM_TUNNEL_ALLOW", hide_env = true)]
    pub(crate) allow: Vec<Address>,
    /// How to check it: tcp, ollama, or a path to ask for by HTTP
    #[arg(long, value_name = "PROBE", env = "HVYM_TUNNEL_PROBE", hide_env = true)]
    pub(crate) probe: Option<String>,
    /// By which link, if there are several
    #[arg(long, value_name = "NAME", env = "HVYM_TUNNEL_LINK", hide_env = true)]
    pub(crate) link: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Remove a service from a manager that runs
#[derive(Args, Debug)]
pub(crate) struct UnbindArgs {
    /// Its name
    pub(crate) name: ServiceName,
    /// Of which link, if several have it
    #[arg(long, value_name = "NAME", env = "HVYM_TUNNEL_LINK", hide_env = true)]
    pub(crate) link: Option<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Show alerts of a manager that runs
#[derive(Args, Debug)]
pub(crate) struct AlertsArgs {
    /// Forget those that are over
    #[arg(long, env = "HVYM_TUNNEL_CLEAR", hide_env = true)]
    pub(crate) clear: bool,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// Show what happens in a manager that runs, until it ends or Ctrl-C
#[derive(Args, Debug)]
pub(crate) struct EventsArgs {
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}
