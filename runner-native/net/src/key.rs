//! The only file that handles a Stellar secret: its sources, its file, and its signatures.
//!
//! The secret leaves in three ways only: into its own file, which may be sealed by a passphrase, as a signature, and in a key
//! that is shared with one other account. No message, no `Debug` and no
//! log of this program holds it; the bytes are wiped when an [`Identity`] is dropped.

mod error;
mod stored;

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use ed25519_dalek::{Signer, SigningKey};
use hvym_tunnel_core::handshake::{ProofInput, RelayProof};
use hvym_tunnel_core::stellar::delegation::{Delegation, ShareLink, SignatureForm, SignedDelegation};
use hvym_tunnel_core::stellar::{Address, Signature, SigningInput};
use stellar_strkey::ed25519::PrivateKey;
use zeroize::Zeroizing;

use crate::config::NoHome;
use crate::external_signer::SignerPlace;
use crate::files::{self, FileAccess};
use crate::passphrase::{Passphrase, PassphraseSource};
use crate::sealed::{self, SealCost};
pub use error::{KeyError, concealed, shown};
pub use stored::StoredIdentity;

/// The environment variable that may hold the secret itself, for places without files.
pub const SECRET_VARIABLE: &str = "HVYM_TUNNEL_SECRET";

/// A secret has 56 characters; whatever is longer than this holds something else.
const MAX_BYTES: usize = 256;
/// A sealed one has about 350.
const MAX_FILE_BYTES: usize = 1024;

/// A Stellar key pair. Its address is public, its secret can only sign.
pub struct Identity {
    address: Address,
    key: SigningKey,
}

