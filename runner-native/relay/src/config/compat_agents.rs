//! The relay's config file: which agents of other systems it serves, and by what it recognises them.
//!
//! A mistake in it is told with its file and line, and never with what a secret's place holds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hvym_tunnel_core::names::check_label;
use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};
use zeroize::Zeroizing;

use hvym_tunnel_net::files;
use hvym_tunnel_net::secret::{Fingerprint, Secret, SecretError};

use super::http_url::HttpUrl;
use super::webhook::WebhookOptions;

/// A file of ten thousand tunnels has 1 MB; a larger one is another file.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Whoever guesses a token of 16 random letters needs longer than anybody has; existing ones have 47.
const MIN_TOKEN_CHARACTERS: usize = 16;
/// A key for HS256 has as many bytes as its hash (RFC 7518 section 3.2).
const MIN_SHARED_BYTES: usize = 32;

/// Tunnels of one owner, unless the operator says another number: some for each of a person's programs.
const DEFAULT_TUNNELS_PER_OWNER: usize = 10;

/// The guests of a relay. Nobody by default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GuestOptions {
    /// Agents of tunely, if any are served.
    pub tunely: Option<TunelyOptions>,
    /// Agents of CloudToLocalLLM, if any are served.
    pub cloud: Option<CloudOptions>,
    /// Whether an existing HVYM program may have its messages sealed, for which the relay keeps its own key.
    pub seal: bool,
    /// Whether everybody may list who is connected, as at HVYM's relay.
    pub public_tunnels: bool,
    /// Who is told that agents come and go.
    pub webhook: Option<WebhookOptions>,
}

/// Agents of tunely.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TunelyOptions {
    /// Their tunnels, by name.
    pub tunnels: BTreeMap<Arc<str>, TunelyTunnel>,
    /// Who shows this may look after them by the HTTP routes; `None` is nobody.
    pub admin_key: Option<Fingerprint>,
    /// What a login service signs tokens with (HS256), whose owners may create tunnels of their own; `None`: nobody else may.
    pub jwt_secret: Option<Secret>,
    /// Tunnels that one such owner may have.
    pub max_tunnels_per_owner: usize,
    /// What the tools tell people who want a tunnel.
    pub instruction: Option<String>,
}

impl TunelyOptions {
    /// The shortest key of an operator, bytes. Whoever guesses 16 random letters needs longer than anybody has.
    pub const MIN_ADMIN_KEY_BYTES: usize = MIN_TOKEN_CHARACTERS;
    /// The shortest key for HS256, bytes.
    pub const MIN_JWT_SECRET_BYTES: usize = MIN_SHARED_BYTES;
}

impl Default for TunelyOptions {
    fn default() -> Self {
        Self {
            tunnels: BTreeMap::new(),
            admin_key: None,
            jwt_secret: None,
            max_tunnels_per_owner: DEFAULT_TUNNELS_PER_OWNER,
            instruction: None,
        }
    }
}

/// One tunnel of tunely.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TunelyTunnel {
    /// Of what its agent shows.
    pub token: Fingerprint,
    /// Whether its agent is let in.
    pub enabled: bool,
}

/// Agents of CloudToLocalLLM, which show tokens of a login service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CloudOptions {
    /// Who makes the tokens (`iss`).
    pub issuer: String,
    /// For whom (`aud`).
    pub audience: String,
    /// What they are checked with.
    pub keys: CloudKeys,
    /// The claim that says whose tunnel it is.
    pub name_claim: String,
    /// What the tunnels of accounts are called, by that claim. Who is not here has the claim itself for a name, if it is one.
    pub names: BTreeMap<String, Arc<str>>,
}

/// What tokens are checked with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CloudKeys {
    /// A key that the login service has too: HS256.
    Shared(Secret),
    /// A file of its public keys (RFC 7517 section 5): RS256.
    Public(PathBuf),
    /// Where it publishes them: RS256. They are fetched while the relay runs.
    Fetched(HttpUrl),
}

/// Why a config file cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum GuestsError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] SecretError),
    /// Something in it.
    #[error("{path}, line {line}: {what}")]
    Mistake {
        /// The file.
        path: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
}

