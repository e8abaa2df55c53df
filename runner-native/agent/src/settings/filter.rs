//! What a service requires of its visitors, and what it changes in their requests.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use hvym_tunnel_core::dialect::Proto;
use ipnet::IpNet;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::credentials::{Credentials, CredentialsError};

/// What is required of visitors, and changed in requests, before a service sees them. Nothing by default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Visitors of HTTP services"))]
pub struct FilterSettings {
    /// Visitors must give one of these names and passwords (RFC 7617); none here and in the file admits everybody.
    /// Never serialized.
    #[serde(rename = "basic_auth", skip_serializing)]
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "basic-auth",
            value_name = "USER:PASSWORD",
            value_delimiter = '\n',
            hide_env_values = true,
            env = "HVYM_TUNNEL_BASIC_AUTH",
            hide_env = true,
            help = "Ask visitors for this name and password; repeat for more",
            long_help = "Ask visitors for this name and password; repeat for more\n\n\
            Other users of this machine may see what is typed here: a file, or the variable, keeps it to you. Services do not see what visitors gave.",
        )
    )]
    pub credentials: Vec<Credentials>,
    /// A file with more of them, one in each line, with a password or a hash of it. Others may not read it. It is read when the service is added.
    #[serde(rename = "basic_auth_file")]
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "basic-auth-file",
            value_name = "FILE",
            env = "HVYM_TUNNEL_BASIC_AUTH_FILE",
            hide_env = true,
            help = "Ask visitors for one of the names and passwords in this file, USER:PASSWORD in each line",
            long_help = "Ask visitors for one of the names and passwords in this file, USER:PASSWORD in each line\n\n\
            In place of a password there may be a hash of it, bcrypt as htpasswd -B writes it, or argon2. Nobody but you may read the file.",
        )
    )]
    pub credentials_file: Option<PathBuf>,
    /// Visitors must have an address in one of these; empty admits every address.
    #[serde(rename = "allow_cidr", deserialize_with = "read_networks", serialize_with = "write_networks")]
    #[cfg_attr(feature = "clap", arg(
        long = "allow-cidr", value_name = "CIDR", value_delimiter = ',', value_parser = network,
        env = "HVYM_TUNNEL_ALLOW_CIDR", hide_env = true,
        help = "Let in visitors with these addresses alone, as in 203.0.113.0/24; repeat for more",
    ))]
    pub networks: Vec<IpNet>,
    /// Whether CORS preflights are answered with yes, without asking the service.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "HVYM_TUNNEL_CORS_PREFLIGHT",
            hide_env = true,
            help = "Tell browsers that every site may use the services (CORS), without asking the services",
            long_help = "Tell browsers that every site may use the services (CORS), without asking the services\n\n\
            Only the question beforehand is answered, which services behind a login often cannot. What they answer to the request itself passes as it is.",
        )
    )]
    pub cors_preflight: bool,
    /// The `Host` that services see; `None` is what visitors sent. For services that refuse the public name. Other fields that
    /// name the host are mapped for the service and back.
    #[serde(rename = "host_header", deserialize_with = "read_host")]
    #[cfg_attr(feature = "clap", arg(
        long = "host-header", value_name = "HOST", value_parser = host, env = "HVYM_TUNNEL_HOST_HEADER", hide_env = true,
        help = "Send services this Host, for those that refuse the public name; often localhost:PORT",
        long_help = "Send services this Host, for those that refuse the public name; often localhost:PORT\n\n\
            Origin, Referer and Destination of a request that name the public host name this one instead. Location, Content-Location, \
            Refresh, Set-Cookie and Access-Control-Allow-Origin of the answer are mapped back. What is in bodies stays.",
    ))]
    pub host: Option<String>,
}

/// A setting of [`FilterSettings`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FilterSetting {
    /// [`FilterSettings::networks`].
    Networks,
    /// [`FilterSettings::credentials`].
    Credentials,
    /// [`FilterSettings::cors_preflight`].
    CorsPreflight,
    /// [`FilterSettings::host`].
    Host,
}

impl fmt::Display for FilterSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FilterSetting::Networks => "a list of networks",
            FilterSetting::Credentials => "basic authentication",
            FilterSetting::CorsPreflight => "answering preflights",
            FilterSetting::Host => "a host header",
        })
    }
}

impl FilterSettings {
    /// Whether every request passes as it is.
    pub fn is_open(&self) -> bool {
        !self.has_credentials() && self.networks.is_empty() && !self.cors_preflight && self.host.is_none()
    }

    fn has_credentials(&self) -> bool {
        !self.credentials.is_empty() || self.credentials_file.is_some()
    }

