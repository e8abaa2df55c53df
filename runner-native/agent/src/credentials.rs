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

use crate::password_hash::{HashError, PasswordHash};

/// `name:password`, as typed, or `name:hash`; [`Credentials::check`] says whether it is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(Zeroizing<String>);

/// Maximum size of a password file in bytes: some ten thousand accounts, more than a list kept by hand.
const MAX_FILE_BYTES: usize = 1024 * 1024;
/// What a password file may hold beside accounts: a line that starts with this.
const COMMENT: char = '#';

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
            _ => match PasswordHash::parse(password) {
                None | Some(Ok(_)) => Ok(()),
                Some(Err(HashError::Kind)) => Err(CredentialsError::Hashed),
                Some(Err(HashError::Damaged)) => Err(CredentialsError::HashDamaged),
                Some(Err(HashError::Cost)) => Err(CredentialsError::HashCost),
            },
        }
    }

    /// Whether the value of an `Authorization` field is one of `accounts`. How long that takes says nothing about
    /// how much of a guess was right, nor whose account it was.
    pub(crate) fn match_any(accounts: &[Self], authorization: &[u8]) -> CredentialsMatch {
        let Some(given) = basic(authorization) else { return CredentialsMatch::Wrong };
        let is_plain = |account: &&Self| account.hash().is_none();
        // What is given for a hash is a password, and never the hash.
        let known = accounts.iter().filter(is_plain);
        if known.fold(false, |known, account| known | is_same(account.0.as_bytes(), &given)) {
            return CredentialsMatch::Right;
        }
        let Some(colon) = given.iter().position(|byte| *byte == b':') else { return CredentialsMatch::Wrong };
        let (name, password) = (&given[..colon], Zeroizing::new(given[colon + 1..].to_vec()));
        let hashed = || accounts.iter().filter_map(|account| Some((account.name(), account.hash()?)));
        let own = hashed().find(|(known, _)| is_same(known.as_bytes(), name));
        let is_account = own.is_some();
        // Where nobody has this name, another hash takes the time.
        match own.or_else(|| hashed().next()) {
            Some((_, hash)) => {
                CredentialsMatch::Unsure(HashCandidate { hash: hash.to_owned(), password, is_account })
            }
            None => CredentialsMatch::Wrong,
        }
    }

    fn name(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// The hash in place of a password.
    fn hash(&self) -> Option<&str> {
        self.0.split_once(':').map(|(_, hash)| hash).filter(|hash| PasswordHash::is_meant(hash))
    }
}

/// Whether credentials are one of some accounts.
pub(crate) enum CredentialsMatch {
    /// They are.
    Right,
    /// They are not.
    Wrong,
    /// A hash has to be verified first.
    Unsure(HashCandidate),
}

/// A password that may be that of a hash.
pub(crate) struct HashCandidate {
    hash: String,
    password: Zeroizing<Vec<u8>>,
    /// Whether the hash is of the account that was named; else it only takes the time that one would.
    is_account: bool,
}

impl HashCandidate {
    /// Whether the password is the right one. Blocks for a good part of a second.
    pub(crate) fn verify(&self) -> bool {
        let is_right = PasswordHash::parse(&self.hash)
            .is_some_and(|hash| hash.is_ok_and(|hash| hash.verify(&self.password)));
        is_right & self.is_account
    }
}

/// The name and password of Basic credentials (RFC 7617 section 2).
fn basic(authorization: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (scheme, rest) = authorization.split_at_checked(6)?;
    let decoded = BASE64.decode(rest.trim_ascii()).map(Zeroizing::new).ok();
    decoded.filter(|_| scheme.eq_ignore_ascii_case(b"basic "))
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
    /// A kind of hash that is not taken.
    #[error(
        "an account has a hash of an old kind: bcrypt (htpasswd -B) and argon2 are taken, and passwords as they are"
    )]
    Hashed,
    /// A hash that cannot be one.
    #[error("an account has a damaged hash: copy the whole line")]
    HashDamaged,
    /// A hash that takes too long.
    #[error(
        "an account has a hash that takes too long to verify: bcrypt's cost is at most 15, argon2 has at most 256 MiB and 10 passes"
    )]
    HashCost,
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

    const HASH: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

    fn sent(text: &str) -> Vec<u8> {
        format!("Basic {}", BASE64.encode(text.as_bytes())).into_bytes()
    }

    #[test]
    fn only_a_whole_account_admits() {
        let accounts = ["ann:one:two", "bob:\u{e9}"].map(Credentials::from);
        let admits = |accounts: &[Credentials], sent: &[u8]| match Credentials::match_any(accounts, sent) {
            CredentialsMatch::Right => true,
            CredentialsMatch::Wrong => false,
            CredentialsMatch::Unsure(candidate) => candidate.verify(),
        };
        for good in ["ann:one:two", "bob:\u{e9}"] {
            assert!(admits(&accounts, &sent(good)), "{good}");
        }
        for bad in ["ann:one", "ann:one:twO", "ann", "", ":", "bob:one:two", "ann:one:two "] {
            assert!(!admits(&accounts, &sent(bad)), "{bad}");
        }
        assert!(admits(&accounts, b"bASIC  YW5uOm9uZTp0d28="));
        for bad in
            [&b""[..], b"Basic", b"Basic ", b"Basic !", b"Bearer YW5uOm9uZTp0d28=", b"YW5uOm9uZTp0d28="]
        {
            assert!(!admits(&accounts, bad), "{bad:?}");
        }
        assert!(!admits(&[], &sent("ann:one:two")));
        let accounts = [format!("ann:{HASH}"), "bob:plain".to_owned(), format!("eve:{HASH}x")]
            .map(|account| Credentials::from(account.as_str()));
        for good in ["ann:secret", "bob:plain"] {
            assert!(admits(&accounts, &sent(good)), "{good}");
        }
        let hash = format!("ann:{HASH}");
        for bad in
            ["ann:Secret", "ann:", "bob:secret", "eve:secret", "carl:secret", ":secret", "secret", &hash]
        {
            assert!(!admits(&accounts, &sent(bad)), "{bad}");
        }
        assert_eq!(accounts.map(|account| account.check().is_ok()), [true, true, false]);
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
