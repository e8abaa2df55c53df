//! The JSON schema of the settings file, and the texts in it whose form it shares with the parser.
//!
//! A pattern says what a text looks like. What is wrong with one that looks right, such as an address whose checksum is not
//! its own, only the parser finds.

use std::net::IpAddr;
use std::str::FromStr;

use hvym_tunnel_agent::OnConflict;
use hvym_tunnel_agent::settings::{parse_host, parse_network};
use hvym_tunnel_core::names::{ClaimedName, CustomHost};
use hvym_tunnel_net::external_signer::SOCKET_PREFIX;
use ipnet::IpNet;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

use crate::settings::Settings;

/// The JSON schema (2020-12) of the settings file, as it is committed beside this crate.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Settings);
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text.push('\n');
    text
}

const NAME: &str = "^(?!xn$)[a-z0-9]+(-[a-z0-9]+)*$";
const ADDRESS: &str = "^G[A-Z2-7]{55}$";
const RELAY: &str = "^((wss?|https?)://)?[^\\s/]*[^\\s/:](/\\S*)?$";
const TARGET: &str = "^(unix:.+|[./].*|[0-9]{1,5}|(tcp://)[0-9]{1,5}|((http|https|https\\+insecure)://)?[^\\s/:]+:[0-9]{1,5}/?|\
    ((http|https|https\\+insecure)://)?\\[[0-9a-fA-F:.]+\\]:[0-9]{1,5}/?|(http|https|https\\+insecure)://[^\\s/:]+/?|\
    (h2c|tcp)://(\\[[0-9a-fA-F:.]+\\]|[^\\s/:]+):[0-9]{1,5}/?)$";
const ORIGIN: &str = "^https?://[^\\s/?#@*:]+(:([0-9]{1,5}|\\*))?$";
const HTTP_URL: &str = "^https?://[^\\s/?#]+\\S*$";
const HOOK_URL: &str = "^https?(\\+insecure)?://[^\\s/?#]+\\S*$";
const HOST: &str = "^[A-Za-z0-9._:\\[\\]-]+$";
const PATH: &str = "^/\\S*$";
const FILE_NAME: &str = "^[A-Za-z0-9_-][A-Za-z0-9._-]*$";
const IP_ADDRESS: &str = "^[0-9a-fA-F:.]+$";
const CIDR: &str = "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$";

macro_rules! texts {
    ($($one:ident = $pattern:expr;)*) => {$(
        pub(crate) fn $one(_generator: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "string", "pattern": $pattern })
        }
    )*};
}

texts! {
    optional_address = ADDRESS;
    relay = RELAY;
    target = TARGET;
    optional_http_url = HTTP_URL;
    optional_hook_url = HOOK_URL;
    optional_host = HOST;
    optional_path = PATH;
    file_name = FILE_NAME;
}

pub(crate) fn name(_generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": NAME, "maxLength": 40 })
}

pub(crate) fn optional_name(generator: &mut SchemaGenerator) -> Schema {
    name(generator)
}

fn list(pattern: &str) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "pattern": pattern } })
}

pub(crate) fn addresses(_generator: &mut SchemaGenerator) -> Schema {
    list(ADDRESS)
}

pub(crate) fn relays(_generator: &mut SchemaGenerator) -> Schema {
    list(RELAY)
}

pub(crate) fn ip_addresses(_generator: &mut SchemaGenerator) -> Schema {
    list(IP_ADDRESS)
}

pub(crate) fn cidrs(_generator: &mut SchemaGenerator) -> Schema {
    list(CIDR)
}

pub(crate) fn origins(_generator: &mut SchemaGenerator) -> Schema {
    list(ORIGIN)
}

pub(crate) fn optional_command(_generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string" }, "minItems": 1 })
}

pub(crate) fn optional_signer(_generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": format!("^{SOCKET_PREFIX}.") })
}

/// The socket of a signer.
pub(crate) fn read_signer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let is_one = |text: &str| text.strip_prefix(SOCKET_PREFIX).is_some_and(|path| !path.is_empty());
    read_text(deserializer, is_one, "a socket is needed, as in unix:/run/user/1000/signer.sock")
}

pub(crate) fn auth_words(_generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": ["challenge", "bearer"] })
}

pub(crate) fn conflict_words(_generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": CONFLICTS.map(OnConflict::name) })
}

const CONFLICTS: [OnConflict; 4] =
    [OnConflict::Takeover, OnConflict::Reject, OnConflict::Pool, OnConflict::Standby];