    /// The same settings with the accounts of [`Self::credentials_file`] among [`Self::credentials`].
    ///
    /// # Errors
    /// A file that cannot be read or names nobody; not what its lines are like.
    pub fn with_file(mut self) -> Result<Self, CredentialsError> {
        if let Some(path) = self.credentials_file.take() {
            self.credentials.extend(Credentials::all_in(&path)?);
        }
        Ok(self)
    }

    /// The first setting that cannot be kept for streams of this `proto`.
    pub(crate) fn beyond(&self, proto: Proto) -> Option<FilterSetting> {
        let settings = [
            // The relay names the visitor of a byte stream; an HTTP/2 connection carries requests of many.
            (FilterSetting::Networks, !self.networks.is_empty(), proto == Proto::Tcp),
            (FilterSetting::Credentials, self.has_credentials(), false),
            // On a byte stream these have no effect that anybody could miss.
            (FilterSetting::CorsPreflight, self.cors_preflight, proto == Proto::Tcp),
            (FilterSetting::Host, self.host.is_some(), proto == Proto::Tcp),
        ];
        let broken = settings.into_iter().find(|(_, is_set, is_kept)| *is_set && !is_kept);
        broken.map(|(setting, ..)| setting).filter(|_| proto != Proto::Http)
    }
}

/// A network, or one address.
///
/// # Errors
/// What is needed instead, in words.
pub fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    network.map_err(|_| "an address or a network is needed, as in 203.0.113.7 or 2001:db8::/32".to_owned())
}

/// A value of the `Host` field (RFC 9110 section 7.2), no more: what else could be sent with it would be another field.
///
/// # Errors
/// What is needed instead, in words.
pub fn host(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    match text {
        "" => Err("a host is needed, as in localhost:3000".to_owned()),
        text if text.bytes().all(allowed) => Ok(text.to_owned()),
        _ => Err("a host has only letters, digits, - . _ : and brackets".to_owned()),
    }
}

fn read_networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| network(text)).collect::<Result<_, _>>().map_err(D::Error::custom)
}

fn write_networks<S: Serializer>(networks: &[IpNet], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(networks.iter().map(ToString::to_string))
}

fn read_host<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.as_deref().map(host).transpose().map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_the_filter_as_the_command_line_does_and_no_password_is_written() {
        let text = r#"{"basic_auth": ["ann:secret"], "allow_cidr": ["203.0.113.7", "2001:db8::/32"],
            "host_header": "localhost:3000"}"#;
        let read: FilterSettings = serde_json::from_str(text).expect("settings");
        assert_eq!(read.credentials, ["ann:secret".into()]);
        assert_eq!((read.networks.len(), read.host.as_deref()), (2, Some("localhost:3000")));
        let written = serde_json::to_string(&read).expect("a text");
        assert!(!written.contains("secret"), "{written}");
        let back: FilterSettings = serde_json::from_str(&written).expect("what was written");
        assert_eq!(back, FilterSettings { credentials: Vec::new(), ..read });
        for wrong in [r#"{"host_header": "a b"}"#, r#"{"allow_cidr": ["x"]}"#, r#"{"hosts": ""}"#] {
            assert!(serde_json::from_str::<FilterSettings>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn accounts_of_a_file_are_added_to_those_that_are_set() {
        let path = std::env::temp_dir().join(format!("hvym-tunnel-accounts-{}", std::process::id()));
        std::fs::write(&path, "bob:other\n").expect("a file");
        #[cfg(unix)]
        {
            use std::fs::Permissions;
            use std::os::unix::fs::PermissionsExt;
            let file = FilterSettings { credentials_file: Some(path.clone()), ..FilterSettings::default() };
            let chmod =
                |mode| std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
            for mode in [0o640, 0o604, 0o620, 0o666] {
                chmod(mode);
                let read = file.clone().with_file();
                assert_eq!(read, Err(CredentialsError::TooOpen { path: path.clone(), mode }));
            }
            chmod(0o600);
        }
        let both = FilterSettings {
            credentials: vec!["ann:secret".into()],
            credentials_file: Some(path.clone()),
            ..FilterSettings::default()
        };
        let file = FilterSettings { credentials: Vec::new(), ..both.clone() };
        assert!(!file.is_open(), "the file alone asks for a name and a password");
        assert_eq!(file.beyond(Proto::Tcp), Some(FilterSetting::Credentials));
        let read = both.with_file().expect("a file of accounts");
        assert_eq!(read.credentials, ["ann:secret".into(), "bob:other".into()]);
        assert_eq!(read.credentials_file, None);
        std::fs::remove_file(&path).expect("it was ours");
        assert!(matches!(file.with_file(), Err(CredentialsError::Unreadable { .. })));
    }
}
