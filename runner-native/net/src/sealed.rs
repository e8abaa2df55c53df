//! Secrets in files that only a passphrase opens: a key by Argon2id (RFC 9106), sealed by XChaCha20-Poly1305.
//!
//! ```text
//! hvym-tunnel sealed v1
//! address G..                     whose secret it is, if it is that of an identity
//! argon2id m=65536 t=3 p=1        memory in KiB, passes, parallelism
//! salt ..                         base64, as what follows
//! nonce ..
//! data ..
//! check ..                        of all above, so that a damaged file is told from a wrong passphrase
//! ```
//!
//! All lines but the last two are authenticated with the data. The cost that a file asks for has upper bounds: whoever can
//! put a file there must not make this program take all memory.

use std::fmt::Write as _;

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use data_encoding::{BASE64, HEXLOWER};
use ring::digest::{SHA256, digest};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::passphrase::{Passphrase, PassphraseError, PassphraseSource};

/// The first line.
const MAGIC: &str = "hvym-tunnel sealed v1";
/// Begins the first line of every version.
const MAGIC_OF_ALL: &str = "hvym-tunnel sealed ";
/// The largest sealed file in bytes: a secret of 16 KiB in base64, and the other lines.
pub const MAX_FILE_BYTES: usize = 24 * 1024;
/// The most memory that a file may ask for, KiB: four times what new files do.
const MAX_MEMORY: u32 = 256 * 1024;
/// The most passes: with as much memory some seconds.
const MAX_PASSES: u32 = 10;
/// The most parallelism.
const MAX_PARALLELISM: u32 = 4;
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;
/// What Poly1305 adds.
const TAG_BYTES: usize = 16;
/// Bytes of the check; it is no authentication.
const CHECK_BYTES: usize = 8;
/// How often a person is asked.
const TRIES: u32 = 3;

/// What it costs to try a passphrase.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SealCost {
    /// KiB.
    memory: u32,
    passes: u32,
    parallelism: u32,
}

impl SealCost {
    /// Where there is little memory (RFC 9106 section 4), in one lane: a second for each guess.
    pub const STANDARD: Self = Self { memory: 64 * 1024, passes: 3, parallelism: 1 };

    fn params(self) -> Result<Params, SealedError> {
        let bounds =
            [(self.memory, MAX_MEMORY), (self.passes, MAX_PASSES), (self.parallelism, MAX_PARALLELISM)];
        if bounds.iter().any(|(wanted, most)| wanted > most) {
            return Err(SealedError::Cost);
        }
        Params::new(self.memory, self.passes, self.parallelism, Some(KEY_BYTES))
            .map_err(|_| SealedError::Cost)
    }
}

/// Why a sealed file gives no secret. No variant holds anything of it.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SealedError {
    /// A part is missing or another than it was.
    #[error("it is damaged, or not whole")]
    Damaged,
    /// A newer program made it.
    #[error("it was locked by a newer version of this program")]
    Version,
    /// It asks for more than 256 MiB, 10 passes or 4 lanes, or for less than Argon2 can do.
    #[error("it asks for more memory or time than any file of this program")]
    Cost,
    /// The secret stays where it is.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// There is none.
    #[error(transparent)]
    Passphrase(#[from] PassphraseError),
    /// The system has no memory or no randomness for it.
    #[error("the system has no memory or no randomness for it")]
    NoResources,
}

/// A sealed file as it was read.
pub struct SealedFile<'a> {
    /// What is authenticated with the data.
    header: &'a str,
    address: Option<&'a str>,
    cost: SealCost,
    salt: Vec<u8>,
    nonce: [u8; NONCE_BYTES],
    data: Vec<u8>,
}

/// Whether this is the content of a sealed file.
pub fn is_sealed(content: &[u8]) -> bool {
    content.starts_with(MAGIC_OF_ALL.as_bytes())
}

/// The content of a file with `secret`, which is that of `address`.
///
/// # Errors
/// [`SealedError::NoResources`]
pub fn seal(
    secret: &[u8],
    address: Option<&str>,
    passphrase: &Passphrase,
    cost: SealCost,
) -> Result<String, SealedError> {
    let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
    getrandom::fill(&mut salt)
        .and_then(|()| getrandom::fill(&mut nonce))
        .map_err(|_| SealedError::NoResources)?;
    let mut text = format!("{MAGIC}\n");
    let SealCost { memory, passes, parallelism } = cost;
    let mut put = |line: std::fmt::Arguments<'_>| text.write_fmt(line).expect("a string takes every write");
    if let Some(address) = address {
        put(format_args!("address {address}\n"));
    }
    put(format_args!("argon2id m={memory} t={passes} p={parallelism}\n"));
    put(format_args!("salt {}\nnonce {}\n", BASE64.encode(&salt), BASE64.encode(&nonce)));
    let key = derived(passphrase, &salt, cost)?;
    let payload = Payload { msg: secret, aad: text.as_bytes() };
    let data = cipher(&key).encrypt(&nonce.into(), payload).map_err(|_| SealedError::NoResources)?;
    let data = format!("data {}\n", BASE64.encode(&data));
    text.push_str(&data);
    let check = format!("check {}\n", check(&text));
    text.push_str(&check);
    Ok(text)
}

