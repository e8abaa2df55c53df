//! `hvym-tunnel`: both sides of a tunnel in one program.
//!
//! Only the way through it: understand the command line, find the identity, run one side, end with one exit code.

mod access_log;
#[cfg_attr(not(target_os = "linux"), path = "activation_elsewhere.rs")]
mod activation;
mod admin;
mod agent_reports;
mod args;
mod backup;
mod config;
mod delegations;
mod demo;
mod doctor;
mod embedded;
mod exit;
mod expose;
mod failure;
mod forward;
mod health;
mod inspect;
mod joined;
#[cfg_attr(not(unix), path = "keys_elsewhere.rs")]
mod keys;
mod logs;
mod manager;
mod manager_client;
mod mcp;
mod memory;
mod output;
mod passphrase;
mod qr_code;
mod registry;
mod relay;
mod relay_client;
mod report;
mod requests;
mod revoke;
mod run_agent;
mod service;
mod share;
mod signals;
mod supervisor;
#[cfg(unix)]
mod terminal;
mod trace_file;
mod tunnel;
mod up;
#[cfg_attr(not(target_os = "linux"), path = "upgrade_elsewhere.rs")]
mod upgrade;

use std::path::Path;
use std::process::ExitCode;

use crate::access_log::AccessLogFile;
use crate::exit::{Exit, ExitError};
use crate::report::{Report, Reporter};
use crate::signals::StopSignals;
use crate::trace_file::TraceFile;
use args::mcp::McpArgs;
use args::registry::{RegistryArgs, RelayCommand};
use args::{Cli, Command};
use hvym_tunnel_net::external_signer::ExternalSigner;
use hvym_tunnel_net::key::{Identity, Source};
use hvym_tunnel_net::runtime::Runtime;
use hvym_tunnel_net::signer::Signer;
use hvym_tunnel_net::target::RelayUrl;

/// Gives memory back to the system after a peak; glibc's keeps it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::understand(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(exit) => return exit.into(),
    };
    let trace = match cli.trace() {
        Ok(trace) => trace,
        Err(error) => {
            eprintln!("error: cannot write the file of --trace: {error}");
            return Exit::Unexpected.into();
        }
    };
    let traced = trace.as_ref().map(TraceFile::writer);
    let reporter = match cli.reporter(trace) {
        Ok(reporter) => reporter,
        Err(error) => {
            eprintln!("error: cannot start a thread that writes: {error}");
            return Exit::Unexpected.into();
        }
    };
    cli.passphrase.begin();
    let usable = cli.check_url_file();
    let result = usable.and_then(|()| run(cli.command, &reporter));
    if let Err(failure) = &result {
        reporter.tell(&Report::from(failure));
    }
    reporter.finish();
    traced.as_ref().map(TraceFile::flush);
    result.map_or_else(|failure| failure.exit, |()| Exit::Clean).into()
}

fn run(command: Command, reporter: &Reporter) -> Result<(), ExitError> {
    match command {
        Command::Expose(arguments) => {
            let (source, options) = arguments.options()?;
            let signer = match &options.compat {
                // A token is shown there, and no identity: one for nobody to see need not be kept.
                Some(_) => Identity::generate()?.into(),
                None => signer(&source, options.link.relay.as_ref(), reporter)?,
            };
            runtime()?.run(expose::run(signer, options, reporter.clone(), signals()?))
        }
        Command::Config(arguments) => config::run(arguments),
        Command::Up(arguments) => {
            let options = arguments.options()?;
            runtime()?.run(up::run(options, reporter.clone(), signals()?))
        }
        Command::Identity(arguments) => match arguments.revocation()? {
            Ok(options) => runtime()?.run(revoke::run(options)),
            Err(arguments) => args::print(Command::Identity(arguments)),
        },
        Command::Forward(arguments) => {
            let (source, options) = arguments.options()?;
            let signer = match &options.share {
                Some(link) => Identity::from_share_link(link).into(),
                None => signer(&source, options.link.relay.as_ref(), reporter)?,
            };
            runtime()?.run(forward::run(signer, options, reporter.clone(), signals()?))
        }
        Command::Demo(arguments) => {
            let (source, options) = arguments.options()?;
            let signer = signer(&source, None, reporter)?;
            runtime()?.run(demo::run(signer, options, reporter.clone(), signals()?))
        }
        Command::Relay(mut arguments) => {
            let registry = arguments.registry.clone();
            if let Some(command) = arguments.command.take() {
                return look_after(command, registry, &arguments.identity_file()?);
            }
            let audit = relay::audit_file(arguments.operator.audit_file.as_deref())?;
            let access_log = AccessLogFile::open(&arguments.access_log)?;
            let (source, options) = arguments.options()?;
            let identity = identity(&source, reporter)?;
            let reports = relay::Reports::new(reporter.clone(), audit, access_log);
            runtime()?.run(relay::run(identity, options, registry, reports, signals()?))
        }
        Command::Manager(arguments) => {
            let (db, inspect) = (arguments.state_db(), arguments.inspect());
            if let Some(file) = arguments.file(reporter)? {
                return runtime()?.run(manager::run_file(file, db, inspect, reporter.clone(), signals()?));
            }
            let (source, options) = arguments.options()?;
            let signer = signer(&source, options.link.relay.as_ref(), reporter)?;
            runtime()?.run(manager::run(signer, options, db, reporter.clone(), signals()?))
        }
        Command::Mcp(arguments) => serve_assistant(*arguments, reporter),
        command => ask(command),
    }
}

