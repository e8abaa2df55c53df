//! Why an exchange with a store failed.

use redis::RedisError;
use thiserror::Error;

use crate::url::StoreKind;

/// Why an exchange failed. The texts name no password.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The store cannot be reached, or did not answer in time.
    #[error("{0} does not answer: {1}")]
    Unavailable(StoreKind, String),
    /// The store answered something else than its script does.
    #[error("{0} gave no proper answer")]
    Answer(StoreKind),
}

impl From<RedisError> for SyncError {
    fn from(error: RedisError) -> Self {
        SyncError::Unavailable(StoreKind::Redis, error.to_string())
    }
}

impl From<sqlx::Error> for SyncError {
    fn from(error: sqlx::Error) -> Self {
        let reason = match &error {
            // The whole error repeats its cause.
            sqlx::Error::Database(error) => error.message().to_owned(),
            sqlx::Error::Io(error) => error.to_string(),
            // May repeat the URL, and its password with it.
            sqlx::Error::Configuration(_) => "its URL is not understood".to_owned(),
            error => error.to_string(),
        };
        SyncError::Unavailable(StoreKind::Postgres, reason)
    }
}
