//! The control vocabulary that all dialects share, and its JSON spelling in the native one.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use serde::de::IntoDeserializer;
use serde::de::value::Error as ValueError;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use super::tagged;
use crate::stellar::Address;

/// The data plane's name in the `mux` field.
pub const MUX_YAMUX: &str = "yamux";
/// The version of the native dialect.
pub const VERSION: u32 = 1;

/// What a stream of a service carries.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proto {
    /// HTTP/1.1, exactly as the local service will see it.
    #[default]
    Http,
    /// Bytes.
    Tcp,
    /// HTTP/2 with prior knowledge.
    #[serde(rename = "h2")]
    H2,
}

/// A named local port that an agent offers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// Its name: a DNS label, since it becomes one.
    pub name: String,
    /// What its streams carry.
    pub proto: Proto,
    /// The local port, told to the relay for display only.
    pub local_port: Option<u16>,
    /// Whether visitors may come. If not, only identities reach it, and its owner says which.
    pub public: bool,
}

/// Why a name cannot be a service's.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum ServiceNameError {
    /// Not 1 to 63 of `a-z`, `0-9` and `-`, or a `-` at an end.
    #[error("a service name is 1 to 63 of a-z, 0-9 and '-', with no '-' at either end")]
    NotALabel,
    /// It would shadow an identity's own name.
    #[error("a Stellar address cannot be a service name")]
    LooksLikeAnAddress,
}

impl Service {
    /// A service of this name whose streams are bytes.
    pub fn tcp(name: impl Into<String>) -> Self {
        Self { proto: Proto::Tcp, ..Self::http(name) }
    }

    /// An HTTP service of this name.
    pub fn http(name: impl Into<String>) -> Self {
        Self { name: name.into(), proto: Proto::Http, local_port: None, public: true }
    }

    /// Whether `name` can be a service's: it must be one lower-case DNS label (RFC 1035 section 2.3.1, digits first allowed).
    pub fn check_name(name: &str) -> Result<(), ServiceNameError> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let edge = name.starts_with('-') || name.ends_with('-');
        if name.is_empty() || name.len() > 63 || edge || !name.bytes().all(legal) {
            return Err(ServiceNameError::NotALabel);
        }
        if Address::from_label(name).is_ok() {
            return Err(ServiceNameError::LooksLikeAnAddress);
        }
        Ok(())
    }
}

/// Defines the vocabulary, and once more how it is read: writing puts the `type` inside, and reading has taken it out
/// already, which serde does not do for one and the same enum.
macro_rules! vocabulary {
    ($($variants:tt)*) => {
        /// One control message. Fields a peer may leave out are optional; fields it adds are ignored.
        #[derive(Clone, PartialEq, Eq, Serialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        pub enum Signal {
            $($variants)*
        }

        #[derive(Deserialize)]
        #[serde(remote = "Signal", rename_all = "snake_case")]
        #[allow(dead_code)]
        enum Reading {
            $($variants)*
        }
    };
}

