//! The statements: what is read from and written to the database, over one connection. Knows no memory and no task.

mod logs;
mod rows;

use std::sync::Arc;

use sqlx::any::AnyRow;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Connection, Row};

use crate::audit::AuditEntry;
use crate::command::{Change, Changed, TUNNEL_MODE};
use crate::connection::{connect, in_time, unreachable_database};
use crate::database_url::{DatabaseKind, DatabaseUrl};
use crate::migrations::{self, Migrate, Tables};
use crate::token::TunnelToken;
use crate::tunnel::{NewTunnel, TunnelRecord};
use crate::usage::{PendingUsage, stored};
use crate::{ChangeError, EpochMillis, MAX_TUNNELS, RegistryError};
pub(crate) use rows::{count, text};

/// The columns of a tunnel, in the order of [`rows::tunnel`].
pub(crate) const COLUMNS: &str = "id, domain, token_hash, name, description, mode, enabled, logs_requests, owner, created_at, \
     updated_at, last_connected_at, total_requests, bytes_in, bytes_out";

/// Rows in one statement. Each statement is a way to the database and back; the databases take some ten thousand parameters.
const ROWS: usize = 200;

/// The database.
pub(crate) struct Store {
    pub(crate) connection: AnyConnection,
    pub(crate) url: DatabaseUrl,
}

/// Why a change was not made.
pub(crate) enum NotChanged {
    /// It must not be made.
    Refused(ChangeError),
    /// The database took no command.
    Failed(sqlx::Error),
}

impl From<sqlx::Error> for NotChanged {
    fn from(error: sqlx::Error) -> Self {
        NotChanged::Failed(error)
    }
}

impl From<ChangeError> for NotChanged {
    fn from(error: ChangeError) -> Self {
        NotChanged::Refused(error)
    }
}

/// A query in the words of `kind`.
pub(crate) fn query(kind: DatabaseKind, statement: &str) -> Query<'static, Any, sqlx::any::AnyArguments> {
    // Only the numbers of its parameters are added to a text of this program.
    sqlx::query(AssertSqlSafe(kind.sql(statement)))
}

impl Store {
    /// Connects, and brings the tables to the newest version where that may be done.
    ///
    /// # Errors
    /// The database cannot be reached, or has other tables.
    pub(crate) async fn open(
        url: &DatabaseUrl,
        migrate: Migrate,
        now: EpochMillis,
    ) -> Result<Self, RegistryError> {
        let mut connection = connect(url).await?;
        let database = || url.to_string();
        in_time(url, async {
            let tables = migrations::tables(&mut connection).await;
            match tables.map_err(|error| unreachable_database(url, &error))? {
                Tables::Current => Ok(()),
                Tables::Foreign => Err(RegistryError::Foreign { database: database() }),
                Tables::Newer(version) => Err(RegistryError::Newer { database: database(), version }),
                Tables::Behind(pending) if migrate == Migrate::IfEmpty => {
                    Err(RegistryError::NeedsMigration { database: database(), pending })
                }
                Tables::Empty | Tables::Behind(_) => {
                    migrations::apply(&mut connection, url, now).await.map(drop)
                }
            }
        })
        .await?;
        Ok(Self { connection, url: url.clone() })
    }

    fn kind(&self) -> DatabaseKind {
        self.url.kind()
    }

    /// The revision, which each change raises.
    pub(crate) async fn revision(&mut self) -> Result<i64, sqlx::Error> {
        revision(&mut self.connection).await
    }

    /// All tunnels, and the revision before they were read.
    pub(crate) async fn tunnels(&mut self) -> Result<(Vec<TunnelRecord>, i64), sqlx::Error> {
        let revision = self.revision().await?;
        let all = format!("SELECT {COLUMNS} FROM tunnels");
        let rows = sqlx::query(AssertSqlSafe(all)).fetch_all(&mut self.connection).await?;
        let tunnels: Result<_, sqlx::Error> = rows.iter().map(rows::tunnel).collect();
        Ok((tunnels?, revision))
    }