impl Identity {
    /// A new key pair from the system's randomness.
    ///
    /// # Errors
    /// [`KeyError::NoRandomness`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|_| KeyError::NoRandomness)?;
        Ok(Identity::from_seed(&seed))
    }

    /// The key pair of an existing source; nothing is created.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with the source, never what was in it.
    pub fn load(source: &Source) -> Result<Self, KeyError> {
        if source.signer.is_some() {
            return Err(KeyError::Elsewhere);
        }
        if source.stdin {
            return Identity::from_stdin();
        }
        if let Some(path) = &source.file {
            return Identity::from_file(path, &source.passphrase);
        }
        match std::env::var_os(SECRET_VARIABLE).filter(|value| !value.is_empty()) {
            Some(value) => {
                let value = Zeroizing::new(value.into_encoded_bytes());
                Identity::decode(&value, SECRET_VARIABLE)
            }
            None => Identity::from_file(source.default.as_deref().map_err(Clone::clone)?, &source.passphrase),
        }
    }

    /// The address of an existing source. A sealed file says whose secret it has; that this is so is known once it is open.
    ///
    /// # Errors
    /// As for [`Identity::load`], but for passphrases, which are not asked for.
    pub fn address_of(source: &Source) -> Result<Address, KeyError> {
        let is_set = || std::env::var_os(SECRET_VARIABLE).is_some_and(|value| !value.is_empty());
        if source.stdin || (source.file.is_none() && is_set()) {
            return Identity::load(source).map(|identity| identity.address());
        }
        let path = source.destination()?;
        let file = open(path)?;
        check_access(path, &file)?;
        StoredIdentity::read(path, file).map(|stored| stored.address)
    }

    /// As [`Identity::load`], but a missing default file is created, with a new key pair. Then its path
    /// is returned too. Of many processes that start at once all get the same identity.
    ///
    /// # Errors
    /// As for [`Identity::load`], and [`KeyError::Unwritable`].
    pub fn load_or_create(source: &Source) -> Result<(Self, Option<PathBuf>), KeyError> {
        match Identity::load(source) {
            Err(KeyError::NotFound { .. }) if source.file.is_none() => {}
            loaded => return loaded.map(|identity| (identity, None)),
        }
        let identity = Identity::generate()?;
        let path = source.destination()?;
        match identity.store(path, false) {
            Ok(()) => Ok((identity, Some(path.to_owned()))),
            Err(KeyError::Exists { .. }) => Ok((Identity::load(source)?, None)),
            Err(error) => Err(error),
        }
    }

    /// The key pair whose secret is the first line of standard input.
    ///
    /// # Errors
    /// [`KeyError::Terminal`], [`KeyError::NotSecret`] or [`KeyError::Unreadable`].
    pub fn from_stdin() -> Result<Self, KeyError> {
        const PLACE: &str = "standard input";
        let unreadable =
            |error: io::Error| KeyError::Unreadable { path: PLACE.into(), reason: error.to_string() };
        if io::stdin().is_terminal() {
            return Err(KeyError::Terminal);
        }
        let mut text = Zeroizing::new(Vec::with_capacity(MAX_BYTES));
        let mut byte = Zeroizing::new([0]);
        // Byte by byte from the descriptor itself: the standard library's buffer would keep a copy for good.
        let mut stdin = unbuffered_stdin().map_err(unreadable)?;
        while text.len() < MAX_BYTES
            && stdin.read(byte.as_mut()).map_err(unreadable)? == 1
            && byte[0] != b'\n'
        {
            text.push(byte[0]);
        }
        Identity::decode(&text, PLACE)
    }

    /// The key pair whose secret is in a file that only its owner can read: as its only line, or sealed by a passphrase of this
    /// source.
    ///
    /// # Errors
    /// [`KeyError`] says what is wrong with the file, never what was in it.
    pub fn from_file(path: &Path, passphrase: &PassphraseSource) -> Result<Self, KeyError> {
        let file = open(path)?;
        check_access(path, &file)?;
        Identity::read(path, file, passphrase)
    }

    /// As [`Identity::from_file`], whatever the file's permissions: for a copy that is about to be imported.
    ///
    /// # Errors
    /// As for [`Identity::from_file`].
    pub fn from_copy(path: &Path, passphrase: &PassphraseSource) -> Result<Self, KeyError> {
        Identity::read(path, open(path)?, passphrase)
    }

    /// Writes the secret to a file that only its owner may read; with `replace`, over whatever was there.
    ///
    /// # Errors
    /// [`KeyError::Exists`] without `replace`, [`KeyError::Unwritable`].
    pub fn store(&self, path: &Path, replace: bool) -> Result<(), KeyError> {
        let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES));
        let secret = PrivateKey(self.key.to_bytes());
        writeln!(text, "{}", secret.as_unredacted()).expect("a string takes every write");
        put(path, text.as_bytes(), replace)
    }

    /// As [`Identity::store`], sealed by this passphrase.
    ///
    /// # Errors
    /// As for [`Identity::store`], and [`KeyError::Sealed`].
    pub fn store_sealed(&self, path: &Path, passphrase: &Passphrase, replace: bool) -> Result<(), KeyError> {
        let secret = PrivateKey(self.key.to_bytes());
        let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES));
        write!(text, "{}", secret.as_unredacted()).expect("a string takes every write");
        let address = self.address.to_string();
        let content = sealed::seal(text.as_bytes(), Some(&address), passphrase, SealCost::STANDARD)
            .map_err(|error| KeyError::Sealed { path: shown(path), error })?;
        put(path, content.as_bytes(), replace)
    }

    /// The public half, `G...`.
    pub fn address(&self) -> Address {
        self.address
    }

    /// The Ed25519 signature of what a token's signer must sign.
    pub fn sign(&self, input: &SigningInput) -> Signature {
        Signature(self.key.sign(input.as_bytes()).to_bytes())
    }

    /// The proof of a relay that it holds this key.
    pub fn prove(&self, input: ProofInput) -> RelayProof {
        let signature = Signature(self.key.sign(input.as_bytes()).to_bytes());
        input.into_proof(signature)
    }

    /// Lets another key act for this identity, whose address is the owner's.
    pub fn sign_delegation(&self, delegation: Delegation) -> SignedDelegation {
        let signature = Signature(self.key.sign(delegation.to_string().as_bytes()).to_bytes());
        delegation.signed(signature, SignatureForm::Raw)
    }

    /// The key pair in a share link.
    pub fn from_share_link(link: &ShareLink) -> Self {
        Identity::from_seed(link.seed())
    }

    /// Derives something from the secret seed, such as a key shared with another account. `derive` must not keep it.
    pub fn derive<T>(&self, derive: impl FnOnce(&[u8; 32]) -> T) -> T {
        let seed = Zeroizing::new(self.key.to_bytes());
        derive(&seed)
    }

    /// The key pair of a secret seed `S...` (SEP-23).
    ///
    /// # Errors
    /// [`KeyError::NotSecret`] or [`KeyError::Public`].
    pub fn from_secret(text: &str) -> Result<Self, KeyError> {
        Identity::decode(text.as_bytes(), "the text")
    }

    /// The key pair of an Ed25519 seed (RFC 8032 section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = SigningKey::from_bytes(seed);
        Identity { address: Address::from_public_key(key.verifying_key().to_bytes()), key }
    }

    fn read(path: &Path, file: File, passphrase: &PassphraseSource) -> Result<Self, KeyError> {
        StoredIdentity::read(path, file)?.open(path, passphrase)
    }

    fn decode(text: &[u8], place: &str) -> Result<Self, KeyError> {
        let text = text.trim_ascii();
        match PrivateKey::from_slice(text) {
            Ok(secret) => Ok(Identity::from_seed(&secret.0)),
            Err(_) if text.len() == Address::CHARACTERS && text.starts_with(b"G") => {
                Err(KeyError::Public { place: place.to_owned() })
            }
            Err(_) => Err(KeyError::NotSecret { place: place.to_owned() }),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Where an identity is looked for: standard input if asked, else the named file, else the variable
/// [`SECRET_VARIABLE`], else the default file.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file that a person named.
    pub file: Option<PathBuf>,
    /// Whether a person said that the secret comes by standard input.
    pub stdin: bool,
    /// The file that is created on first use, unless there is no place for it.
    pub default: Result<PathBuf, NoHome>,
    /// What opens a file that is sealed.
    pub passphrase: PassphraseSource,
    /// Another program that has the key, in place of all of these.
    pub signer: Option<SignerPlace>,
}

impl Source {
    /// The file that a command which writes an identity writes to.
    ///
    /// # Errors
    /// [`KeyError::NoPlace`].
    pub fn destination(&self) -> Result<&Path, KeyError> {
        match &self.file {
            Some(path) => Ok(path),
            None => Ok(self.default.as_deref().map_err(Clone::clone)?),
        }
    }
}

fn put(path: &Path, content: &[u8], replace: bool) -> Result<(), KeyError> {
    let write = if replace { files::replace } else { files::create };
    files::create_folder_of(path)
        .and_then(|()| write(path, content, FileAccess::Private))
        .map_err(|error| KeyError::writing(path, &error))
}

fn open(path: &Path) -> Result<File, KeyError> {
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => KeyError::NotFound { path: shown(path) },
        _ => KeyError::Unreadable { path: shown(path), reason: error.to_string() },
    })
}