/// What is done to the files of a relay while it need not run.
fn look_after(command: RelayCommand, registry: RegistryArgs, identity: &Path) -> Result<(), ExitError> {
    match command {
        RelayCommand::Db(arguments) => runtime()?.run(registry::run(arguments, registry.database)),
        RelayCommand::Backup(arguments) => {
            let identity = identity.to_owned();
            runtime()?.run(async move { arguments.run(&identity).await })
        }
        RelayCommand::Restore(arguments) => arguments.run(identity),
    }
}

/// Serves the client on standard input and output.
fn serve_assistant(arguments: McpArgs, reporter: &Reporter) -> Result<(), ExitError> {
    let (source, options) = arguments.options()?;
    let signer = signer(&source, options.link.relay.as_ref(), reporter)?;
    runtime()?.run(mcp::run(signer, options, signals()?))
}

/// Asks something that runs, or needs no network at all.
fn ask(command: Command) -> Result<(), ExitError> {
    match command {
        Command::Doctor(arguments) => runtime()?.run(doctor::run(arguments.options()?)),
        Command::Status(arguments) => runtime()?.run(manager_client::status(arguments)),
        Command::Start(arguments) => runtime()?.run(manager_client::control("start", arguments)),
        Command::Stop(arguments) => runtime()?.run(manager_client::control("stop", arguments)),
        Command::Restart(arguments) => runtime()?.run(manager_client::control("restart", arguments)),
        Command::Bind(arguments) => runtime()?.run(manager_client::bind(arguments)),
        Command::Unbind(arguments) => runtime()?.run(manager_client::unbind(arguments)),
        Command::Alerts(arguments) => runtime()?.run(manager_client::alerts(arguments)),
        Command::Events(arguments) => runtime()?.run(manager_client::events(arguments, signals()?)),
        Command::Requests(arguments) => runtime()?.run(requests::run(arguments)),
        Command::Tunnel(arguments) => runtime()?.run(tunnel::run(arguments)),
        Command::Admin(arguments) => runtime()?.run(admin::run(arguments)),
        Command::Health(arguments) => runtime()?.run(health::run(arguments)),
        Command::Logs(arguments) => runtime()?.run(logs::run(arguments.options()?)),
        Command::Share(arguments) => {
            let shared = args::share::run(&arguments)?;
            runtime()?.run(share::warn_if_not_served(shared))
        }
        Command::Backup(arguments) => runtime()?.run(arguments.run()),
        Command::Restore(arguments) => arguments.run(),
        command => args::print(command),
    }
}

/// Where everything runs.
fn runtime() -> Result<Runtime, ExitError> {
    let refused = |error| ExitError::new(Exit::Unexpected, format!("cannot start threads: {error}"));
    // The description of all options was needed for the command line alone, and this thread allocates no more.
    memory::collect();
    let runtime = Runtime::new().map_err(refused)?;
    runtime.spawn(memory::return_freed()).detach();
    Ok(runtime)
}

/// From here on Ctrl-C asks, and no longer kills.
fn signals() -> Result<StopSignals, ExitError> {
    let refused = |error| ExitError::new(Exit::Unexpected, format!("cannot listen for Ctrl-C: {error}"));
    StopSignals::new().map_err(refused)
}

/// What signs the logins at `relay`: the identity, made on first use, or another program.
fn signer(source: &Source, relay: Option<&RelayUrl>, reporter: &Reporter) -> Result<Signer, ExitError> {
    match &source.signer {
        None => Ok(identity(source, reporter)?.into()),
        Some(place) => {
            let external = ExternalSigner::connect(place.clone())?;
            Ok(Signer::external(external, relay.map(RelayUrl::host_field))?)
        }
    }
}

/// The identity to run with, made on first use.
fn identity(source: &Source, reporter: &Reporter) -> Result<Identity, ExitError> {
    let (identity, created) = Identity::load_or_create(source)?;
    if let Some(path) = created {
        let path = path.display().to_string();
        reporter.tell(&Report::IdentityCreated { address: identity.address(), path });
    }
    Ok(identity)
}
