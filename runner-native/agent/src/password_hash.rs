//! Hashes of passwords as `htpasswd -B` and argon2's tools write them.
//!
//! Verifying one takes a good part of a second and blocks: it is for threads that may.

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash as ParsedArgon2;
use argon2::{Argon2, Params};
use bcrypt::HashParts;

/// The highest cost of bcrypt that is taken: some two seconds for one password. `htpasswd` allows 17.
const MAX_BCRYPT_COST: u32 = 15;
/// The most memory of argon2 that is taken, KiB. RFC 9106 section 4 recommends 64 MiB where there is little.
const MAX_ARGON2_KIB: u32 = 256 * 1024;
/// The most passes over it.
const MAX_ARGON2_PASSES: u32 = 10;
/// How the hashes begin that are taken.
const BCRYPT: [&str; 3] = ["$2y$", "$2b$", "$2a$"];
const ARGON2: &str = "$argon2";
/// How other hashes begin that `htpasswd` and `openssl passwd` write: what follows them is no password.
const OTHERS: [&str; 5] = ["$apr1$", "$1$", "$5$", "$6$", "{SHA}"];

/// A hash that is taken.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum PasswordHash {
    Bcrypt(String),
    Argon2(String),
}

/// Why a text is no hash that is taken.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum HashError {
    /// Another kind of hash.
    Kind,
    /// Damaged.
    Damaged,
    /// A verification would take too long, or too much memory.
    Cost,
}

impl PasswordHash {
    /// Whether the part of an account behind its colon is meant as a hash that is taken.
    pub(crate) fn is_meant(text: &str) -> bool {
        BCRYPT.iter().any(|start| text.starts_with(start)) || text.starts_with(ARGON2)
    }

    /// Reads the part of an account behind its colon; `None` if that is a password.
    pub(crate) fn parse(text: &str) -> Option<Result<Self, HashError>> {
        if OTHERS.iter().any(|start| text.starts_with(start)) {
            return Some(Err(HashError::Kind));
        }
        Self::is_meant(text)
            .then(|| if text.starts_with(ARGON2) { Self::argon2(text) } else { Self::bcrypt(text) })
    }

    fn bcrypt(text: &str) -> Result<Self, HashError> {
        let parts: HashParts = text.parse().map_err(|_| HashError::Damaged)?;
        if parts.get_cost() > MAX_BCRYPT_COST {
            return Err(HashError::Cost);
        }
        Ok(Self::Bcrypt(text.to_owned()))
    }

    fn argon2(text: &str) -> Result<Self, HashError> {
        let parsed = ParsedArgon2::new(text).map_err(|_| HashError::Damaged)?;
        let params = Params::try_from(&parsed).map_err(|_| HashError::Damaged)?;
        if parsed.hash.is_none() {
            return Err(HashError::Damaged);
        }
        if params.m_cost() > MAX_ARGON2_KIB || params.t_cost() > MAX_ARGON2_PASSES {
            return Err(HashError::Cost);
        }
        Ok(Self::Argon2(text.to_owned()))
    }

    /// Whether the hash is of this password. Blocks.
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Argon2(hash) => ParsedArgon2::new(hash)
                .is_ok_and(|parsed| Argon2::default().verify_password(password, &parsed).is_ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of glibc's `crypt`, the same as `htpasswd` spells it, and of argon2id.
    const SECRET: [&str; 3] = [
        "$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
        "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
        "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0$WHwbVkQ5XzAMaltcqwxy+X9v0VxYTVTjS9BRTrowawM",
    ];

    #[test]
    fn a_hash_is_of_its_password_alone() {
        for text in SECRET {
            let hash = PasswordHash::parse(text)
                .expect("a hash")
                .unwrap_or_else(|error| panic!("{text}: {error:?}"));
            assert!(hash.verify(b"secret"), "{text}");
            for wrong in [&b"Secret"[..], b"secre", b"secret ", b"", text.as_bytes()] {
                assert!(!hash.verify(wrong), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_hash_of_ours_is_told_from_passwords() {
        for (text, error) in [
            ("$apr1$salt$x", HashError::Kind),
            ("$6$salt$x", HashError::Kind),
            ("{SHA}x", HashError::Kind),
            ("$2y$", HashError::Damaged),
            (&SECRET[0][..59], HashError::Damaged),
            ("$argon2id$", HashError::Damaged),
            ("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0", HashError::Damaged),
            (&SECRET[0].replace("$04$", "$16$"), HashError::Cost),
            (&SECRET[2].replace("m=8,", "m=262145,"), HashError::Cost),
            (&SECRET[2].replace("t=1,", "t=11,"), HashError::Cost),
        ] {
            assert_eq!(PasswordHash::parse(text).map(Result::err), Some(Some(error)), "{text}");
        }
        for text in [&SECRET[0].replace("$04$", "$15$"), &SECRET[2].replace("m=8,t=1,", "m=262144,t=10,")] {
            assert!(PasswordHash::parse(text).is_some_and(|hash| hash.is_ok()), "{text}");
        }
        for password in ["secret", "$", "$2", "$3y$04$", "argon2"] {
            assert!(PasswordHash::parse(password).is_none(), "{password}");
        }
    }
}