/// The file as it is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Sections {
    tunely: Option<TunelySection>,
    cloud: Option<Spanned<CloudSection>>,
    hvym: HvymSection,
    webhook: Option<WebhookSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookSection {
    url: Spanned<String>,
    secret_file: Option<Spanned<PathBuf>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct HvymSection {
    seal: bool,
    public_tunnels: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct TunelySection {
    admin_key: Option<Spanned<Word>>,
    admin_key_file: Option<Spanned<PathBuf>>,
    jwt_secret_file: Option<Spanned<PathBuf>>,
    max_tunnels_per_owner: Option<usize>,
    instruction: Option<String>,
    tunnels: Vec<TunnelSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TunnelSection {
    name: Spanned<String>,
    token: Option<Spanned<Word>>,
    token_file: Option<Spanned<PathBuf>>,
    #[serde(default = "yes")]
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CloudSection {
    issuer: Spanned<String>,
    audience: Spanned<String>,
    shared_key_file: Option<Spanned<PathBuf>>,
    jwks_file: Option<Spanned<PathBuf>>,
    jwks_url: Option<Spanned<String>>,
    name_claim: Option<Spanned<String>>,
    #[serde(default)]
    names: BTreeMap<String, Spanned<String>>,
}

const fn yes() -> bool {
    true
}

/// A secret that stands in the file itself.
struct Word(Zeroizing<String>);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Word(Zeroizing::new(text)))
    }
}

impl GuestOptions {
    /// Reads the sections of a config file, and the files that it names. Keys without a section are not read: they are options
    /// of the program.
    ///
    /// # Errors
    /// The first mistake, with its line.
    pub fn load(path: &Path) -> Result<Self, GuestsError> {
        let unreadable =
            |reason: String| SecretError::Unreadable { path: path.display().to_string(), reason };
        let file = std::fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
        let open = files::mode_for_others(&file).map_err(|error| unreadable(error.to_string()))?;
        let text =
            files::read_text_limited(file, MAX_BYTES).map_err(|error| unreadable(error.to_string()))?;
        Text { path, text: &text, open }.options()
    }
}

/// A config file that is being read.
struct Text<'a> {
    path: &'a Path,
    text: &'a str,
    /// Its permission bits, if others may read it.
    open: Option<u32>,
}

