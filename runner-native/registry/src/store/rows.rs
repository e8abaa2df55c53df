//! Rows as what they mean.

use std::sync::Arc;

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::token::TokenHash;
use crate::tunnel::TunnelRecord;

/// A tunnel from the columns [`COLUMNS`](super::COLUMNS).
pub(crate) fn tunnel(row: &AnyRow) -> Result<TunnelRecord, sqlx::Error> {
    let hash = required(row, 2)?;
    let token_hash = TokenHash::from_hex(hash.trim_end())
        .ok_or_else(|| sqlx::Error::Decode("a token's hash is damaged".into()))?;
    Ok(TunnelRecord {
        id: row.try_get(0)?,
        domain: required(row, 1)?.into(),
        token_hash,
        name: text(row, 3)?,
        description: text(row, 4)?,
        mode: required(row, 5)?,
        enabled: row.try_get::<i64, _>(6)? != 0,
        logs_requests: row.try_get::<i64, _>(7)? != 0,
        owner: text(row, 8)?.map(Arc::from),
        created_at: row.try_get(9)?,
        updated_at: row.try_get(10)?,
        last_connected_at: row.try_get(11)?,
        total_requests: row.try_get(12)?,
        bytes_in: row.try_get(13)?,
        bytes_out: row.try_get(14)?,
    })
}

/// The text of a column. Long texts of MySQL are bytes to the driver.
pub(crate) fn text(row: &AnyRow, column: usize) -> Result<Option<String>, sqlx::Error> {
    match row.try_get::<Option<String>, _>(column) {
        Ok(text) => Ok(text),
        Err(error) => match row.try_get::<Option<Vec<u8>>, _>(column) {
            Ok(bytes) => Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())),
            Err(_) => Err(error),
        },
    }
}

/// The text of a column that is never NULL.
pub(super) fn required(row: &AnyRow, column: usize) -> Result<String, sqlx::Error> {
    text(row, column).map(Option::unwrap_or_default)
}

/// The number in the first column.
pub(crate) fn count(row: &AnyRow) -> Result<usize, sqlx::Error> {
    let count: i64 = row.try_get(0)?;
    Ok(usize::try_from(count).unwrap_or_default())
}
