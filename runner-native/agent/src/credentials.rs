//! The names and passwords that visitors must give: where they come from, and whether what a visitor gave is one.
//!
//! No message, `Debug` or log contains a password.

use std::fmt;
use std::fs::File;
use std::hint::black_box;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use hvym_tunnel_net::files;
use serde::{Deserialize, Deserializer};
use thiserror::Error;
use zeroize::Zeroizing;

/// `name:password`, as typed; [`Credentials::check`] says whether it is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(Zeroizing<String>);

/// Maximum size of a password file in bytes: some ten thousand accounts, more than a list kept by hand.
const MAX_FILE_BYTES: usize = 1024 * 1024;
/// What a password file may hold beside accounts: a line that starts with this.
const COMMENT: char = '#';
/// How the hashes begin that `htpasswd` writes: what follows them is no password.
const HASHES: [&str; 6] = ["$apr1$", "$2y$", "$2b$", "$5$", "$6$", "{SHA}"];

impl Credentials {
    /// The accounts of a file: one in each line, empty lines and comments left out.
    ///
    /// # Errors
    /// A file that cannot be read or names nobody; not what its lines are like.
    pub fn all_in(path: &Path) -> Result<Vec<Self>, CredentialsError> {
        let unreadable = |error: std::io::Error| CredentialsError::Unreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let file = File::open(path).map_err(unreadable)?;
        if let Some(mode) = files::mode_for_others(&file).map_err(unreadable)? {
            return Err(CredentialsError::TooOpen { path: path.to_owned(), mode });
        }
        let text = files::read_text_limited(file, MAX_FILE_BYTES).map_err(unreadable)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(COMMENT));
        let accounts: Vec<Self> = lines.map(Self::from).collect();
        if accounts.is_empty() {
            return Err(CredentialsError::Nobody(path.to_owned()));
        }
        Ok(accounts)
    }

    /// Whether this is a name and a password (RFC 7617 section 2).
    ///
    /// # Errors
    /// What is wrong, without the text: the rest of it may be right.
    pub fn check(&self) -> Result<(), CredentialsError> {
        let (name, password) = self.0.split_once(':').ok_or(CredentialsError::NoColon)?;
        match (name, password) {
            ("", _) => Err(CredentialsError::NoName),
            (_, "") => Err(CredentialsError::NoPassword),
            _ if self.0.chars().any(char::is_control) => Err(CredentialsError::AgentControl),
            _ if HASHES.iter().any(|hash| password.starts_with(hash)) => Err(CredentialsError::Hashed),
            _ => Ok(()),
        }
    }

    /// Whether the value of an `Authorization` field is one of `accounts`. How long that takes says nothing about
    /// how much of a guess was right, nor whose account it was.
    pub fn admits(accounts: &[Self], authorization: &[u8]) -> bool {
        let Some((scheme, rest)) = authorization.split_at_checked(6) else { return false };
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return false;
        }
        let Ok(given) = BASE64.decode(rest.trim_ascii()).map(Zeroizing::new) else { return false };
        accounts.iter().fold(false, |known, account| known | is_same(account.0.as_bytes(), &given))
    }
}

/// Whether two texts are equal, after looking at every byte. That lengths differ shows.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |seen, (a, b)| black_box(seen | (a ^ b))) == 0
}

impl From<&str> for Credentials {
    fn from(text: &str) -> Self {
        Credentials(Zeroizing::new(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Credentials {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Credentials(Zeroizing::new(text)))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Why visitors cannot be asked for an account.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CredentialsError {
    /// There is no `:`.
    #[error("an account is USER:PASSWORD, and one has no colon")]
    NoColon,
    /// Nothing before the `:`.
    #[error("an account is USER:PASSWORD, and one has no user")]
    NoName,
    /// Nothing after the `:`.
    #[error("an account is USER:PASSWORD, and one has no password")]
    NoPassword,
    /// No browser can send it.
    #[error("an account has a control character in it")]
    AgentControl,
    /// A line of an `htpasswd` file.
    #[error("an account has a hash where its password belongs: passwords are written as they are")]
    Hashed,
    /// The file cannot be read.
    #[error("cannot read the accounts in {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's message.
        reason: String,
    },
    /// Others could have read the passwords.
    #[error("the accounts in {0} can be read by others (mode {mode:04o}): chmod 600 {0}", path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file has no account, so every visitor would be refused.
    #[error("there is no account in {}", .0.display())]
    Nobody(PathBuf),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str) -> Vec<u8> {
        format!("Basic {}", BASE64.encode(text.as_bytes())).into_bytes()
    }

    #[test]
    fn only_a_whole_account_admits() {
        let accounts = ["ann:one:two", "bob:\u{e9}"].map(Credentials::from);
        for good in ["ann:one:two", "bob:\u{e9}"] {
            assert!(Credentials::admits(&accounts, &sent(good)), "{good}");
        }
        for bad in ["ann:one", "ann:one:twO", "ann", "", ":", "bob:one:two", "ann:one:two "] {
            assert!(!Credentials::admits(&accounts, &sent(bad)), "{bad}");
        }
        assert!(Credentials::admits(&accounts, b"bASIC  YW5uOm9uZTp0d28="));
        for bad in
            [&b""[..], b"Basic", b"Basic ", b"Basic !", b"Bearer YW5uOm9uZTp0d28=", b"YW5uOm9uZTp0d28="]
        {
            assert!(!Credentials::admits(&accounts, bad), "{bad:?}");
        }
        assert!(!Credentials::admits(&[], &sent("ann:one:two")));
    }

    #[test]
    fn what_is_no_account_is_refused_without_being_repeated() {
        for (text, error) in [
            ("ann:secret", Ok(())),
            ("ann:a:b", Ok(())),
            ("secret", Err(CredentialsError::NoColon)),
            (":secret", Err(CredentialsError::NoName)),
            ("ann:", Err(CredentialsError::NoPassword)),
            ("ann:\u{7}", Err(CredentialsError::AgentControl)),
            ("ann:$apr1$secret", Err(CredentialsError::Hashed)),
        ] {
            let account = Credentials::from(text);
            assert_eq!(account.check(), error, "{text}");
            assert!(!format!("{account:?} {error:?}").contains("secret"));
        }
    }
}