/// Reads a text that need not be set, if `is_one` says so; `needed` says what is needed else.
fn read_text<'de, D: Deserializer<'de>>(
    deserializer: D,
    is_one: impl Fn(&str) -> bool,
    needed: &str,
) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    if text.as_deref().is_none_or(is_one) { Ok(text) } else { Err(D::Error::custom(needed)) }
}

/// Whether `text` is a URL of one of these schemes: a host, and no white space.
fn is_url(text: &str, schemes: &[&str]) -> bool {
    let rest = text.split_once("://").filter(|(scheme, _)| schemes.contains(scheme));
    rest.is_some_and(|(_, rest)| {
        !rest.is_empty() && !rest.starts_with(['/', '?', '#']) && !text.contains(char::is_whitespace)
    })
}

/// A URL that alerts are posted to.
pub(crate) fn read_http_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let is_one = |text: &str| is_url(text, &["http", "https"]);
    read_text(deserializer, is_one, "a URL with http:// or https:// is needed")
}

/// A URL that a hook posts to.
pub(crate) fn read_hook_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let is_one = |text: &str| is_url(text, &["http", "https", "https+insecure"]);
    read_text(deserializer, is_one, "a URL with http://, https:// or https+insecure:// is needed")
}

/// The path of a request.
pub(crate) fn read_path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let is_one = |text: &str| text.starts_with('/') && !text.contains(char::is_whitespace);
    read_text(deserializer, is_one, "a path is needed, as in /health")
}

/// A value of the `Host` field.
pub(crate) fn read_host<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.as_deref().map(parse_host).transpose().map_err(D::Error::custom)
}

/// The name of a file in a folder that is named elsewhere.
pub(crate) fn read_file_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match !text.is_empty() && !text.starts_with('.') && text.bytes().all(allowed) {
        true => Ok(text),
        false => Err(D::Error::custom("the name of a file is needed: letters, digits, . _ and -, no folder")),
    }
}

/// A program and its arguments.
pub(crate) fn read_command<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    match Option::<Vec<String>>::deserialize(deserializer)? {
        Some(words) if words.is_empty() => Err(D::Error::custom("a program and its arguments are needed")),
        words => Ok(words),
    }
}

/// Origins of pages, in lower case.
pub(crate) fn read_origins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let needed = "an origin has a scheme, a host and perhaps a port, as in http://localhost:*";
    let is_port = |port: &str| port == "*" || (port.parse::<u16>().is_ok() && !port.starts_with('+'));
    let is_origin = |text: &&str| {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
        let (host, port) = host.split_once(':').map_or((host, None), |(host, port)| (host, Some(port)));
        let is_host = !host.is_empty() && !host.contains(['/', '?', '#', '@', '*']);
        Some(is_host && !host.contains(char::is_whitespace) && port.is_none_or(is_port))
    };
    let texts = Vec::<String>::deserialize(deserializer)?;
    match texts.iter().all(|text| is_origin(&text.as_str()) == Some(true)) {
        true => Ok(texts.iter().map(|text| text.to_ascii_lowercase()).collect()),
        false => Err(D::Error::custom(needed)),
    }
}

/// Names to ask a relay for.
pub(crate) fn read_public_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let read = |text: &String| match text.contains('.') {
        true => CustomHost::new(text).map(|host| host.as_str().to_owned()).map_err(D::Error::custom),
        false => ClaimedName::new(text).map(String::from).map_err(D::Error::custom),
    };
    Vec::<String>::deserialize(deserializer)?.iter().map(read).collect()
}

/// For `#[serde(with = "text")]`: what a person would type.
pub(crate) mod text {
    use std::fmt::Display;

    use super::{Deserialize, Deserializer, Error, FromStr, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// For `#[serde(with = "networks")]`: networks, or single addresses.
pub(crate) mod networks {
    use super::{Deserialize, Deserializer, Error, IpNet, Serializer, parse_network};

    pub(crate) fn serialize<S: Serializer>(networks: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(networks.iter().map(ToString::to_string))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| parse_network(text)).collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}

/// For `#[serde(with = "conflict")]`: the words that `--on-conflict` takes.
pub(crate) mod conflict {
    use super::{CONFLICTS, Deserialize, Deserializer, Error, OnConflict, Serializer};

    pub(crate) fn serialize<S: Serializer>(policy: &OnConflict, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(policy.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OnConflict, D::Error> {
        let text = String::deserialize(deserializer)?;
        let found = CONFLICTS.into_iter().find(|policy| policy.name() == text);
        found.ok_or_else(|| D::Error::custom("takeover, reject, pool or standby is needed"))
    }
}

/// Whether an address is of this machine alone.
pub(crate) fn is_loopback(address: &IpAddr) -> bool {
    address.is_loopback()
}