    /// Makes a change and its entry in the audit log, both or neither.
    pub(crate) async fn change(&mut self, change: &Change, now: EpochMillis) -> Result<Changed, NotChanged> {
        let kind = self.kind();
        let mut transaction = self.connection.begin().await?;
        // First, so that changes of several relays are made one after the other.
        let raise = "UPDATE registry_state SET value = value + 1 WHERE name = 'revision'";
        sqlx::query(raise).execute(&mut *transaction).await?;
        let revision = revision(&mut transaction).await?;
        let (tunnel, token) = match change {
            Change::Create(new) => create(&mut transaction, kind, new, now).await?,
            Change::Update { domain, update, .. } => {
                let mut tunnel = find(&mut transaction, kind, domain).await?;
                update.apply(&mut tunnel, now);
                save(&mut transaction, kind, &tunnel).await?;
                (Some(tunnel), None)
            }
            Change::Rotate { domain, .. } => {
                let mut tunnel = find(&mut transaction, kind, domain).await?;
                let token = TunnelToken::generate().map_err(|_| ChangeError::Unavailable)?;
                (tunnel.token_hash, tunnel.updated_at) = (token.hash(), Some(now));
                save(&mut transaction, kind, &tunnel).await?;
                (Some(tunnel), Some(token))
            }
            Change::Delete { domain, .. } => {
                find(&mut transaction, kind, domain).await?;
                // Whoever has the name next is not to read what was logged before.
                for statement in [
                    "DELETE FROM tunnels WHERE domain = ?",
                    "DELETE FROM tunnel_request_logs WHERE tunnel_domain = ?",
                ] {
                    query(kind, statement).bind(domain.clone()).execute(&mut *transaction).await?;
                }
                (None, None)
            }
        };
        insert_audit(&mut transaction, kind, &change.audit(now)).await?;
        transaction.commit().await?;
        Ok(Changed { tunnel, token, revision })
    }

    /// Adds what tunnels carried.
    pub(crate) async fn add_usage(&mut self, usage: &PendingUsage) -> Result<(), sqlx::Error> {
        const ADD: &str = "UPDATE tunnels SET total_requests = total_requests + ?, bytes_in = bytes_in + ?, \
             bytes_out = bytes_out + ?, last_connected_at = CASE WHEN ? > COALESCE(last_connected_at, 0) THEN ? \
             ELSE last_connected_at END WHERE domain = ?";
        let kind = self.kind();
        let mut transaction = self.connection.begin().await?;
        for (domain, usage) in usage {
            let connected_at = usage.connected_at.unwrap_or(0);
            query(kind, ADD)
                .bind(stored(usage.requests))
                .bind(stored(usage.bytes_in))
                .bind(stored(usage.bytes_out))
                .bind(connected_at)
                .bind(connected_at)
                .bind(domain.to_string())
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await
    }

    /// Writes an entry of the audit log.
    pub(crate) async fn audit(&mut self, entry: &AuditEntry) -> Result<(), sqlx::Error> {
        insert_audit(&mut self.connection, self.url.kind(), entry).await
    }
}

async fn revision(connection: &mut AnyConnection) -> Result<i64, sqlx::Error> {
    let query = "SELECT value FROM registry_state WHERE name = 'revision'";
    sqlx::query(query).fetch_one(connection).await?.try_get(0)
}

async fn create(
    connection: &mut AnyConnection,
    kind: DatabaseKind,
    new: &NewTunnel,
    now: EpochMillis,
) -> Result<(Option<TunnelRecord>, Option<TunnelToken>), NotChanged> {
    let all = sqlx::query("SELECT COUNT(*) FROM tunnels").fetch_one(&mut *connection).await?;
    if count(&all)? >= MAX_TUNNELS {
        return Err(ChangeError::Full.into());
    }
    if find_row(connection, kind, &new.domain).await?.is_some() {
        return Err(ChangeError::NameTaken.into());
    }
    if let (Some(owner), Some(quota)) = (&new.owner, new.quota) {
        let own = query(kind, "SELECT COUNT(*) FROM tunnels WHERE owner = ?").bind(owner.clone());
        if count(&own.fetch_one(&mut *connection).await?)? >= quota {
            return Err(ChangeError::Quota(quota).into());
        }
    }
    let token = TunnelToken::generate().map_err(|_| ChangeError::Unavailable)?;
    let tunnel = TunnelRecord {
        id: 0,
        domain: new.domain.as_str().into(),
        token_hash: token.hash(),
        name: new.name.clone(),
        description: new.description.clone(),
        mode: TUNNEL_MODE.to_owned(),
        enabled: true,
        logs_requests: false,
        owner: new.owner.as_deref().map(Arc::from),
        created_at: now,
        updated_at: None,
        last_connected_at: None,
        total_requests: 0,
        bytes_in: 0,
        bytes_out: 0,
    };
    insert(connection, kind, &[tunnel]).await?;
    Ok((Some(find(connection, kind, &new.domain).await?), Some(token)))
}

/// Adds rows, many by one statement. An `id` of 0 is chosen by the database.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    kind: DatabaseKind,
    tunnels: &[TunnelRecord],
) -> Result<(), sqlx::Error> {
    let (numbered, others): (Vec<_>, Vec<_>) = tunnels.iter().partition(|tunnel| tunnel.id != 0);
    for (rows, has_id) in [(numbered, true), (others, false)] {
        for rows in rows.chunks(ROWS) {
            insert_rows(connection, kind, rows, has_id).await?;
        }
    }
    Ok(())
}

