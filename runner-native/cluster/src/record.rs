//! What the relays of a cluster tell each other by their store: where they are, and what they serve. It knows no store.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hvym_tunnel_core::dialect::{OnConflict, Proto};
use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::stellar::Address;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What names the owner that is no identity.
const NAMED: char = '@';

/// One running relay: 128 random bits, as of the instance of an agent. A relay that is started again is another one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NodeId(Arc<str>);

/// A relay, for the others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RelayRecord {
    /// Where the others dial it.
    pub url: String,
    /// Who it must prove to be.
    pub address: Address,
}

/// A service of an owner.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ServiceKey {
    /// Whose it is.
    pub owner: Owner,
    /// Its name.
    pub service: String,
}

/// What a relay serves, for the others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceRecord {
    /// The running program that serves it; `None` is one that knows no instances.
    pub instance: Option<String>,
    /// What its streams carry.
    pub proto: Proto,
    /// Whether visitors may reach it.
    pub is_public: bool,
    /// What becomes of it when another program binds it.
    pub on_conflict: OnConflict,
}

/// A text of the store that is no record.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("no record: {0}")]
pub struct RecordError(String);

#[derive(Deserialize, Serialize)]
struct RelayJson {
    url: String,
    address: String,
}

#[derive(Deserialize, Serialize)]
struct ServiceJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    proto: String,
    public: bool,
    on_conflict: String,
}

impl NodeId {
    /// The relay of this name, which has no space in it.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RelayRecord {
    /// As JSON.
    pub fn to_json(&self) -> String {
        let json = RelayJson { url: self.url.clone(), address: self.address.to_string() };
        serde_json::to_string(&json).unwrap_or_default()
    }

    /// From JSON. Members that are not known are ignored.
    ///
    /// # Errors
    /// It is none, or not of a relay.
    pub fn from_json(text: &str) -> Result<Self, RecordError> {
        let RelayJson { url, address } = serde_json::from_str(text).map_err(RecordError::new)?;
        Ok(Self { url, address: address.parse().map_err(RecordError::new)? })
    }
}

impl ServiceRecord {
    /// As JSON.
    pub fn to_json(&self) -> String {
        let json = ServiceJson {
            instance: self.instance.clone(),
            proto: self.proto.name().to_owned(),
            public: self.is_public,
            on_conflict: self.on_conflict.name().to_owned(),
        };
        serde_json::to_string(&json).unwrap_or_default()
    }

    /// From JSON. Members that are not known are ignored.
    ///
    /// # Errors
    /// It is none, or not of a service that this version knows.
    pub fn from_json(text: &str) -> Result<Self, RecordError> {
        let json: ServiceJson = serde_json::from_str(text).map_err(RecordError::new)?;
        Ok(Self {
            instance: json.instance,
            proto: Proto::named(&json.proto).ok_or_else(|| RecordError::new(&json.proto))?,
            is_public: json.public,
            on_conflict: OnConflict::named(&json.on_conflict)
                .ok_or_else(|| RecordError::new(&json.on_conflict))?,
        })
    }
}

impl RecordError {
    fn new(what: impl ToString) -> Self {
        Self(what.to_string())
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Owner::Identity(address) => write!(f, "{address}/{}", self.service),
            Owner::Named(name) => write!(f, "{NAMED}{name}/{}", self.service),
        }
    }
}

impl FromStr for ServiceKey {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Self, RecordError> {
        let (owner, service) = text.split_once('/').ok_or_else(|| RecordError::new(text))?;
        let owner = match owner.strip_prefix(NAMED) {
            Some(name) => Owner::Named(Arc::from(name)),
            None => Owner::Identity(owner.parse().map_err(RecordError::new)?),
        };
        Ok(Self { owner, service: service.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let address = Address::from_public_key([7; 32]);
        let relay = RelayRecord { url: "wss://10.0.0.2:9443/connect".to_owned(), address };
        assert_eq!(RelayRecord::from_json(&relay.to_json()), Ok(relay));
        let service = ServiceRecord {
            instance: Some("A-_z5678901234567890ab".to_owned()),
            proto: Proto::H2,
            is_public: false,
            on_conflict: OnConflict::Standby,
        };
        assert_eq!(ServiceRecord::from_json(&service.to_json()), Ok(service.clone()));
        let older = ServiceRecord { instance: None, ..service };
        assert_eq!(ServiceRecord::from_json(&older.to_json()), Ok(older));
        for owner in [Owner::Identity(address), Owner::Named("alice".into())] {
            let key = ServiceKey { owner, service: "web".to_owned() };
            assert_eq!(key.to_string().parse(), Ok(key));
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for text in ["", "{}", "[]", r#"{"url":"ws://a","address":"x"}"#] {
            assert!(RelayRecord::from_json(text).is_err(), "{text}");
        }
        for text in ["", r#"{"proto":"http","public":true,"on_conflict":"toss"}"#, r#"{"proto":"udp"}"#] {
            assert!(ServiceRecord::from_json(text).is_err(), "{text}");
        }
        for text in ["", "web", "GX/web"] {
            assert!(text.parse::<ServiceKey>().is_err(), "{text}");
        }
    }
}