impl<'a> SealedFile<'a> {
    /// Reads what is not secret.
    ///
    /// # Errors
    /// [`SealedError::Damaged`], [`SealedError::Version`], [`SealedError::Cost`].
    pub fn parse(content: &'a [u8]) -> Result<Self, SealedError> {
        let text = std::str::from_utf8(content).map_err(|_| SealedError::Damaged)?;
        let first = text.lines().next().unwrap_or_default();
        if first != MAGIC {
            let is_other = first.strip_prefix(MAGIC_OF_ALL).is_some_and(|version| version.starts_with('v'));
            let is_whole = text.ends_with('\n');
            return Err(if is_other && is_whole { SealedError::Version } else { SealedError::Damaged });
        }
        Self::parse_lines(text).ok_or(SealedError::Damaged).and_then(|file| {
            file.cost.params()?;
            Ok(file)
        })
    }

    /// The same; `None` is a damaged file.
    fn parse_lines(text: &'a str) -> Option<Self> {
        let checked = text.strip_suffix('\n')?.rfind('\n')? + 1;
        let (checked, last) = text.split_at(checked);
        if last.strip_prefix("check ")?.strip_suffix('\n')? != check(checked) {
            return None;
        }
        let header = checked.strip_suffix('\n')?.rfind('\n')? + 1;
        let (header, data) = checked.split_at(header);
        let data = BASE64.decode(data.strip_prefix("data ")?.trim_end().as_bytes()).ok()?;
        let mut lines = header.lines().skip(1);
        let mut line = lines.next()?;
        let address = line.strip_prefix("address ");
        if address.is_some() {
            line = lines.next()?;
        }
        let mut numbers = line.strip_prefix("argon2id ")?.split(' ');
        let mut number = |name: &str| numbers.next()?.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
        let cost = SealCost { memory: number("m")?, passes: number("t")?, parallelism: number("p")? };
        let salt = BASE64.decode(lines.next()?.strip_prefix("salt ")?.as_bytes()).ok()?;
        let nonce = BASE64.decode(lines.next()?.strip_prefix("nonce ")?.as_bytes()).ok()?.try_into().ok()?;
        let is_whole = salt.len() == SALT_BYTES && data.len() >= TAG_BYTES;
        (is_whole && lines.next().is_none()).then_some(Self { header, address, cost, salt, nonce, data })
    }

    /// Whose secret it says it is; that this is so is known once it is open.
    pub fn address(&self) -> Option<&'a str> {
        self.address
    }

    /// The secret.
    ///
    /// # Errors
    /// [`SealedError::WrongPassphrase`], [`SealedError::NoResources`].
    pub fn open(&self, passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, SealedError> {
        let key = derived(passphrase, &self.salt, self.cost)?;
        let payload = Payload { msg: &self.data, aad: self.header.as_bytes() };
        let opened = cipher(&key).decrypt(&self.nonce.into(), payload);
        opened.map(Zeroizing::new).map_err(|_| SealedError::WrongPassphrase)
    }

    /// The secret, with a passphrase of this source; a person may try again. `what` is what a person is told that it is for.
    ///
    /// # Errors
    /// As for [`Self::open`], and [`SealedError::Passphrase`].
    pub fn open_with(
        &self,
        source: &PassphraseSource,
        what: &str,
    ) -> Result<Zeroizing<Vec<u8>>, SealedError> {
        if let Some(opened) = source.known().and_then(|known| self.open(&known).ok()) {
            return Ok(opened);
        }
        let mut prompt = format!("passphrase for {what}: ");
        for attempt in 1.. {
            let candidate = source.look(&prompt)?;
            match self.open(&candidate.passphrase) {
                Ok(opened) => {
                    source.remember(candidate.passphrase);
                    return Ok(opened);
                }
                Err(SealedError::WrongPassphrase) if candidate.may_ask_again && attempt < TRIES => {
                    prompt = format!("wrong; passphrase for {what}: ");
                }
                Err(error) => return Err(error),
            }
        }
        Err(SealedError::WrongPassphrase)
    }
}

fn derived(
    passphrase: &Passphrase,
    salt: &[u8],
    cost: SealCost,
) -> Result<Zeroizing<[u8; KEY_BYTES]>, SealedError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params()?)
        .hash_password_into(passphrase.bytes(), salt, key.as_mut())
        .map_err(|_| SealedError::NoResources)?;
    Ok(key)
}

fn cipher(key: &[u8; KEY_BYTES]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new_from_slice(key).expect("a key has this length")
}