fn check_access(path: &Path, file: &File) -> Result<(), KeyError> {
    let unreadable = |error: io::Error| KeyError::Unreadable { path: shown(path), reason: error.to_string() };
    match files::mode_for_others(file).map_err(unreadable)? {
        None => Ok(()),
        Some(mode) => Err(KeyError::TooOpen { path: shown(path), mode }),
    }
}

#[cfg(unix)]
fn unbuffered_stdin() -> io::Result<File> {
    use std::os::fd::AsFd;
    io::stdin().as_fd().try_clone_to_owned().map(File::from)
}

#[cfg(windows)]
fn unbuffered_stdin() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    io::stdin().as_handle().try_clone_to_owned().map(File::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has the looks of a secret, but not the checksum.
    const SECRET: &str = "SCOWDMM5574VVYCE4FUEJ3BMYRWRIRF3Q4K5FQBLVEZEWBG7K4LGALY6";

    #[test]
    fn a_stellar_secret_is_the_ed25519_seed_itself() {
        let seed = PrivateKey([7; 32]);
        let text = seed.as_unredacted().to_string();
        let identity = Identity::decode(text.as_bytes(), "here").expect("a secret");
        let public = SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes();
        assert_eq!(identity.address(), Address::from_public_key(public));
        let spaced = format!("  {text}\r\n");
        assert_eq!(Identity::decode(spaced.as_bytes(), "here").map(|i| i.address()), Ok(identity.address()));
    }

    #[test]
    fn debug_shows_the_address_and_nothing_of_the_secret() {
        let text = PrivateKey([7; 32]).as_unredacted().to_string();
        let identity = Identity::decode(text.as_bytes(), "here").expect("a secret");
        let debug = format!("{identity:?}");
        assert_eq!(debug, format!("Identity {{ address: {}, .. }}", identity.address()));
        assert!(!debug.contains(text.as_str()));
    }

    #[test]
    fn what_is_no_secret_is_refused_and_never_repeated() {
        for text in ["", "hello", &SECRET[..55], &SECRET.to_lowercase(), &format!("{SECRET}\n{SECRET}")] {
            let error = Identity::decode(text.as_bytes(), "the file").expect_err(text);
            assert_eq!(error, KeyError::NotSecret { place: "the file".to_owned() });
        }
        let address = Identity::generate().expect("randomness").address().to_string();
        let error = Identity::decode(address.as_bytes(), "the file").expect_err("an address is no secret");
        assert_eq!(error, KeyError::Public { place: "the file".to_owned() });
    }

    #[test]
    fn of_many_first_runs_at_once_all_get_one_identity() {
        let folder = std::env::temp_dir()
            .join(format!("hvym-tunnel-race-{:x}", getrandom::u64().expect("randomness")));
        let source = Source {
            file: None,
            stdin: false,
            default: Ok(folder.join("new/identity.key")),
            passphrase: PassphraseSource::default(),
            signer: None,
        };
        let start = std::sync::Barrier::new(8);
        let first_run = || {
            start.wait();
            let (identity, created) = Identity::load_or_create(&source).expect("an identity");
            (identity.address(), created.is_some())
        };
        let runs: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(first_run)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(runs.iter().all(|(address, _)| *address == runs[0].0), "{runs:?}");
        assert_eq!(runs.iter().filter(|(_, created)| *created).count(), 1, "{runs:?}");
        let left = std::fs::read_dir(folder.join("new")).expect("the folder").count();
        assert_eq!(left, 1, "drafts were left behind");
        std::fs::remove_dir_all(folder).expect("the folder can be removed");
    }
}
