//! The URL of the store, which may hold a password: it is shown to nobody.

use std::fmt;
use std::str::FromStr;

use redis::IntoConnectionInfo;
use thiserror::Error;

/// The URL of a Redis: `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://` with TLS, or `unix:PATH`.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(String);

/// A text that is no URL of a Redis. The text is not shown.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[error(
    "the URL of a Redis is needed, as in redis://localhost:6379, rediss:// with TLS, or unix:/run/redis.sock"
)]
pub struct StoreUrlError;

impl StoreUrl {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        let text = text.trim();
        text.into_connection_info().map(|_| Self(text.to_owned())).map_err(|_| StoreUrlError)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreUrl(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_and_never_shown() {
        for text in
            ["redis://localhost", "redis://:hush@10.0.0.1:6380/2\n", "rediss://r.example", "unix:/run/r.sock"]
        {
            let url: StoreUrl = text.parse().unwrap_or_else(|_| panic!("{text}"));
            assert!(!format!("{url:?}").contains("hush"));
        }
        for text in ["", "localhost:6379", "http://localhost", "redis://hush@@"] {
            assert!(text.parse::<StoreUrl>().is_err(), "{text}");
        }
        assert!(!StoreUrlError.to_string().contains("hush"));
    }
}