vocabulary! {
    /// Relay: prove that you hold your key, now and to me.
    AuthChallenge {
        /// Names this challenge.
        challenge_id: String,
        /// What the token's `challenge` claim must repeat.
        challenge: String,
        /// Who asks: the audience of the token.
        server_address: String,
        /// Data planes the relay offers; absent on existing HVYM programs.
        #[serde(default)]
        mux: Vec<String>,
        /// Version of the dialect.
        #[serde(default)]
        version: Option<u32>,
    },
    /// Agent: the proof.
    AuthResponse {
        /// The challenge it answers.
        #[serde(default)]
        challenge_id: Option<String>,
        /// The token.
        #[serde(default)]
        jwt: Option<String>,
        /// The data plane the agent chose; absent on existing HVYM programs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mux: Option<String>,
        /// Version of the dialect.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u32>,
    },
    /// Relay: you are in.
    AuthOk {
        /// The public URL of the first service bound.
        endpoint: String,
        /// The relay's address.
        server_address: String,
        /// The services the token asked for.
        #[serde(default)]
        services: Vec<String>,
        /// The data plane in use; absent on existing HVYM programs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mux: Option<String>,
        /// Version of the dialect.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u32>,
        /// Whether messages can be sealed; only existing HVYM programs say it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encryption_available: Option<bool>,
        /// How they are sealed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        encryption_mode: Option<String>,
    },
    /// Relay: you are not; a close follows.
    AuthFailed {
        /// Machine-readable.
        #[serde(default)]
        code: Option<String>,
        /// For a person.
        #[serde(default)]
        error: String,
    },
    /// Agent: make a service reachable.
    Bind {
        /// Its name.
        service: String,
        /// The local port, for display.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        local_port: Option<u16>,
        /// What it carries; `None` is something this version does not know.
        #[serde(default = "usual", deserialize_with = "if_known", skip_serializing_if = "Option::is_none")]
        proto: Option<Proto>,
        /// Whether visitors may come; a relay of an earlier version lets them.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        public: bool,
    },
    /// Relay: it is reachable.
    BindOk {
        /// Its name.
        service: String,
        /// The port that the agent told; only existing HVYM programs repeat it.
        #[serde(skip)]
        local_port: Option<u16>,
        /// Where.
        #[serde(default)]
        url: Option<String>,
        /// The public port that is this service's alone, if it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    },
    /// Relay: it is not.
    BindFailed {
        /// Its name.
        service: String,
        /// Machine-readable.
        #[serde(default)]
        code: String,
        /// For a person.
        #[serde(default)]
        error: String,
    },
    /// Agent: make a service unreachable; its streams go on.
    Unbind {
        /// Its name.
        service: String,
    },
    /// Relay: done.
    UnbindOk {
        /// Its name.
        service: String,
    },
    /// Are you there?
    Ping {
        /// To be repeated in the pong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    },
    /// I am.
    Pong {
        /// The ping's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    },
    /// Relay: this relay will go away; connect again now.
    Drain {
        /// For a person.
        #[serde(default)]
        reason: String,
        /// How long streams of this link may go on, milliseconds.
        #[serde(default)]
        deadline_ms: u64,
    },
    /// Something a person should know; never fatal by itself.
    Error {
        /// Machine-readable.
        #[serde(default)]
        code: String,
        /// For a person.
        #[serde(default)]
        message: String,
        /// What to do about it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// A type this version does not know.
    #[serde(other)]
    Unknown,
}

fn usual() -> Option<Proto> {
    Some(Proto::default())
}

/// A newer peer may carry what we do not: that is for the service to be refused, not for the link to end.
fn if_known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Proto>, D::Error> {
    let name = String::deserialize(deserializer)?;
    Ok(Proto::deserialize(IntoDeserializer::<ValueError>::into_deserializer(name)).ok())
}

fn yes() -> bool {
    true
}

/// The default is not written, for relays that know no other.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_yes(public: &bool) -> bool {
    *public
}

impl Signal {
    /// The message that `json` spells.
    ///
    /// # Errors
    /// It is no object with a `type`, or its members have the wrong types.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        tagged::read(json, |tagged| Reading::deserialize(tagged))
    }

    /// The message that tells the peer a service cannot be bound.
    pub fn bind_failed(service: &str, code: &str, error: &str) -> Self {
        Signal::BindFailed { service: service.to_owned(), code: code.to_owned(), error: error.to_owned() }
    }
}

/// Names the kind alone: an `auth_response` carries a token, and no token belongs in a log.
impl core::fmt::Debug for Signal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Signal::AuthChallenge { .. } => "auth_challenge",
            Signal::AuthResponse { .. } => "auth_response",
            Signal::AuthOk { .. } => "auth_ok",
            Signal::AuthFailed { .. } => "auth_failed",
            Signal::Bind { .. } => "bind",
            Signal::BindOk { .. } => "bind_ok",
            Signal::BindFailed { .. } => "bind_failed",
            Signal::Unbind { .. } => "unbind",
            Signal::UnbindOk { .. } => "unbind_ok",
            Signal::Ping { .. } => "ping",
            Signal::Pong { .. } => "pong",
            Signal::Drain { .. } => "drain",
            Signal::Error { .. } => "error",
            Signal::Unknown => "unknown",
        })
    }
}