fn check(text: &str) -> String {
    HEXLOWER.encode(&digest(&SHA256, text.as_bytes()).as_ref()[..CHECK_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As little as Argon2 can do.
    const CHEAP: SealCost = SealCost { memory: 8, passes: 1, parallelism: 1 };

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::from_text(text.as_bytes()).expect("a passphrase")
    }

    fn sealed() -> String {
        seal(b"the secret", Some("GADDRESS"), &passphrase("right"), CHEAP).expect("a file")
    }

    /// `text` with a check that is right.
    fn with_check(text: &str) -> String {
        let body = &text[..text.trim_end().rfind('\n').expect("lines") + 1];
        format!("{body}check {}\n", check(body))
    }

    fn error(text: &str) -> Option<SealedError> {
        let parsed = SealedFile::parse(text.as_bytes());
        parsed.and_then(|file| file.open(&passphrase("right"))).err()
    }

    #[test]
    fn what_was_sealed_is_opened_by_its_passphrase_alone() {
        let text = sealed();
        assert!(is_sealed(text.as_bytes()) && !text.contains("the secret") && !text.contains("right"));
        let file = SealedFile::parse(text.as_bytes()).expect("a file");
        assert_eq!(file.address(), Some("GADDRESS"));
        assert_eq!(file.open(&passphrase("right")).expect("it opens").as_slice(), b"the secret");
        for wrong in ["wrong", "Right", "right "] {
            assert_eq!(file.open(&passphrase(wrong)).err(), Some(SealedError::WrongPassphrase), "{wrong:?}");
        }
        assert_ne!(text, sealed(), "salt and nonce are new each time");
    }

    #[test]
    fn a_file_that_is_cut_or_has_another_byte_is_damaged_and_no_wrong_passphrase() {
        let text = sealed();
        for length in 0..text.len() {
            assert_eq!(error(&text[..length]), Some(SealedError::Damaged), "the first {length} bytes");
        }
        for at in MAGIC.len() + 1..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] ^= 1;
            let other = String::from_utf8(other).expect("still ASCII");
            assert_eq!(error(&other), Some(SealedError::Damaged), "byte {at}");
        }
        assert_eq!(error(&text.replace("v1", "v2")), Some(SealedError::Version));
    }

    #[test]
    fn whoever_changes_a_line_and_its_check_opens_nothing() {
        let text = sealed();
        assert_eq!(error(&with_check(&text)), None);
        let forged = with_check(&text.replace("GADDRESS", "GANOTHER"));
        assert_eq!(error(&forged), Some(SealedError::WrongPassphrase));
        let cheaper = with_check(&text.replace("t=1", "t=2"));
        assert_eq!(error(&cheaper), Some(SealedError::WrongPassphrase));
    }

    #[test]
    fn a_file_that_asks_for_all_memory_or_time_is_refused_before_anything_is_done() {
        let text = sealed();
        let cost = |cost: &str| {
            let file = with_check(&text.replace("m=8 t=1 p=1", cost));
            SealedFile::parse(file.as_bytes()).err()
        };
        assert_eq!(cost(&format!("m={MAX_MEMORY} t={MAX_PASSES} p={MAX_PARALLELISM}")), None);
        for wanted in [
            format!("m={} t=1 p=1", MAX_MEMORY + 1),
            format!("m=8 t={} p=1", MAX_PASSES + 1),
            format!("m=4096 t=1 p={}", MAX_PARALLELISM + 1),
            "m=4294967295 t=1 p=1".to_owned(),
            "m=7 t=1 p=1".to_owned(),
            "m=8 t=0 p=1".to_owned(),
        ] {
            assert_eq!(cost(&wanted), Some(SealedError::Cost), "{wanted}");
        }
        for wanted in ["m=99999999999 t=1 p=1", "m=8 t=1", "m=8 t=1 p=-1", "t=1 m=8 p=1"] {
            assert_eq!(cost(wanted), Some(SealedError::Damaged), "{wanted}");
        }
    }

    #[test]
    fn a_person_has_three_tries_and_is_not_asked_again_for_the_next_file() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicU32, Ordering};
        let opened_at = |right: u32| {
            let asked = Arc::<AtomicU32>::default();
            let count = Arc::clone(&asked);
            let ask = move |_: &str| {
                let attempt = count.fetch_add(1, Ordering::Relaxed) + 1;
                Ok(Some(passphrase(if attempt == right { "right" } else { "wrong" })))
            };
            let source = PassphraseSource::new(None, None, Some(Box::new(ask)));
            let text = sealed();
            let file = SealedFile::parse(text.as_bytes()).expect("a file");
            let opened = [(); 2].map(|()| file.open_with(&source, "it").is_ok());
            (opened, asked.load(Ordering::Relaxed))
        };
        assert_eq!(opened_at(1), ([true, true], 1));
        assert_eq!(opened_at(3), ([true, true], 3));
        assert_eq!(opened_at(7), ([false, false], 6));
    }
}
