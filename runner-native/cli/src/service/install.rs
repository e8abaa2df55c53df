//! Puts the definition where it belongs, and asks what starts services to use it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use hvym_tunnel_net::files::{self, FileAccess};

use super::definition::Definition;
use super::{Action, Platform, Scope, launchd};
use crate::exit::{Exit, ExitError};

/// Writes the definition, whose file has this `text`, and starts the service now and from now on.
///
/// # Errors
/// The file cannot be written, or what starts services refuses.
pub(super) fn install(definition: &Definition, text: &str) -> Result<(), ExitError> {
    let Definition { scope, name, writable, .. } = definition;
    let path = path(*scope, name)?;
    for folder in writable {
        // Nothing else can be written by the service, so they must be there before it.
        files::create_folder_of(&folder.join("file")).map_err(|error| unwritable(folder, &error))?;
    }
    files::create_folder_of(&path).map_err(|error| unwritable(&path, &error))?;
    files::replace(&path, text.as_bytes(), FileAccess::Public).map_err(|error| unwritable(&path, &error))?;
    eprintln!("wrote {}", path.display());
    match Platform::own() {
        Platform::Systemd => {
            systemctl(*scope, &["daemon-reload"])?;
            systemctl(*scope, &["enable", name])?;
            systemctl(*scope, &["restart", name])?;
            if *scope == Scope::User {
                eprintln!(
                    "it runs while you are logged in; from the start of the system on with: loginctl enable-linger"
                );
            }
        }
        Platform::Launchd => {
            let _was_not_there = call("launchctl", &["bootout", &target(*scope, name)]);
            call("launchctl", &["bootstrap", &domain(*scope), &path.to_string_lossy()])?;
        }
        Platform::Windows => {
            call("schtasks", &["/Create", "/F", "/TN", name, "/XML", &path.to_string_lossy()])?;
            call("schtasks", &["/Run", "/TN", name])?;
        }
    }
    eprintln!("{name} is installed and started: hvym-tunnel service status");
    Ok(())
}

/// Stops the service, and removes the definition.
///
/// # Errors
/// As for [`install`]; a service that is not there is none.
pub(super) fn uninstall(scope: Scope, name: &str) -> Result<(), ExitError> {
    let path = path(scope, name)?;
    if !path.exists() {
        return Err(ExitError::new(
            Exit::Config,
            format!("there is no service {name}: no file {}", path.display()),
        ));
    }
    match Platform::own() {
        Platform::Systemd => systemctl(scope, &["disable", "--now", name])?,
        Platform::Launchd => drop(call("launchctl", &["bootout", &target(scope, name)])),
        Platform::Windows => call("schtasks", &["/Delete", "/F", "/TN", name])?,
    }
    fs::remove_file(&path).map_err(|error| unwritable(&path, &error))?;
    if Platform::own() == Platform::Systemd {
        systemctl(scope, &["daemon-reload"])?;
    }
    eprintln!("{name} is removed");
    Ok(())
}

