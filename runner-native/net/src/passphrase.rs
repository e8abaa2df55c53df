//! Where the passphrase of sealed files comes from: a file, a descriptor, a credential of systemd, or whoever is asked.
//!
//! It is kept once it has opened something, so that nobody is asked twice. No `Debug` and no message shows it. An environment
//! variable cannot hold it: other processes of the same user could read it there.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::files;

/// The longest passphrase, bytes: more than anybody types, and than a key in text.
pub const MAX_BYTES: usize = 1024;
/// The name of systemd's credential (`LoadCredential=`, `SetCredentialEncrypted=`).
pub const CREDENTIAL: &str = "hvym-tunnel.passphrase";

/// A passphrase; wiped when it is dropped.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// The first line of `text`.
    ///
    /// # Errors
    /// [`PassphraseError::Empty`], [`PassphraseError::TooLong`].
    pub fn from_text(text: &[u8]) -> Result<Self, PassphraseError> {
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.len() {
            0 => Err(PassphraseError::Empty),
            1..=MAX_BYTES => Ok(Self(Zeroizing::new(line.to_vec()))),
            _ => Err(PassphraseError::TooLong),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether both are the same.
    pub fn is_same(&self, other: &Self) -> bool {
        subtle::ConstantTimeEq::ct_eq(self.bytes(), other.bytes()).into()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Why there is no passphrase. No variant holds one.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PassphraseError {
    /// Nobody can be asked, and nothing holds it.
    #[error("its passphrase is needed, and there is nobody to ask")]
    Missing,
    /// A line without anything in it.
    #[error("the passphrase is empty")]
    Empty,
    /// More than [`MAX_BYTES`].
    #[error("the passphrase is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// What holds it cannot be read.
    #[error("cannot read the passphrase from {place}: {reason}")]
    Unreadable {
        /// The file, descriptor or terminal.
        place: String,
        /// The system's message.
        reason: String,
    },
    /// Others could have read it.
    #[error("the passphrase in {path} can be read by others (mode {mode:04o}): chmod 600 {path}")]
    TooOpen {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
}

/// Asks a person, and shows this text; `None` if there is nobody.
pub type AskPassphrase = Box<dyn Fn(&str) -> io::Result<Option<Passphrase>> + Send + Sync>;

/// Where to look for a passphrase, in this order: what opened something before, the file, the descriptor, systemd's credential, and
/// whoever can be asked. Clones remember together.
#[derive(Clone, Default)]
pub struct PassphraseSource(Arc<Places>);

#[derive(Default)]
struct Places {
    file: Option<PathBuf>,
    descriptor: Option<u32>,
    ask: Option<AskPassphrase>,
    known: Mutex<Option<Passphrase>>,
}

/// A passphrase that was not tried yet.
pub(crate) struct Candidate {
    pub(crate) passphrase: Passphrase,
    /// Whether a person may give another one.
    pub(crate) may_ask_again: bool,
}

impl PassphraseSource {
    /// Looks in `file` and at `descriptor`, and asks by `ask`.
    pub fn new(file: Option<PathBuf>, descriptor: Option<u32>, ask: Option<AskPassphrase>) -> Self {
        Self(Arc::new(Places { file, descriptor, ask, known: Mutex::default() }))
    }

    /// The passphrase for something new, which a person types twice.
    ///
    /// # Errors
    /// [`PassphraseError`]
    pub fn choose(&self, what: &str) -> Result<Option<Passphrase>, PassphraseError> {
        let candidate = self.look(&format!("new passphrase for {what}: "))?;
        if !candidate.may_ask_again {
            return Ok(Some(candidate.passphrase));
        }
        let again = self.look("the same again: ")?;
        Ok(Some(candidate.passphrase).filter(|first| first.is_same(&again.passphrase)))
    }

    /// What opened something before.
    pub(crate) fn known(&self) -> Option<Passphrase> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn remember(&self, passphrase: Passphrase) {
        *self.0.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(passphrase);
    }

    /// The passphrase as its place has it; a person is shown `prompt`.
    pub(crate) fn look(&self, prompt: &str) -> Result<Candidate, PassphraseError> {
        let found = |passphrase| Candidate { passphrase, may_ask_again: false };
        if let Some(path) = &self.0.file {
            return private(path).map(found);
        }
        if let Some(descriptor) = self.0.descriptor {
            return open_and_read(Path::new(&format!("/dev/fd/{descriptor}"))).map(found);
        }
        // Only its owner can read it, whatever its mode says: the folder is closed.
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        if let Some(path) = folder.map(|folder| folder.join(CREDENTIAL)).filter(|path| path.exists()) {
            return open_and_read(&path).map(found);
        }
        let asked = match &self.0.ask {
            Some(ask) => ask(prompt).map_err(|error| unreadable("the terminal", &error))?,
            None => None,
        };
        let passphrase = asked.ok_or(PassphraseError::Missing)?;
        Ok(Candidate { passphrase, may_ask_again: true })
    }
}

impl fmt::Debug for PassphraseSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassphraseSource").field("file", &self.0.file).finish_non_exhaustive()
    }
}

fn private(path: &Path) -> Result<Passphrase, PassphraseError> {
    let place = path.display().to_string();
    let file = File::open(path).map_err(|error| unreadable(&place, &error))?;
    match files::mode_for_others(&file).map_err(|error| unreadable(&place, &error))? {
        Some(mode) => Err(PassphraseError::TooOpen { path: place, mode }),
        None => read(file, &place),
    }
}

fn open_and_read(path: &Path) -> Result<Passphrase, PassphraseError> {
    let place = path.display().to_string();
    read(File::open(path).map_err(|error| unreadable(&place, &error))?, &place)
}

fn read(file: File, place: &str) -> Result<Passphrase, PassphraseError> {
    // One byte more than the longest, and the end of its line.
    let text = files::read_limited(file, MAX_BYTES + 2).map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => PassphraseError::TooLong,
        _ => unreadable(place, &error),
    })?;
    Passphrase::from_text(&text)
}

