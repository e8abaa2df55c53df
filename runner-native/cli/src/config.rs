//! `config`: shows, checks and changes the settings file.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hvym_tunnel_net::files::{self, FileAccess};
use hvym_tunnel_settings::{
    Backups, EditError, EffectiveValue, FileError, Import, ImportError, ImportSource, Loaded, Mistakes,
    Override, config_file, effective, get, import, import_variables, load, parse, read, schema, set,
    variables, without_secrets, write,
};

use crate::args::config::{ConfigAction, ConfigArgs, SettingsArgs};
use crate::exit::{Exit, ExitError};
use crate::output::write_out;
use crate::service::start_on_boot;

/// What a new file holds.
pub(crate) const EMPTY: &str = "version = 1\n";

impl SettingsArgs {
    /// The settings file.
    ///
    /// # Errors
    /// There is no home folder.
    pub(crate) fn path(&self) -> Result<PathBuf, ExitError> {
        config_file(self.config.as_deref()).map_err(|error| ExitError::new(Exit::Config, error.to_string()))
    }

    /// What is set beside the file; what is typed comes last, and wins.
    pub(crate) fn overrides(&self) -> Vec<Override> {
        let mut all = variables(|name| std::env::var(name).ok());
        all.extend(self.set.iter().cloned());
        all
    }
}

/// The settings at `path`; a file that is not there says nothing, unless it was named.
///
/// # Errors
/// [`FileError`]
pub(crate) fn load_or_default(
    path: &Path,
    is_named: bool,
    overrides: &[Override],
) -> Result<Loaded, FileError> {
    match load(path, overrides) {
        Err(FileError::Missing(_)) if !is_named => Ok(parse("", path, overrides)?),
        loaded => loaded,
    }
}

/// Runs the command.
///
/// # Errors
/// What it could not do, or everything that is wrong with the settings.
pub(crate) fn run(arguments: ConfigArgs) -> Result<(), ExitError> {
    let ConfigArgs { action, settings } = arguments;
    let path = settings.path()?;
    match action {
        ConfigAction::Path => print(&format!("{}\n", path.display())),
        ConfigAction::Schema => print(&schema()),
        ConfigAction::Show { effective: false, .. } => print(&read(&path)?),
        ConfigAction::Show { origin, .. } => {
            let loaded = load_or_default(&path, settings.config.is_some(), &settings.overrides())?;
            print(&shown(&loaded, &path, origin)?)
        }
        ConfigAction::Check { file } => check(&file.unwrap_or(path), &settings),
        ConfigAction::Get { key } => {
            let loaded = load_or_default(&path, settings.config.is_some(), &settings.overrides())?;
            print(&format!("{}\n", get(&loaded.settings, &key)?.trim_end()))
        }
        ConfigAction::Set { key, value } => {
            let is_new = !path.exists();
            change(&path, &set(&current(&path)?, &key, &value)?)?;
            if is_new {
                eprintln!("{} is made", path.display());
            }
            Ok(())
        }
        ConfigAction::Export { file, with_secrets } => export(&path, &file, with_secrets),
        ConfigAction::Import { file, from, dry_run } => take_in(&path, file.as_deref(), from, dry_run),
        ConfigAction::Backup => match Backups::of_file(&path).take(SystemTime::now())? {
            Some(copy) => print(&format!("{}\n", copy.display())),
            None => Err(FileError::Missing(path).into()),
        },
        ConfigAction::Restore { file } => {
            let newest = || Backups::of_file(&path).newest();
            let Some(copy) = file.or_else(newest) else {
                return Err(ExitError::new(Exit::Config, "there is no backup"));
            };
            change(&path, &read(&copy)?)?;
            eprintln!("restored {}", copy.display());
            Ok(())
        }
        ConfigAction::Reset => change(&path, EMPTY),
    }
}

/// The text of the file; one that is not there yet is empty.
pub(crate) fn current(path: &Path) -> Result<String, FileError> {
    match read(path) {
        Err(FileError::Missing(_)) => Ok(EMPTY.to_owned()),
        read => read,
    }
}

/// Copies the file, then puts `text` there. What is wrong is never written.
fn change(path: &Path, text: &str) -> Result<(), ExitError> {
    let starts = |text: &str| parse(text, path, &[]).map(|loaded| loaded.settings.start.auto_start_on_boot);
    let (is_wanted, was_wanted) = (starts(text)?, current(path).ok().and_then(|text| starts(&text).ok()));
    Backups::of_file(path).take(SystemTime::now())?;
    write(path, text)?;
    if is_wanted != was_wanted.unwrap_or_default()
        && let Err(error) = start_on_boot(is_wanted)
    {
        eprintln!("warning: {error}");
        error.hint.iter().for_each(|hint| eprintln!("hint: {hint}"));
    }
    Ok(())
}

