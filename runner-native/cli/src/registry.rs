//! `relay db`: the database of a relay's tunnels; and how `relay` opens it.

use std::path::Path;

use hvym_tunnel_net::files;
use hvym_tunnel_registry::{
    DatabaseContents, DatabaseUrl, Export, MAX_IMPORT_BYTES, RegistryError, TunnelRegistry, contents,
    import_tunely, migrate, rollback, status, unix_millis,
};
use hvym_tunnel_relay::config::RelayOptions;

use crate::args::registry::{DatabaseArgs, DbArgs, DbCommand, RegistryArgs};
use crate::args::tunely_env::TunelyEnv;
use crate::exit::{Exit, ExitError};
use crate::output::write_out;

impl From<RegistryError> for ExitError {
    fn from(error: RegistryError) -> ExitError {
        ExitError::new(Exit::Config, error.to_string())
    }
}

/// Opens the tunnels of a relay with these options; `None`: it serves no agents of Tunely.
///
/// # Errors
/// The database cannot be used, or is named for nothing.
pub(crate) async fn open(
    arguments: &RegistryArgs,
    options: &RelayOptions,
) -> Result<Option<TunnelRegistry>, ExitError> {
    if options.guests.tunely.is_none() {
        if arguments.database.is_named() {
            let message = "--database keeps tunnels of tunely's agents, and the configuration file has no section [tunely]";
            return Err(ExitError::new(Exit::Config, message));
        }
        return Ok(None);
    }
    let own = arguments.database.url(options.state.state_dir.as_deref())?;
    let variables = arguments.tunely_env.then(TunelyEnv::of_process);
    let theirs = variables.map(|variables| variables.database()).transpose()?.flatten();
    let opened = match (own, theirs) {
        (own, Some(theirs)) => open_adopted(arguments, own, &theirs).await?,
        (Some(own), None) => TunnelRegistry::open(&own, arguments.migrate()).await?,
        (None, None) => return Ok(None),
    };
    Ok(Some(opened))
}

/// Opens `own` with the tunnels of `theirs`, if those are Tunely's and `own` is new. What is not Tunely's is used as it is, unless
/// the relay has a database that was named.
async fn open_adopted(
    arguments: &RegistryArgs,
    own: Option<DatabaseUrl>,
    theirs: &DatabaseUrl,
) -> Result<TunnelRegistry, ExitError> {
    let migrate = arguments.migrate();
    let is_tunely = contents(theirs).await? == DatabaseContents::Tunely;
    let own = match own {
        Some(own) if is_tunely || arguments.database.is_named() => own,
        _ => return Ok(TunnelRegistry::open(theirs, migrate).await?),
    };
    let opened = TunnelRegistry::open(&own, migrate).await?;
    // Of a registry that somebody emptied, its audit log tells.
    let is_new = opened.list().is_empty() && opened.audit_log(1).await.is_ok_and(|log| log.is_empty());
    if !is_tunely || !is_new {
        return Ok(opened);
    }
    drop(opened);
    let report = import_tunely(theirs, &own).await?;
    tracing::warn!("{} tunnel(s) of {theirs} were added to {own}", report.imported);
    for name in &report.unusable {
        tracing::warn!("left out: {name:?} is no host name in lower case");
    }
    Ok(TunnelRegistry::open(&own, migrate).await?)
}

/// Runs a command.
///
/// # Errors
/// The database cannot be used.
pub(crate) async fn run(arguments: DbArgs, database: DatabaseArgs) -> Result<(), ExitError> {
    let url = arguments.url(&database)?;
    let said = match arguments.command {
        DbCommand::Migrate => match migrate(&url, unix_millis()).await? {
            0 => format!("{url} is of the newest version\n"),
            made => format!("{url}: {made} step(s) made\n"),
        },
        DbCommand::Status => {
            let steps = status(&url).await?;
            let line = |step: &hvym_tunnel_registry::MigrationStatus| match step.applied_at {
                Some(_) => format!("{}  made\n", step.name),
                None => format!("{}  to be made\n", step.name),
            };
            steps.iter().map(line).collect()
        }
        DbCommand::Rollback { yes: false } => {
            let message =
                format!("this deletes what the last step of {url} has brought, with all tunnels in it");
            return Err(ExitError::new(Exit::Config, message).with_hint("export first, then say --yes"));
        }
        DbCommand::Rollback { yes: true } => match rollback(&url).await? {
            Some(step) => format!("{url}: {step} taken back\n"),
            None => format!("{url} has no tables\n"),
        },
        DbCommand::Export => format!("{}\n", Export::read(&url).await?.to_json()?),
        DbCommand::Import { from } => import(&from.url()?, &url).await?,
    };
    write_out(said.as_bytes())
}

/// Adds what `from` holds, and says what that was.
async fn import(from: &DatabaseUrl, to: &DatabaseUrl) -> Result<String, ExitError> {
    if let Some(file) = from.file() {
        if !file.exists() {
            return Err(ExitError::new(Exit::Config, format!("there is no {}", file.display())));
        }
        if let Some(export) = export(file)? {
            return Ok(format!("{} tunnel(s) added to {to}\n", export.write(to).await?));
        }
    }
    let report = import_tunely(from, to).await?;
    let mut said = format!("{} tunnel(s) added to {to}\n", report.imported);
    for name in &report.unusable {
        said.push_str(&format!("left out: {name:?} is no host name in lower case\n"));
    }
    for name in &report.taken {
        said.push_str(&format!("left out: {name:?} is there already\n"));
    }
    Ok(said)
}

/// The export in this file; `None`: it is something else.
fn export(file: &Path) -> Result<Option<Export>, ExitError> {
    let unreadable = |error: std::io::Error| {
        ExitError::new(Exit::Config, format!("cannot read {}: {error}", file.display()))
    };
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    let content = files::read_limited(opened, MAX_IMPORT_BYTES).map_err(unreadable)?;
    if content.trim_ascii_start().starts_with(b"{") { Ok(Some(Export::parse(&content)?)) } else { Ok(None) }
}