impl Text<'_> {
    fn options(&self) -> Result<GuestOptions, GuestsError> {
        let mut document = DeTable::parse(self.text).map_err(|error| self.unreadable(&error))?;
        // What stands in no section is the program's: options of the relay.
        let options = document.get_ref().iter().filter(|(_, value)| !value.get_ref().is_table());
        let options: Vec<String> = options.map(|(key, _)| key.get_ref().to_string()).collect();
        for key in &options {
            document.get_mut().remove(key.as_str());
        }
        let sections = Sections::deserialize(Deserializer::from(document));
        let sections = sections.map_err(|error| self.unreadable(&error))?;
        let tunely = sections.tunely.map(|section| self.tunely(section)).transpose()?;
        let taken = |name: &str| tunely.as_ref().is_some_and(|tunely| tunely.tunnels.contains_key(name));
        let cloud = sections.cloud.map(|section| self.cloud(section, taken)).transpose()?;
        let webhook = sections.webhook.map(|section| self.webhook(&section)).transpose()?;
        let HvymSection { seal, public_tunnels } = sections.hvym;
        Ok(GuestOptions { tunely, cloud, seal, public_tunnels, webhook })
    }

    fn webhook(&self, section: &WebhookSection) -> Result<WebhookOptions, GuestsError> {
        let Some(url) = HttpUrl::parse(section.url.get_ref()) else {
            let what = "url must be an http or https URL without a password and a query";
            return Err(self.mistake(section.url.span().start, what.to_owned()));
        };
        let secret = section.secret_file.as_ref().map(|path| self.secret(path)).transpose()?;
        Ok(WebhookOptions { url, secret })
    }

    fn cloud(
        &self,
        section: Spanned<CloudSection>,
        is_taken: impl Fn(&str) -> bool,
    ) -> Result<CloudOptions, GuestsError> {
        let (at, section) = (section.span().start, section.into_inner());
        let mut names: BTreeMap<String, Arc<str>> = BTreeMap::new();
        for (account, name) in section.names {
            let given = self.name(&name)?;
            if is_taken(&given) || names.values().any(|other| *other == given) {
                return Err(self.mistake(name.span().start, format!("the name {given} is given twice")));
            }
            names.insert(account, given);
        }
        let keys = match (section.shared_key_file, section.jwks_file, section.jwks_url) {
            (Some(path), None, None) => CloudKeys::Shared(self.shared_key(&path)?),
            (None, Some(path), None) => CloudKeys::Public(self.beside(path.get_ref())),
            (None, None, Some(url)) => CloudKeys::Fetched(self.jwks_url(&url)?),
            _ => {
                let what =
                    "[cloud] needs one of jwks_url, jwks_file and shared_key_file, to check tokens with";
                return Err(self.mistake(at, what.to_owned()));
            }
        };
        let name_claim =
            section.name_claim.as_ref().map_or(Ok("sub".to_owned()), |claim| self.filled(claim))?;
        let (issuer, audience) = (self.filled(&section.issuer)?, self.filled(&section.audience)?);
        Ok(CloudOptions { issuer, audience, keys, name_claim, names })
    }

    /// Where keys are fetched. Whoever could change them on the way could log in as everybody.
    fn jwks_url(&self, url: &Spanned<String>) -> Result<HttpUrl, GuestsError> {
        HttpUrl::parse(url.get_ref()).filter(HttpUrl::is_confidential).ok_or_else(|| {
            let what = "jwks_url must be an https URL without a password and a query, or an http one of this machine";
            self.mistake(url.span().start, what.to_owned())
        })
    }

    /// A key for HS256.
    fn shared_key(&self, path: &Spanned<PathBuf>) -> Result<Secret, GuestsError> {
        let secret = self.secret(path)?;
        if secret.bytes().len() < MIN_SHARED_BYTES {
            let what = format!("the shared key is too short: {MIN_SHARED_BYTES} bytes at least");
            return Err(self.mistake(path.span().start, what));
        }
        Ok(secret)
    }

    fn filled(&self, text: &Spanned<String>) -> Result<String, GuestsError> {
        let at = text.span().start;
        match text.get_ref().as_str() {
            "" => Err(self.mistake(at, format!("{} may not be empty", self.key_at(at)))),
            text => Ok(text.to_owned()),
        }
    }

    /// A path that counts from this file's folder.
    fn beside(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }

    fn tunely(&self, section: TunelySection) -> Result<TunelyOptions, GuestsError> {
        let admin_key = self.token(("admin_key", section.admin_key), section.admin_key_file)?;
        let jwt_secret = section.jwt_secret_file.map(|path| self.shared_key(&path)).transpose()?;
        let mut tunnels: BTreeMap<Arc<str>, TunelyTunnel> = BTreeMap::new();
        let mut known = BTreeSet::new();
        for tunnel in section.tunnels {
            let at = tunnel.name.span().start;
            let name: Arc<str> = self.name(&tunnel.name)?;
            if !known.insert(Arc::clone(&name)) {
                return Err(self.mistake(at, format!("the name {name} is given twice")));
            }
            let Some(token) = self.token(("token", tunnel.token), tunnel.token_file)? else {
                return Err(self.mistake(at, format!("the tunnel {name} needs a token or a token_file")));
            };
            if tunnels.values().any(|other| other.token == token) {
                return Err(self.mistake(at, format!("the tunnel {name} has the token of another one")));
            }
            tunnels.insert(name, TunelyTunnel { token, enabled: tunnel.enabled });
        }
        let max_tunnels_per_owner = section.max_tunnels_per_owner.unwrap_or(DEFAULT_TUNNELS_PER_OWNER);
        let instruction = section.instruction;
        Ok(TunelyOptions { tunnels, admin_key, jwt_secret, max_tunnels_per_owner, instruction })
    }

    /// A name that visitors will type: one DNS label (RFC 1123 section 2.1), lower case.
    fn name(&self, name: &Spanned<String>) -> Result<Arc<str>, GuestsError> {
        match check_label(name.get_ref()) {
            Ok(()) => Ok(name.get_ref().as_str().into()),
            Err(error) => Err(self.mistake(name.span().start, error.to_string())),
        }
    }

    /// A token that stands here or in a file of its own.
    fn token(
        &self,
        (key, here): (&str, Option<Spanned<Word>>),
        file: Option<Spanned<PathBuf>>,
    ) -> Result<Option<Fingerprint>, GuestsError> {
        let (at, secret) = match (here, file) {
            (None, None) => return Ok(None),
            (Some(word), Some(_)) => {
                return Err(self.mistake(word.span().start, format!("either {key} or {key}_file, not both")));
            }
            (Some(word), None) => (word.span().start, self.word(key, &word)?),
            (None, Some(path)) => (path.span().start, self.secret(&path)?),
        };
        if secret.bytes().len() < MIN_TOKEN_CHARACTERS {
            let what =
                format!("the {key} is too short to be secret: {MIN_TOKEN_CHARACTERS} characters at least");
            return Err(self.mistake(at, what));
        }
        Ok(Some(Fingerprint::new(secret.bytes())))
    }

    fn word(&self, key: &str, word: &Spanned<Word>) -> Result<Secret, GuestsError> {
        match self.open {
            None => Ok(Secret::from(word.get_ref().0.as_str())),
            Some(mode) => {
                let path = self.path.display();
                let what = format!(
                    "this file can be read by others (mode {mode:04o}), so it may not hold a {key}: \
                     chmod 600 {path}, or use {key}_file"
                );
                Err(self.mistake(word.span().start, what))
            }
        }
    }

    /// What a file holds that is named here.
    fn secret(&self, path: &Spanned<PathBuf>) -> Result<Secret, GuestsError> {
        Secret::from_file(&self.beside(path.get_ref()))
            .map_err(|error| self.mistake(path.span().start, error.to_string()))
    }

    fn mistake(&self, at: usize, what: String) -> GuestsError {
        let line =
            self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count() + 1;
        GuestsError::Mistake { path: self.path.display().to_string(), line, what }
    }

    fn unreadable(&self, error: &toml::de::Error) -> GuestsError {
        let at = error.span().map_or(0, |span| span.start);
        let message = error.message();
        let what = match (message.starts_with("invalid "), message.rsplit_once(", expected ")) {
            // What was there instead may be a secret in the wrong place.
            (true, Some((_, expected)))
                if message.starts_with("invalid type") || message.starts_with("invalid value") =>
            {
                format!("{} must be {expected}", self.key_at(at))
            }
            _ => message.to_owned(),
        };
        self.mistake(at, what)
    }

    /// The key whose value is at `at`.
    fn key_at(&self, at: usize) -> &str {
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        line.split_once('=').map_or("this", |(key, _)| key.trim())
    }
}
