//! All tunnels and the audit log as JSON: for backups, and to move from one database to another. Tokens are in it as hashes.

use serde::{Deserialize, Serialize};
use sqlx::Connection;

use crate::connection::unreachable_database;
use crate::database_url::{DatabaseKind, DatabaseUrl};
use crate::migrations::Migrate;
use crate::store::{Store, insert};
use crate::token::TokenHash;
use crate::tunnel::TunnelRecord;
use crate::{EpochMillis, RegistryError, unix_millis};

/// The largest export that is read: that of a full registry has 60 MB.
pub const MAX_IMPORT_BYTES: usize = 256 * 1024 * 1024;
/// The form of an export.
const VERSION: u32 = 1;

/// The tunnels of a registry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    version: u32,
    exported_at: EpochMillis,
    tunnels: Vec<ExportedTunnel>,
}

// Fields: one for each column.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExportedTunnel {
    id: i64,
    domain: String,
    token_sha256: String,
    name: Option<String>,
    description: Option<String>,
    mode: String,
    enabled: bool,
    logs_requests: bool,
    owner: Option<String>,
    created_at: EpochMillis,
    updated_at: Option<EpochMillis>,
    last_connected_at: Option<EpochMillis>,
    total_requests: i64,
    bytes_in: i64,
    bytes_out: i64,
}

impl Export {
    /// All tunnels of the database at `url`.
    ///
    /// # Errors
    /// It cannot be reached, or has other tables.
    pub async fn read(url: &DatabaseUrl) -> Result<Self, RegistryError> {
        let mut store = Store::open(url, Migrate::IfEmpty, unix_millis()).await?;
        let read = store.tunnels().await;
        let (tunnels, _) = read.map_err(|error| unreachable_database(url, &error))?;
        let tunnels = tunnels.iter().map(ExportedTunnel::from).collect();
        Ok(Self { version: VERSION, exported_at: unix_millis(), tunnels })
    }

    /// An export from its JSON.
    ///
    /// # Errors
    /// It is none, or of a newer program.
    pub fn parse(json: &[u8]) -> Result<Self, RegistryError> {
        let export: Self =
            serde_json::from_slice(json).map_err(|error| RegistryError::Export(error.to_string()))?;
        if export.version != VERSION {
            return Err(RegistryError::Export(format!("its version is {}, not {VERSION}", export.version)));
        }
        Ok(export)
    }

    /// The export as JSON.
    ///
    /// # Errors
    /// None: texts and numbers are JSON.
    pub fn to_json(&self) -> Result<String, RegistryError> {
        serde_json::to_string_pretty(self).map_err(|error| RegistryError::Export(error.to_string()))
    }

    /// The number and name of each tunnel.
    pub(crate) fn records(&self) -> impl Iterator<Item = (i64, &str)> {
        self.tunnels.iter().map(|tunnel| (tunnel.id, &*tunnel.domain))
    }

    /// Writes the tunnels to the database at `url`, all of them or none, and returns how many. Those there are that have
    /// the same name or number are an error.
    ///
    /// # Errors
    /// The database cannot be reached, or takes a tunnel not.
    pub async fn write(&self, url: &DatabaseUrl) -> Result<usize, RegistryError> {
        let tunnels: Option<Vec<TunnelRecord>> = self.tunnels.iter().map(ExportedTunnel::record).collect();
        let damaged = || RegistryError::Export("the hash of a token is damaged".to_owned());
        write_all(url, &tunnels.ok_or_else(damaged)?).await
    }
}

/// Adds tunnels, all of them or none.
pub(crate) async fn write_all(url: &DatabaseUrl, tunnels: &[TunnelRecord]) -> Result<usize, RegistryError> {
    const NEXT_ID: &str =
        "SELECT setval(pg_get_serial_sequence('tunnels', 'id'), (SELECT MAX(id) FROM tunnels))";
    let failed = |error: sqlx::Error| unreachable_database(url, &error);
    let mut store = Store::open(url, Migrate::IfEmpty, unix_millis()).await?;
    let mut transaction = store.connection.begin().await.map_err(failed)?;
    insert(&mut transaction, url.kind(), tunnels).await.map_err(failed)?;
    // The other two look for the largest number by themselves.
    if url.kind() == DatabaseKind::Postgres && !tunnels.is_empty() {
        sqlx::query(NEXT_ID).execute(&mut *transaction).await.map_err(failed)?;
    }
    let raise = "UPDATE registry_state SET value = value + 1 WHERE name = 'revision'";
    sqlx::query(raise).execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(tunnels.len())
}

impl From<&TunnelRecord> for ExportedTunnel {
    fn from(tunnel: &TunnelRecord) -> Self {
        Self {
            id: tunnel.id,
            domain: tunnel.domain.to_string(),
            token_sha256: tunnel.token_hash.to_hex(),
            name: tunnel.name.clone(),
            description: tunnel.description.clone(),
            mode: tunnel.mode.clone(),
            enabled: tunnel.enabled,
            logs_requests: tunnel.logs_requests,
            owner: tunnel.owner.as_deref().map(str::to_owned),
            created_at: tunnel.created_at,
            updated_at: tunnel.updated_at,
            last_connected_at: tunnel.last_connected_at,
            total_requests: tunnel.total_requests,
            bytes_in: tunnel.bytes_in,
            bytes_out: tunnel.bytes_out,
        }
    }
}

impl ExportedTunnel {
    fn record(&self) -> Option<TunnelRecord> {
        Some(TunnelRecord {
            id: self.id,
            domain: self.domain.as_str().into(),
            token_hash: TokenHash::from_hex(&self.token_sha256)?,
            name: self.name.clone(),
            description: self.description.clone(),
            mode: self.mode.clone(),
            enabled: self.enabled,
            logs_requests: self.logs_requests,
            owner: self.owner.as_deref().map(Into::into),
            created_at: self.created_at,
            updated_at: self.updated_at,
            last_connected_at: self.last_connected_at,
            total_requests: self.total_requests,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
        })
    }
}
