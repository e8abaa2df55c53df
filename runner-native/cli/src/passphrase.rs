//! The passphrase of this process: where it was typed that it is, or the terminal of whoever started it.

use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

use hvym_tunnel_net::passphrase::{CREDENTIAL, Passphrase, PassphraseError, PassphraseSource};

use crate::exit::{Exit, ExitError};

/// One for the whole process: a descriptor can be read once, and nobody is to be asked twice.
static SOURCE: OnceLock<PassphraseSource> = OnceLock::new();

/// Looks from now on where the command line says.
pub(crate) fn begin(file: Option<PathBuf>, descriptor: Option<u32>) {
    // The command line is read once.
    let _first = SOURCE.set(PassphraseSource::new(file, descriptor, Some(Box::new(ask))));
}

/// Where the passphrase is looked for.
pub(crate) fn source() -> PassphraseSource {
    SOURCE.get_or_init(PassphraseSource::default).clone()
}

/// What to do when there is no passphrase.
pub(crate) fn hint(error: &PassphraseError) -> Option<String> {
    let places = format!(
        "add --passphrase-file FILE or --passphrase-fd N, or give the service the credential {CREDENTIAL}"
    );
    (*error == PassphraseError::Missing).then_some(places)
}

/// There is no passphrase.
pub(crate) fn missing(error: PassphraseError) -> ExitError {
    let failure = ExitError::new(Exit::Refused, error.to_string());
    match hint(&error) {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// Asks on the terminal of this process, where what is typed is not shown; `None` if it has none, or is in the background.
#[cfg(unix)]
fn ask(prompt: &str) -> io::Result<Option<Passphrase>> {
    use std::fs::{File, OpenOptions};
    use std::io::{Read, Write};

    use hvym_tunnel_net::passphrase::MAX_BYTES;
    use rustix::process::getpgrp;
    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};
    use zeroize::Zeroizing;

    /// Shows again what is typed, when it is dropped.
    struct Hidden<'a>(&'a File, Termios);
    impl Drop for Hidden<'_> {
        fn drop(&mut self) {
            let _gone = tcsetattr(self.0, OptionalActions::Flush, &self.1);
        }
    }

    let Ok(terminal) = OpenOptions::new().read(true).write(true).open("/dev/tty") else { return Ok(None) };
    if tcgetpgrp(&terminal).ok() != Some(getpgrp()) {
        return Ok(None);
    }
    let before = tcgetattr(&terminal)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    hidden.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
    tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
    let _hidden = Hidden(&terminal, before);
    (&terminal).write_all(prompt.as_bytes())?;
    // Allocated once, and byte by byte: whatever grows or reads ahead would leave copies.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    let mut byte = Zeroizing::new([0]);
    while text.len() <= MAX_BYTES && (&terminal).read(byte.as_mut())? == 1 && byte[0] != b'\n' {
        text.push(byte[0]);
    }
    Passphrase::from_text(&text).map(Some).map_err(io::Error::other)
}

/// Where terminals are no Unix terminals, nobody is asked.
#[cfg(not(unix))]
fn ask(_prompt: &str) -> io::Result<Option<Passphrase>> {
    Ok(None)
}