/// Asks for something else. What the other program says is shown as it is.
///
/// # Errors
/// It refuses, or is not there.
pub(super) fn ask(action: &Action, scope: Scope, name: &str) -> Result<(), ExitError> {
    match (Platform::own(), action) {
        (Platform::Systemd, Action::Logs) => {
            let which = if scope == Scope::User { "--user-unit" } else { "--unit" };
            call("journalctl", &[which, name, "--lines", "200", "--no-pager"])
        }
        (Platform::Systemd, Action::Status) => systemctl(scope, &["status", "--no-pager", name]),
        (Platform::Systemd, action) => systemctl(scope, &[verb(action), name]),
        (Platform::Launchd, Action::Start) => call("launchctl", &["kickstart", &target(scope, name)]),
        (Platform::Launchd, Action::Restart) => call("launchctl", &["kickstart", "-k", &target(scope, name)]),
        (Platform::Launchd, Action::Stop) => call("launchctl", &["kill", "SIGTERM", &target(scope, name)]),
        (Platform::Launchd, Action::Logs) => call("tail", &["-n", "200", &launchd::log(scope, name)]),
        (Platform::Launchd, _) => call("launchctl", &["print", &target(scope, name)]),
        (Platform::Windows, Action::Start) => call("schtasks", &["/Run", "/TN", name]),
        (Platform::Windows, Action::Stop) => call("schtasks", &["/End", "/TN", name]),
        (Platform::Windows, Action::Restart) => {
            call("schtasks", &["/End", "/TN", name])?;
            call("schtasks", &["/Run", "/TN", name])
        }
        (Platform::Windows, Action::Logs) => {
            Err(ExitError::new(Exit::Config, "the Task Scheduler keeps no output")
                .with_hint("add --audit-file or --trace to the command of the service"))
        }
        (Platform::Windows, _) => call("schtasks", &["/Query", "/V", "/FO", "LIST", "/TN", name]),
    }
}

/// systemd's word.
const fn verb(action: &Action) -> &'static str {
    match action {
        Action::Start => "start",
        Action::Stop => "stop",
        _ => "restart",
    }
}

/// Where the definition lies.
pub(super) fn path(scope: Scope, name: &str) -> Result<PathBuf, ExitError> {
    let base = |variable: &str, default: &str| {
        let set = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || std::env::home_dir().map(|home| home.join(default));
        set.or_else(home).ok_or_else(|| ExitError::new(Exit::Config, "there is no home folder"))
    };
    Ok(match (Platform::own(), scope) {
        (Platform::Systemd, Scope::User) => {
            base("XDG_CONFIG_HOME", ".config")?.join("systemd/user").join(format!("{name}.service"))
        }
        (Platform::Systemd, Scope::System) => {
            PathBuf::from("/etc/systemd/system").join(format!("{name}.service"))
        }
        (Platform::Launchd, Scope::User) => {
            base("", "Library/LaunchAgents")?.join(format!("{}.plist", launchd::label(name)))
        }
        (Platform::Launchd, Scope::System) => {
            PathBuf::from("/Library/LaunchDaemons").join(format!("{}.plist", launchd::label(name)))
        }
        (Platform::Windows, _) => base("APPDATA", "")?.join("hvym-tunnel").join(format!("{name}.xml")),
    })
}

/// launchd's name for those whose services these are.
fn domain(scope: Scope) -> String {
    #[cfg(unix)]
    let user = rustix::process::getuid().as_raw();
    #[cfg(not(unix))]
    let user = 0;
    match scope {
        Scope::User => format!("gui/{user}"),
        Scope::System => "system".to_owned(),
    }
}

/// launchd's name for the service.
pub(super) fn target(scope: Scope, name: &str) -> String {
    format!("{}/{}", domain(scope), launchd::label(name))
}

fn systemctl(scope: Scope, words: &[&str]) -> Result<(), ExitError> {
    match scope {
        Scope::User => call("systemctl", &[&["--user"], words].concat()),
        Scope::System => call("systemctl", words),
    }
}

/// Runs a program of the system, whose output is this program's.
fn call(program: &str, words: &[&str]) -> Result<(), ExitError> {
    let line = format!("{program} {}", words.join(" "));
    match Command::new(program).args(words).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(ExitError::new(Exit::Unexpected, format!("{line}: {status}"))),
        Err(error) => Err(ExitError::new(Exit::Unexpected, format!("cannot start {program}: {error}"))
            .with_hint(
                "hvym-tunnel service install --print shows the definition, to be installed in another way",
            )),
    }
}

fn unwritable(path: &std::path::Path, error: &std::io::Error) -> ExitError {
    let failure = ExitError::new(Exit::Config, format!("cannot write {}: {error}", path.display()));
    failure.with_hint("--user installs it for you alone; --system needs root")
}
