//! The URL of the store, which may hold a password: it is shown to nobody.

use std::fmt;
use std::str::FromStr;

use redis::IntoConnectionInfo;
use sqlx::postgres::PgConnectOptions;
use thiserror::Error;

/// Which program keeps what relays share.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// Redis, and what speaks its protocol and runs its scripts.
    Redis,
    /// PostgreSQL.
    Postgres,
}

/// The URL of a Redis: `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://` with TLS, or `unix:PATH`; or of a PostgreSQL:
/// `postgresql://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE`.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    kind: StoreKind,
    url: String,
}

/// A text that is no URL of a store. The text is not shown.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "the URL of a Redis or a PostgreSQL is needed, as in redis://localhost:6379, rediss:// with TLS, unix:/run/redis.sock, or \
     postgresql://relay@localhost/relays"
)]
pub struct StoreUrlError;

impl StoreUrl {
    /// Which store it is.
    pub const fn kind(&self) -> StoreKind {
        self.kind
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.url
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        let url = text.trim().to_owned();
        let kind = match url.split_once(':') {
            Some(("postgres" | "postgresql", _)) => StoreKind::Postgres,
            _ => StoreKind::Redis,
        };
        let is_url = match kind {
            StoreKind::Redis => url.as_str().into_connection_info().is_ok(),
            StoreKind::Postgres => PgConnectOptions::from_str(&url).is_ok(),
        };
        is_url.then_some(Self { kind, url }).ok_or(StoreUrlError)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreUrl(..)")
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StoreKind::Redis => "Redis",
            StoreKind::Postgres => "PostgreSQL",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_and_never_shown() {
        for (text, kind) in [
            ("redis://localhost", StoreKind::Redis),
            ("redis://:hush@10.0.0.1:6380/2\n", StoreKind::Redis),
            ("rediss://r.example", StoreKind::Redis),
            ("unix:/run/r.sock", StoreKind::Redis),
            ("postgres://u:hush@10.0.0.1/relays\n", StoreKind::Postgres),
            ("postgresql://u@localhost/relays?host=/run/postgresql", StoreKind::Postgres),
        ] {
            let url: StoreUrl = text.parse().unwrap_or_else(|_| panic!("{text}"));
            assert_eq!(url.kind(), kind, "{text}");
            assert!(!format!("{url:?}").contains("hush"));
        }
        for text in [
            "",
            "localhost:6379",
            "http://localhost",
            "redis://hush@@",
            "postgresql://hush:x:y/z",
            "mysql://h/d",
        ] {
            assert!(text.parse::<StoreUrl>().is_err(), "{text}");
        }
        assert!(!StoreUrlError.to_string().contains("hush"));
    }
}
