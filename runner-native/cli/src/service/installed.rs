//! The service that is installed: whether it runs, and whether it starts with the machine.

use std::process::{Command, Stdio};

use super::install::{path, target};
use super::{Platform, Scope};
use crate::exit::{Exit, ExitError};

/// The name of a service that nobody named.
pub(crate) const NAME: &str = "hvym-tunnel";

/// How an installed service is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ServiceState {
    /// Whose.
    pub(crate) scope: Scope,
    /// Whether it starts with the machine, or when its user logs in; `None` if what starts services does not say.
    pub(crate) is_enabled: Option<bool>,
    /// In the words of what starts services: `active`, `failed`. `None` if it does not say.
    pub(crate) activity: Option<String>,
}

/// The scope in which the service [`NAME`] is installed, a user's own first.
fn installed() -> Option<Scope> {
    [Scope::User, Scope::System].into_iter().find(|scope| path(*scope, NAME).is_ok_and(|path| path.exists()))
}

/// How the service [`NAME`] is; `None` if there is none.
pub(crate) fn state() -> Option<ServiceState> {
    let scope = installed()?;
    let asked = |words: &[&str]| answer(scope, words).map(|(_, text)| text);
    let (is_enabled, activity) = match Platform::own() {
        Platform::Systemd => {
            (asked(&["is-enabled", NAME]).map(|word| word == "enabled"), asked(&["is-active", NAME]))
        }
        _ => (None, None),
    };
    let activity = activity.filter(|word| !word.is_empty());
    Some(ServiceState { scope, is_enabled: is_enabled.filter(|_| activity.is_some()), activity })
}

/// Has the service [`NAME`] start with the machine, or no longer; what runs goes on.
///
/// # Errors
/// None is installed, or what starts services refuses.
pub(crate) fn start_on_boot(is_wanted: bool) -> Result<(), ExitError> {
    let Some(scope) = installed() else {
        if !is_wanted {
            return Ok(());
        }
        let message = "start.auto_start_on_boot is about a service of the system, and none is installed";
        return Err(ExitError::new(Exit::Config, message).with_hint("hvym-tunnel service install"));
    };
    let word = if is_wanted { "enable" } else { "disable" };
    let target = target(scope, NAME);
    let flag = if is_wanted { "/ENABLE" } else { "/DISABLE" };
    let words = match Platform::own() {
        Platform::Systemd => vec![word, NAME],
        Platform::Launchd => vec![word, &target],
        Platform::Windows => vec!["/Change", "/TN", NAME, flag],
    };
    match answer(scope, &words) {
        Some((true, _)) => Ok(()),
        Some((false, said)) => Err(refused(word, &said)),
        None => Err(refused(word, "what starts services is not here")),
    }
}

fn refused(word: &str, said: &str) -> ExitError {
    ExitError::new(Exit::Unexpected, format!("cannot {word} the service {NAME}: {said}"))
}

/// Whether what starts services did it, and what it said; `None` if it is not there.
fn answer(scope: Scope, words: &[&str]) -> Option<(bool, String)> {
    let (program, user): (_, &[&str]) = match (Platform::own(), scope) {
        (Platform::Systemd, Scope::User) => ("systemctl", &["--user"]),
        (Platform::Systemd, Scope::System) => ("systemctl", &[]),
        (Platform::Launchd, _) => ("launchctl", &[]),
        (Platform::Windows, _) => ("schtasks", &[]),
    };
    let output = Command::new(program).args(user).args(words).stdin(Stdio::null()).output().ok()?;
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    Some((output.status.success(), String::from_utf8_lossy(&said).trim().to_owned()))
}