fn unreadable(place: &str, error: &io::Error) -> PassphraseError {
    PassphraseError::Unreadable { place: place.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_one_line_that_has_something_in_it() {
        let text = |text: &[u8]| Passphrase::from_text(text).map(|found| found.bytes().to_vec());
        assert_eq!(text(b"correct horse\nbattery"), Ok(b"correct horse".to_vec()));
        assert_eq!(text(b" spaces \r\n"), Ok(b" spaces ".to_vec()));
        assert_eq!(text(b"\n"), Err(PassphraseError::Empty));
        assert_eq!(text(&[b'x'; MAX_BYTES]).map(|text| text.len()), Ok(MAX_BYTES));
        assert_eq!(text(&[b'x'; MAX_BYTES + 1]), Err(PassphraseError::TooLong));
        assert_eq!(format!("{:?}", Passphrase::from_text(b"hush").expect("one")), "Passphrase(..)");
    }

    #[test]
    fn a_person_types_a_new_one_twice() {
        let typed = |words: &'static [&'static [u8]]| {
            let next = Mutex::new(words.iter());
            let ask = move |_: &str| {
                let word = next.lock().expect("one at a time").next();
                Ok(word.and_then(|word| Passphrase::from_text(word).ok()))
            };
            PassphraseSource::new(None, None, Some(Box::new(ask)))
                .choose("the file")
                .map(|found| found.is_some())
        };
        assert_eq!(typed(&[b"one", b"one"]), Ok(true));
        assert_eq!(typed(&[b"one", b"two"]), Ok(false));
        assert_eq!(typed(&[b"one"]), Err(PassphraseError::Missing));
        assert_eq!(PassphraseSource::default().choose("the file").err(), Some(PassphraseError::Missing));
    }
}
