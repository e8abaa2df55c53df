//! `manager`: what a person types to keep links and services running, watched, and changeable over the local API.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hvym_tunnel_agent::ServiceSpec;
use hvym_tunnel_agent::settings::LinkSettings;
use hvym_tunnel_manager::health::CheckTiming;
use hvym_tunnel_manager::places;
use hvym_tunnel_manager::settings::{
    API_PORT, ApiSettings, ApiTlsFiles, Hook, HookAction, HookTrigger, ManagedService,
};
use hvym_tunnel_net::key::Source;
use hvym_tunnel_net::seconds;
use hvym_tunnel_net::target::Binding;

use super::Output;
use super::compat::CompatArgs;
use super::config::SettingsArgs;
use super::identity::{IdentityRole, SourceArgs, known_relays};
use super::inspect::InspectArgs;
use super::names::NameArgs;
use crate::config::load_or_default;
use crate::exit::{EXIT_CODES, Exit, ExitError};
use crate::inspect::InspectOptions;
use crate::manager::{ManagerOptions, SettingsFile};
use crate::report::Reporter;

/// The name of the only link.
const LINK: &str = "relay";

const AFTER: &str = "\
Examples:
    hvym-tunnel manager                              what the settings file says
    hvym-tunnel manager --relay tunnel.example --bind web=3000 --bind llm=11434
    curl http://localhost:8765/api/status
    hvym-tunnel bind docs=4000
    hvym-tunnel status

Without --relay and --bind it runs the links and services of the settings file, and
follows its changes, as up does; what is wrong with a new one changes nothing.
The API is for this machine alone. What changes something needs the token of the file
api.token in your state folder (~/.local/state/hvym-tunnel); the commands status,
start, stop, restart, bind, unbind, alerts and events need none: they use a socket
that only you can open. Where the API listens stands alone on the first line of
standard output. After the next start everything is as it was: what was stopped stays
stopped, what was added is there, and alerts are remembered.";

/// Keep links and services running, watch them, and serve an API on port 8765
#[derive(Args, Debug)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}"))]
pub(crate) struct ManagerArgs {
    /// Expose a service under its own name; repeat for more. Others may be added while it runs
    #[arg(
        long,
        value_name = "NAME=TARGET",
        value_delimiter = ',',
        env = "HVYM_TUNNEL_BIND",
        hide_env = true
    )]
    bind: Vec<Binding>,
    #[command(flatten)]
    api: ApiArgs,
    /// Where to keep what outlives the end: what was stopped or added, alerts, requests and sums; state.db in your state folder
    #[arg(long, value_name = "FILE", env = "HVYM_TUNNEL_STATE_DB", hide_env = true)]
    pub(super) state_db: Option<PathBuf>,
    #[command(flatten)]
    checks: CheckArgs,
    #[command(flatten)]
    inspect: InspectArgs,
    #[command(flatten)]
    names: NameArgs,
    #[command(flatten)]
    link: LinkSettings,
    #[command(flatten)]
    compat: CompatArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    pub(crate) output: Output,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "API")]
pub(crate) struct ApiArgs {
    /// The port of the API, on this machine alone; 0 is a free one
    #[arg(long, value_name = "PORT", default_value_t = API_PORT, env = "HVYM_TUNNEL_API_PORT", hide_env = true)]
    api_port: u16,
    /// Serve other machines too, at this address of this one, by TLS and with the token alone; repeat for more
    #[arg(
        long,
        value_name = "IP",
        value_delimiter = ',',
        requires_all = ["api_tls_cert", "api_tls_key"],
        env = "HVYM_TUNNEL_API_LISTEN",
        hide_env = true
    )]
    api_listen: Vec<IpAddr>,
    /// The certificate chain for other machines (PEM)
    #[arg(
        long,
        value_name = "FILE",
        requires = "api_tls_key",
        env = "HVYM_TUNNEL_API_TLS_CERT",
        hide_env = true
    )]
    api_tls_cert: Option<PathBuf>,
    /// Its private key (PEM), which nobody else may read
    #[arg(
        long,
        value_name = "FILE",
        requires = "api_tls_cert",
        env = "HVYM_TUNNEL_API_TLS_KEY",
        hide_env = true
    )]
    api_tls_key: Option<PathBuf>,
    /// Serve no API over TCP; the socket stays
    #[arg(long, env = "HVYM_TUNNEL_NO_API", hide_env = true)]
    no_api: bool,
    /// The Unix socket of the API, in place of hvym-tunnel/api.sock in $XDG_RUNTIME_DIR
    #[arg(long, value_name = "FILE", env = "HVYM_TUNNEL_API_SOCKET", hide_env = true)]
    api_socket: Option<PathBuf>,
    /// Offer the dashboard as the private service `manager`, which your own identity alone opens from anywhere
    #[arg(long, conflicts_with = "no_api", env = "HVYM_TUNNEL_API_REMOTE", hide_env = true)]
    api_remote: bool,
    /// The file of the API's token, made at the first start
    #[arg(long, value_name = "FILE", env = "HVYM_TUNNEL_API_TOKEN_FILE", hide_env = true)]
    api_token_file: Option<PathBuf>,
    /// Let pages of this origin use the API, with the token; http://localhost:* stands for any port. Repeat for more
    #[arg(
        long,
        value_name = "ORIGIN",
        value_delimiter = ',',
        default_value = "http://localhost:*,https://app.cloudtolocalllm.online",
        env = "HVYM_TUNNEL_API_ORIGIN",
        hide_env = true
    )]
    api_origin: Vec<String>,
    /// Let requests by this host name use the API, beside those of this machine; repeat for more
    #[arg(long, value_name = "NAME", value_delimiter = ',', env = "HVYM_TUNNEL_API_HOST", hide_env = true)]
    api_host: Vec<String>,
    /// Ask for the token for reading too, and of your own programs for starting and stopping
    #[arg(long, env = "HVYM_TUNNEL_API_STRICT", hide_env = true)]
    api_strict: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Checks")]
