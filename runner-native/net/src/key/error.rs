//! The errors of identities. No message contains a secret.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use thiserror::Error;

use crate::config::NoHome;
use crate::sealed::SealedError;

/// Why there is no identity. No variant holds anything that was read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum KeyError {
    /// There is no such file.
    #[error("there is no identity at {path}")]
    NotFound {
        /// Where it was looked for.
        path: String,
    },
    /// The system refused to read.
    #[error("cannot read the identity from {path}: {reason}")]
    Unreadable {
        /// Where it was looked for.
        path: String,
        /// The system's message.
        reason: String,
    },
    /// Others could have copied the secret.
    #[error("{path} can be read by others (mode {mode:04o}), so it may not hold a secret")]
    TooOpen {
        /// The file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Something else than a secret, or one with a typing error.
    #[error("{place} does not hold a Stellar secret (one line, S and 55 more characters)")]
    NotSecret {
        /// Where it was read.
        place: String,
    },
    /// The public half.
    #[error("{place} holds an address (G...), and the secret that belongs to it (S...) is needed")]
    Public {
        /// Where it was read.
        place: String,
    },
    /// The secret would be visible on the screen.
    #[error("standard input is a terminal, where the secret would be shown as it is typed")]
    Terminal,
    /// There already is one.
    #[error("there already is an identity at {path}")]
    Exists {
        /// The file.
        path: String,
    },
    /// The system refused to write.
    #[error("cannot write the identity to {path}: {reason}")]
    Unwritable {
        /// The file.
        path: String,
        /// The system's message.
        reason: String,
    },
    /// It is sealed, and stays so.
    #[error("cannot unlock {path}: {error}")]
    Sealed {
        /// The file.
        path: String,
        /// Why.
        error: SealedError,
    },
    /// It is another one than its file said.
    #[error("{path} says that it is the secret of {claimed}, and is that of another account")]
    OtherAddress {
        /// The file.
        path: String,
        /// What it said.
        claimed: String,
    },
    /// Another program has the key, and signs logins and tokens alone.
    #[error("another program has the key, and this needs the key itself")]
    Elsewhere,
    /// No file was named, and there is no default place.
    #[error(transparent)]
    NoPlace(#[from] NoHome),
    /// The system has no randomness to give, which no key survives.
    #[error("the system gave no randomness for a new key")]
    NoRandomness,
}

impl KeyError {
    pub(super) fn writing(path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists { path: shown(path) },
            _ => KeyError::Unwritable { path: shown(path), reason: error.to_string() },
        }
    }
}

/// `text` with everything that could be a secret replaced: for messages that repeat what a person typed.
/// Rather too much than too little, since a mistyped secret is still nearly the whole of it.
pub fn concealed(text: &str) -> Cow<'_, str> {
    let is_secret = |word: &str| matches!(word.len(), 50..=62) && word.starts_with(['S', 's']);
    let words = |text: &str| text.split(|letter: char| !letter.is_ascii_alphanumeric()).any(is_secret);
    if !words(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for part in text.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric()) {
        let word = part.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
        out.push_str(if is_secret(word) { "(secret)" } else { word });
        out.push_str(&part[word.len()..]);
    }
    Cow::Owned(out)
}

/// A path as messages show it: a secret may have been given in place of its file.
pub fn shown(path: &Path) -> String {
    concealed(&path.to_string_lossy()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has the looks of a secret, but not the checksum.
    const SECRET: &str = "SCOWDMM5574VVYCE4FUEJ3BMYRWRIRF3Q4K5FQBLVEZEWBG7K4LGALY6";

    #[test]
    fn whatever_could_be_a_secret_is_concealed_wherever_it_stands() {
        for (text, concealed_text) in [
            (SECRET.to_owned(), "(secret)".to_owned()),
            (
                format!("unexpected argument '{SECRET}' found"),
                "unexpected argument '(secret)' found".to_owned(),
            ),
            (format!("--identity=/tmp/{}", &SECRET[..51]), "--identity=/tmp/(secret)".to_owned()),
            ("identity.key é".to_owned(), "identity.key é".to_owned()),
        ] {
            assert_eq!(concealed(&text), concealed_text);
        }
    }
}
