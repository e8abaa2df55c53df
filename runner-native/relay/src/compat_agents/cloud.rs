//! Tokens of CloudToLocalLLM: JSON Web Tokens (RFC 7519) that the operator's login service signs.
//!
//! The kind of key decides the algorithm, never the token. Claims are used only after signature, issuer, audience and
//! time were verified.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use hvym_tunnel_core::names::{ShortLabel, check_label};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};
use smol::channel::{Receiver, Sender, bounded};
use thiserror::Error;

use super::key_set::KeySet;
use super::signatures;
use crate::config::{CloudKeys, CloudOptions, HttpUrl};
use hvym_tunnel_net::secret::SecretError;

/// The longest token that is parsed. Auth0's have 1 to 2 KiB.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// How far the clocks of the login service and of this machine may differ, seconds.
const LEEWAY_SECONDS: u64 = 60;

/// Why a key file cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum KeysError {
    /// The file cannot be read.
    #[error("cannot read the keys in {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's message.
        reason: String,
    },
    /// The login service does not tell its keys.
    #[error("cannot fetch the keys at {url}: {reason}")]
    Fetch {
        /// Where they are published.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The operator's key.
    #[error("the operator's key cannot be used: {0}")]
    AdminKey(#[from] SecretError),
    /// It could be guessed.
    #[error("the operator's key in {path} is too short to be secret: 16 characters at least")]
    ShortAdminKey {
        /// The file.
        path: String,
    },
    /// The file is no key set, or has no RS256 key with a `kid`.
    #[error(
        "{path} holds no key that could be used: a JSON Web Key Set with RSA keys and their kid is needed"
    )]
    NoKey {
        /// The file.
        path: String,
    },
}

/// Why a token is refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum CloudTokenError {
    /// There is no token, or no login service.
    #[error("Authentication required")]
    Missing,
    /// It is not a valid token of the login service.
    #[error("Invalid token: {0}")]
    Invalid(&'static str),
    /// It is valid, and its account has no name here.
    #[error("this relay has no name for the account of this token")]
    Nameless,
}

/// The account of a valid token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CloudAccount {
    /// The name of its tunnel.
    pub(crate) name: Arc<str>,
    /// The account's id at the login service (`sub`).
    pub(crate) subject: String,
}

/// The verification keys.
enum Keys {
    /// HS256.
    Shared(DecodingKey),
    /// RS256, by `kid`.
    Public(KeySet),
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Keys::Shared(_) => "Shared(..)",
            Keys::Public(_) => "Public(..)",
        })
    }
}

/// Verifies tokens of one login service.
#[derive(Debug)]
pub(super) struct Cloud {
    options: CloudOptions,
    keys: RwLock<Arc<Keys>>,
    /// A message waits if a token named a key that is not known. Whoever fetches keys hears it, and the end of these options.
    wanted: (Sender<()>, Receiver<()>),
}

impl Cloud {
    /// With the keys that the options name.
    ///
    /// # Errors
    /// The keys cannot be loaded.
    pub(super) fn new(options: CloudOptions) -> Result<Self, KeysError> {
        signatures::install();
        let keys = RwLock::new(Arc::new(load(&options.keys)?));
        Ok(Self { options, keys, wanted: bounded(1) })
    }

    /// Where keys are fetched, and what hears that some are wanted; `None`: they are not fetched.
    pub(super) fn fetched(&self) -> Option<(HttpUrl, Receiver<()>)> {
        match &self.options.keys {
            CloudKeys::Fetched(url) => Some((url.clone(), self.wanted.1.clone())),
            CloudKeys::Shared(_) | CloudKeys::Public(_) => None,
        }
    }

    /// Takes over the keys that were fetched at `url`. Returns whether they are others than before.
    ///
    /// # Errors
    /// There are none; those from before stay in use.
    pub(super) fn replace_keys(&self, url: &HttpUrl, text: &[u8]) -> Result<bool, KeysError> {
        let set = KeySet::parse(text).ok_or_else(|| KeysError::NoKey { path: url.to_string() })?;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let is_same = matches!(&**keys, Keys::Public(before) if before.is_same(&set));
        *keys = Arc::new(Keys::Public(set));
        Ok(!is_same)
    }

    /// Takes over the keys that an earlier one has fetched at the same place.
    pub(super) fn keep_keys(&self, earlier: &Cloud) {
        if self.fetched().is_some() && self.options.keys == earlier.options.keys {
            *self.keys.write().unwrap_or_else(PoisonError::into_inner) = earlier.current_keys();
        }
    }