struct CheckArgs {
    /// Check every connection this often, 5 to 300 s
    #[arg(
        long, value_name = "SECS", value_parser = check_interval, default_value = "30",
        env = "HVYM_TUNNEL_CHECK_INTERVAL", hide_env = true,
    )]
    check_interval: Duration,
    /// Tell Pintheon on this machine (https://127.0.0.1:9999/update_gateway) where the first service is reached
    #[arg(long, env = "HVYM_TUNNEL_UPDATE_GATEWAY", hide_env = true)]
    update_gateway: bool,
}

/// The bounds of the Tunnel Manager's `healthCheckInterval`.
fn check_interval(text: &str) -> Result<Duration, String> {
    let interval = seconds::parse(text).map_err(|error| error.to_string())?;
    let range = Duration::from_secs(5)..=Duration::from_secs(300);
    if range.contains(&interval) { Ok(interval) } else { Err("it is 5 to 300 seconds".to_owned()) }
}

impl ManagerArgs {
    /// The settings file, unless the command line says what to expose, or where.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub(crate) fn file(&self, reporter: &Reporter) -> Result<Option<SettingsFile>, ExitError> {
        if self.link.relay.is_some() || !self.bind.is_empty() {
            return Ok(None);
        }
        let (path, overrides) = (self.settings.path()?, self.settings.overrides());
        let loaded = load_or_default(&path, self.settings.config.is_some(), &overrides)?;
        Ok(Some(SettingsFile::new(path, overrides, loaded.settings, reporter.clone())))
    }

    /// Where to keep what outlives the end; `None` without a home folder.
    pub(crate) fn state_db(&self) -> Option<PathBuf> {
        self.state_db.clone().or_else(places::state_db)
    }

    /// Where requests are shown; nowhere unless it is asked for, since nobody may sit at this machine.
    pub(crate) fn inspect(&self) -> Option<InspectOptions> {
        self.inspect.options(true)
    }

    /// Checked options, and where the identity is.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn options(self) -> Result<(Source, ManagerOptions), ExitError> {
        let source = self.source.source(IdentityRole::Agent);
        let (path, overrides) = (self.settings.path()?, self.settings.overrides());
        let beside = load_or_default(&path, self.settings.config.is_some(), &overrides)?.settings;
        self.link.check()?;
        let first = self.bind.first().map(|binding| binding.service.to_string());
        let service =
            |binding: Binding| ManagedService::new(ServiceSpec::new(binding.service, binding.target));
        let services: Vec<_> = self.bind.into_iter().map(service).collect();
        services.iter().try_for_each(|service| service.spec.check())?;
        let gateway = Hook { service: first, when: HookTrigger::Changed, action: HookAction::pintheon() };
        let options = ManagerOptions {
            name: LINK.to_owned(),
            link: self.link,
            compat: self.compat.settings()?,
            known_relays: known_relays(&source),
            has_own_relay: false,
            names: self.names.names,
            services,
            inspect: self.inspect.options(true),
            checks: CheckTiming { interval: self.checks.check_interval, ..CheckTiming::default() },
            hooks: self.checks.update_gateway.then_some(gateway).into_iter().collect(),
            api: self.api.settings()?,
            beside,
        };
        Ok((source, options))
    }
}

impl ApiArgs {
    fn settings(self) -> Result<ApiSettings, ExitError> {
        let token_file = self.api_token_file.or_else(places::token_file).ok_or_else(|| {
            ExitError::new(Exit::Config, "there is no home folder for the token of the API")
                .with_hint("name a file with --api-token-file")
        })?;
        let mut settings = ApiSettings::new(self.api_port, token_file);
        settings.listen.extend(self.api_listen.iter().map(|ip| SocketAddr::new(*ip, self.api_port)));
        let files = self.api_tls_cert.zip(self.api_tls_key);
        settings.tls = files.map(|(certificate, key)| ApiTlsFiles { certificate, key });
        if self.no_api {
            settings.listen.clear();
        }
        settings.socket = self.api_socket.or_else(places::api_socket).filter(|_| cfg!(unix));
        settings.owner_socket =
            settings.socket.as_deref().filter(|_| self.api_remote).map(places::owner_socket);
        settings.allowed_origins = self.api_origin;
        settings.allowed_hosts = self.api_host;
        (settings.local_read, settings.local_control) = (!self.api_strict, !self.api_strict);
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_come_every_five_to_three_hundred_seconds() {
        for (text, fine) in [("4.9", false), ("5", true), ("300", true), ("300.1", false), ("x", false)] {
            assert_eq!(check_interval(text).is_ok(), fine, "{text}");
        }
    }
}