fn shown(loaded: &Loaded, path: &Path, origin: bool) -> Result<String, ExitError> {
    if !origin {
        let text = toml::to_string_pretty(&loaded.settings);
        return text.map_err(|error| ExitError::new(Exit::Unexpected, error.to_string()));
    }
    let line = |EffectiveValue { key, value, origin }: EffectiveValue| {
        let place = match origin {
            hvym_tunnel_settings::ValueOrigin::Line(line) => format!("{}:{line}", path.display()),
            origin => origin.to_string(),
        };
        format!("{:<52} # {place}\n", format!("{key} = {value}"))
    };
    Ok(effective(loaded).into_iter().map(line).collect())
}

fn check(path: &Path, settings: &SettingsArgs) -> Result<(), ExitError> {
    let loaded = load(path, &settings.overrides())?;
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let (links, services) = (loaded.settings.links.len(), loaded.settings.services.len());
    eprintln!("{} is right: {}, {}", path.display(), count(links, "link"), count(services, "service"));
    Ok(())
}

fn export(path: &Path, file: &Path, with_secrets: bool) -> Result<(), ExitError> {
    let text = read(path)?;
    let text = if with_secrets { text } else { without_secrets(&text)? };
    if file == Path::new("-") {
        return print(&text);
    }
    files::create(file, text.as_bytes(), FileAccess::Private)
        .map_err(|error| ExitError::new(Exit::Config, format!("cannot write {}: {error}", file.display())))
}

/// Takes in what another program left.
fn take_in(
    path: &Path,
    file: Option<&Path>,
    from: Option<ImportSource>,
    dry_run: bool,
) -> Result<(), ExitError> {
    let taken = match file {
        Some(file) => import(&read(file)?, from).map_err(|error| named(&error, file))?,
        None => found(from)?,
    };
    let text = taken.merge(&current(path)?)?;
    for warning in &taken.warnings {
        eprintln!("warning: {warning}");
    }
    if dry_run {
        parse(&text, path, &[])?;
        return print(&text);
    }
    change(path, &text)?;
    for step in &taken.next_steps {
        eprintln!("next: {step}");
    }
    eprintln!("{} is written; hvym-tunnel up starts what it says", path.display());
    Ok(())
}

/// What a program left where it usually does.
fn found(from: Option<ImportSource>) -> Result<Import, ExitError> {
    let nothing = |what: String| ExitError::new(Exit::Config, what).with_hint("name its file");
    let Some(source) = from else { return Err(nothing("nothing to import is named".to_owned())) };
    if source == ImportSource::Tunely {
        let variable = |name: &str| std::env::var(name).ok();
        return import_variables(variable)
            .ok_or_else(|| nothing("WS_TUNNEL_CLIENT_SERVER_URL is not set".to_owned()));
    }
    let home = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE")).unwrap_or_default();
    let data = std::env::var_os("LOCALAPPDATA").map(PathBuf::from);
    let places = source.places(Path::new(&home), data.as_deref());
    match places.iter().find(|place| place.is_file()) {
        Some(file) => import(&read(file)?, from).map_err(|error| named(&error, file)),
        None => Err(nothing("the file of this program is not where it usually is".to_owned())),
    }
}

fn named(error: &ImportError, file: &Path) -> ExitError {
    ExitError::new(Exit::Config, format!("{}: {error}", file.display()))
}

fn print(text: &str) -> Result<(), ExitError> {
    write_out(text.as_bytes())
}

impl From<Mistakes> for ExitError {
    fn from(error: Mistakes) -> ExitError {
        let mut lines = error.lines();
        let first = lines.next().unwrap_or_default();
        ExitError { more: lines.collect(), ..ExitError::new(Exit::Config, first) }
    }
}

impl From<FileError> for ExitError {
    fn from(error: FileError) -> ExitError {
        let exit = ExitError::new(Exit::Config, error.to_string());
        match error {
            FileError::Mistakes(mistakes) => mistakes.into(),
            FileError::Missing(_) => exit.with_hint("hvym-tunnel config set, or config import, makes one"),
            _ => exit,
        }
    }
}

impl From<EditError> for ExitError {
    fn from(error: EditError) -> ExitError {
        ExitError::new(Exit::Config, error.to_string()).with_hint(
            "hvym-tunnel config check says what is wrong, config show --effective which keys there are",
        )
    }
}