    fn current_keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether its keys are in a file.
    pub(super) fn has_file(&self) -> bool {
        matches!(self.options.keys, CloudKeys::Public(_))
    }

    /// Reloads the key file; on an error the keys before stay in use. `None`: there is no key file.
    pub(super) fn reload(&self) -> Option<Result<(), KeysError>> {
        self.has_file().then(|| {
            load(&self.options.keys).map(|keys| {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
            })
        })
    }

    /// The names that the options assign.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.options.names.values()
    }

    /// The account of `token`. `is_taken` says whether a name is reserved for another agent.
    ///
    /// # Errors
    /// The token is invalid, or its account has no name.
    pub(super) fn check_token(
        &self,
        token: &str,
        is_taken: impl Fn(&str) -> bool,
    ) -> Result<CloudAccount, CloudTokenError> {
        let claims = self.claims(token)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let named = text(&self.options.name_claim).ok_or(CloudTokenError::Nameless)?;
        let subject = text("sub").unwrap_or(named).to_owned();
        if let Some(name) = self.options.names.get(named) {
            return Ok(CloudAccount { name: Arc::clone(name), subject });
        }
        // An account without an assigned name has its claim for a name, unless that is assigned to another.
        let is_given = self.names().any(|name| **name == *named);
        // Whoever can choose a claim must not choose the name of an identity.
        let is_label =
            check_label(named).is_ok() && ShortLabel::parse(named).is_none() && !named.contains("--");
        if is_given || is_taken(named) || !is_label {
            return Err(CloudTokenError::Nameless);
        }
        Ok(CloudAccount { name: named.into(), subject })
    }

    fn claims(&self, token: &str) -> Result<Map<String, Value>, CloudTokenError> {
        if token.is_empty() {
            return Err(CloudTokenError::Missing);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(CloudTokenError::Invalid("too long"));
        }
        let header = decode_header(token).map_err(|error| said(&error))?;
        if header.crit.is_some() {
            // A critical extension (RFC 7515 section 4.1.11), of which none is supported.
            return Err(CloudTokenError::Invalid("it demands what is not known here"));
        }
        let keys = self.current_keys();
        let (key, algorithm) = match &*keys {
            Keys::Shared(key) => (key, Algorithm::HS256),
            Keys::Public(keys) => {
                let kid = header.kid.ok_or(CloudTokenError::Invalid("it names no key"))?;
                let Some(key) = keys.find(&kid) else {
                    // One that waits already is enough.
                    let _wanted_already = self.wanted.0.try_send(());
                    return Err(CloudTokenError::Invalid("its key is not known here"));
                };
                (key, Algorithm::RS256)
            }
        };
        let mut rules = Validation::new(algorithm);
        rules.leeway = LEEWAY_SECONDS;
        rules.validate_nbf = true;
        rules.set_issuer(&[&self.options.issuer]);
        rules.set_audience(&[&self.options.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        decode(token, key, &rules).map(|token| token.claims).map_err(|error| said(&error))
    }
}

/// A message that contains nothing of the token.
fn said(error: &Error) -> CloudTokenError {
    CloudTokenError::Invalid(match error.kind() {
        ErrorKind::ExpiredSignature => "it has expired",
        ErrorKind::ImmatureSignature => "it is not valid yet",
        ErrorKind::InvalidIssuer => "of another issuer",
        ErrorKind::InvalidAudience => "for another audience",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            "of another algorithm"
        }
        ErrorKind::MissingRequiredClaim(_) => "exp, iss and aud are needed",
        ErrorKind::InvalidSignature => "its signature is wrong",
        _ => "it is malformed",
    })
}

fn load(keys: &CloudKeys) -> Result<Keys, KeysError> {
    match keys {
        CloudKeys::Shared(secret) => Ok(Keys::Shared(DecodingKey::from_secret(secret.bytes()))),
        CloudKeys::Public(path) => public_keys(path),
        CloudKeys::Fetched(_) => Ok(Keys::Public(KeySet::default())),
    }
}

fn public_keys(path: &PathBuf) -> Result<Keys, KeysError> {
    let shown = || path.display().to_string();
    let text = std::fs::read(path)
        .map_err(|error| KeysError::Unreadable { path: shown(), reason: error.to_string() })?;
    KeySet::parse(&text).map(Keys::Public).ok_or_else(|| KeysError::NoKey { path: shown() })
}
