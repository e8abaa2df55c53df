//! The request log and the audit log: written in batches, read in parts, forgotten after a while.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Connection, Row};

use super::rows::{count, required, text};
use super::{Store, placeholders, query};
use crate::EpochMillis;
use crate::audit::AuditEntry;
use crate::database_url::DatabaseKind;
use crate::request_log::{LogPage, LoggedRequest, StoredLog};

const LOG_COLUMNS: &str = "id, timestamp, tunnel_domain, method, path, request_headers, request_body, status_code, \
     response_headers, response_body, error, duration_ms";
const AUDIT_COLUMNS: &str = "id, created_at, action, domain, detail, source_ip";

/// Requests in one statement: with the longest texts 4 MB, which every MySQL takes.
const ROWS: usize = 32;

impl Store {
    /// Writes requests, all of them or none.
    pub(crate) async fn add_logs(&mut self, requests: &[LoggedRequest]) -> Result<(), sqlx::Error> {
        let kind = self.url.kind();
        let mut transaction = self.connection.begin().await?;
        for requests in requests.chunks(ROWS) {
            insert_logs(&mut transaction, kind, requests).await?;
        }
        transaction.commit().await
    }

    /// A part of the log of one tunnel, newest first.
    pub(crate) async fn logs(
        &mut self,
        domain: &str,
        limit: i64,
        offset: i64,
    ) -> Result<LogPage, sqlx::Error> {
        let kind = self.url.kind();
        let all = query(kind, "SELECT COUNT(*) FROM tunnel_request_logs WHERE tunnel_domain = ?");
        let total = count(&all.bind(domain.to_owned()).fetch_one(&mut self.connection).await?)?;
        let statement = format!(
            "SELECT {LOG_COLUMNS} FROM tunnel_request_logs WHERE tunnel_domain = ? ORDER BY id DESC LIMIT ? OFFSET ?"
        );
        let part = query(kind, &statement).bind(domain.to_owned()).bind(limit).bind(offset);
        let rows = part.fetch_all(&mut self.connection).await?;
        let logs: Result<_, sqlx::Error> = rows.iter().map(stored_log).collect();
        Ok(LogPage { total: i64::try_from(total).unwrap_or(i64::MAX), logs: logs? })
    }

    /// The latest entries of the audit log, newest first.
    pub(crate) async fn audit_log(&mut self, limit: i64) -> Result<Vec<AuditEntry>, sqlx::Error> {
        let statement = format!("SELECT {AUDIT_COLUMNS} FROM admin_audit_logs ORDER BY id DESC LIMIT ?");
        let rows = query(self.url.kind(), &statement).bind(limit).fetch_all(&mut self.connection).await?;
        rows.iter().map(audit_entry).collect()
    }

    /// Forgets requests and entries of the audit log from before these moments.
    pub(crate) async fn forget(
        &mut self,
        requests: EpochMillis,
        audit: EpochMillis,
    ) -> Result<(), sqlx::Error> {
        let kind = self.url.kind();
        for (statement, before) in [
            ("DELETE FROM tunnel_request_logs WHERE timestamp < ?", requests),
            ("DELETE FROM admin_audit_logs WHERE created_at < ?", audit),
        ] {
            query(kind, statement).bind(before).execute(&mut self.connection).await?;
        }
        Ok(())
    }
}

async fn insert_logs(
    connection: &mut AnyConnection,
    kind: DatabaseKind,
    requests: &[LoggedRequest],
) -> Result<(), sqlx::Error> {
    let columns = LOG_COLUMNS.trim_start_matches("id, ");
    let statement = format!(
        "INSERT INTO tunnel_request_logs ({columns}) VALUES {}",
        placeholders(columns, requests.len())
    );
    let mut rows = query(kind, &statement).persistent(false);
    for request in requests {
        rows = rows
            .bind(request.at)
            .bind(request.domain.to_string())
            .bind(request.method.clone())
            .bind(request.path.clone())
            .bind(request.request_headers.clone())
            .bind(request.request_body.clone())
            .bind(request.status_code.map(i64::from))
            .bind(request.response_headers.clone())
            .bind(request.response_body.clone())
            .bind(request.error.clone())
            .bind(request.duration_ms);
    }
    rows.execute(connection).await.map(drop)
}

fn stored_log(row: &AnyRow) -> Result<StoredLog, sqlx::Error> {
    let status: Option<i64> = row.try_get(7)?;
    let request = LoggedRequest {
        at: row.try_get(1)?,
        domain: required(row, 2)?.into(),
        method: required(row, 3)?,
        path: required(row, 4)?,
        request_headers: text(row, 5)?,
        request_body: text(row, 6)?,
        status_code: status.and_then(|status| u16::try_from(status).ok()),
        response_headers: text(row, 8)?,
        response_body: text(row, 9)?,
        error: text(row, 10)?,
        duration_ms: row.try_get(11)?,
    };
    Ok(StoredLog { id: row.try_get(0)?, request })
}

fn audit_entry(row: &AnyRow) -> Result<AuditEntry, sqlx::Error> {
    Ok(AuditEntry {
        id: row.try_get(0)?,
        created_at: row.try_get(1)?,
        action: required(row, 2)?,
        domain: text(row, 3)?,
        detail: text(row, 4)?,
        source_ip: text(row, 5)?,
    })
}