async fn insert_rows(
    connection: &mut AnyConnection,
    kind: DatabaseKind,
    tunnels: &[&TunnelRecord],
    has_id: bool,
) -> Result<(), sqlx::Error> {
    let columns = if has_id { COLUMNS } else { COLUMNS.trim_start_matches("id, ") };
    let statement =
        format!("INSERT INTO tunnels ({columns}) VALUES {}", placeholders(columns, tunnels.len()));
    // One of many texts: it is not kept prepared.
    let mut rows = query(kind, &statement).persistent(tunnels.len() == 1);
    for tunnel in tunnels {
        rows = if has_id { rows.bind(tunnel.id) } else { rows };
        rows = rows
            .bind(tunnel.domain.to_string())
            .bind(tunnel.token_hash.to_hex())
            .bind(tunnel.name.clone())
            .bind(tunnel.description.clone())
            .bind(tunnel.mode.clone())
            .bind(i64::from(tunnel.enabled))
            .bind(i64::from(tunnel.logs_requests))
            .bind(tunnel.owner.as_deref().map(str::to_owned))
            .bind(tunnel.created_at)
            .bind(tunnel.updated_at)
            .bind(tunnel.last_connected_at)
            .bind(tunnel.total_requests)
            .bind(tunnel.bytes_in)
            .bind(tunnel.bytes_out);
    }
    rows.execute(connection).await.map(drop)
}

/// `(?, ?), (?, ?)`: so many rows of these columns.
fn placeholders(columns: &str, rows: usize) -> String {
    let row = format!("({})", vec!["?"; columns.split(',').count()].join(", "));
    vec![row; rows].join(", ")
}

async fn save(
    connection: &mut AnyConnection,
    kind: DatabaseKind,
    tunnel: &TunnelRecord,
) -> Result<(), sqlx::Error> {
    let statement = "UPDATE tunnels SET token_hash = ?, name = ?, description = ?, enabled = ?, logs_requests = ?, \
         updated_at = ? WHERE domain = ?";
    query(kind, statement)
        .bind(tunnel.token_hash.to_hex())
        .bind(tunnel.name.clone())
        .bind(tunnel.description.clone())
        .bind(i64::from(tunnel.enabled))
        .bind(i64::from(tunnel.logs_requests))
        .bind(tunnel.updated_at)
        .bind(tunnel.domain.to_string())
        .execute(connection)
        .await
        .map(drop)
}

async fn find_row(
    connection: &mut AnyConnection,
    kind: DatabaseKind,
    domain: &str,
) -> Result<Option<AnyRow>, sqlx::Error> {
    let statement = format!("SELECT {COLUMNS} FROM tunnels WHERE domain = ?");
    query(kind, &statement).bind(domain.to_owned()).fetch_optional(connection).await
}

async fn find(
    connection: &mut AnyConnection,
    kind: DatabaseKind,
    domain: &str,
) -> Result<TunnelRecord, NotChanged> {
    let row = find_row(connection, kind, domain).await?.ok_or(ChangeError::NotFound)?;
    Ok(rows::tunnel(&row)?)
}

/// Adds an entry of the audit log. An `id` of 0 is chosen by the database.
pub(crate) async fn insert_audit(
    connection: &mut AnyConnection,
    kind: DatabaseKind,
    entry: &AuditEntry,
) -> Result<(), sqlx::Error> {
    let statement =
        "INSERT INTO admin_audit_logs (created_at, action, domain, detail, source_ip) VALUES (?, ?, ?, ?, ?)";
    query(kind, statement)
        .bind(entry.created_at)
        .bind(entry.action.clone())
        .bind(entry.domain.clone())
        .bind(entry.detail.clone())
        .bind(entry.source_ip.clone())
        .execute(connection)
        .await
        .map(drop)
}
