//! The store in PostgreSQL. One function does a whole exchange, and what it tells is read after it: whoever stands still while it reads
//! holds up nobody. Changes are told by LISTEN and NOTIFY.

use std::time::Duration;

use hvym_tunnel_net::timeout::within;
use hvym_tunnel_net::timer::Timer;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgRow};
use sqlx::{ConnectOptions, Connection, PgConnection, Row};

use crate::error::SyncError;
use crate::record::{NodeId, RelayRecord, ServiceKey, ServiceRecord};
use crate::sync::{ServiceChange, SyncReply, SyncRequest};
use crate::url::StoreKind;

/// How long PostgreSQL may take to accept, and to answer. It does so in milliseconds; a relay whose database does not is better off without
/// it before its lease ends.
const TIMEOUT: Duration = Duration::from_millis(800);
/// So that an exchange that nobody waits for any more holds up no other.
const SETTINGS: &str = "SET statement_timeout = 800";
const SETUP: &str = include_str!("sync.sql");
const IS_SET_UP: &str = "SELECT to_regproc('hvym_tunnel_cluster_sync_1') IS NOT NULL";
const SYNC: &str = "SELECT hvym_tunnel_cluster_sync_1($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const CHANGES: &str = include_str!("changes.sql");
/// What changes are told by, with the name of the relay that made them.
const CHANNEL: &str = "hvym_tunnel_cluster";
/// How long nobody listens after the connection was lost. The next exchanges tell the same.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// A PostgreSQL that several relays share.
pub struct PostgresStore {
    options: PgConnectOptions,
    connection: Option<PgConnection>,
}

/// Hears of changes as soon as other relays make them.
pub struct ChangeListener {
    options: PgConnectOptions,
}

impl PostgresStore {
    /// Nothing is connected yet.
    pub(crate) fn new(options: PgConnectOptions) -> Self {
        Self {
            options: options.application_name("hvym-tunnel").disable_statement_logging(),
            connection: None,
        }
    }

    /// One exchange. After an error the next one connects anew.
    ///
    /// # Errors
    /// PostgreSQL is away, or does not let the relay have its tables.
    pub(crate) async fn sync(&mut self, request: &SyncRequest) -> Result<SyncReply, SyncError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => in_time(connect(&self.options)).await?,
        };
        let reply = in_time(exchange(&mut connection, request)).await?;
        self.connection = Some(connection);
        Ok(reply)
    }

    pub(crate) fn listener(&self) -> ChangeListener {
        ChangeListener { options: self.options.clone() }
    }
}

impl ChangeListener {
    /// Calls `hear` for each change that another relay than `node` makes, until it is dropped.
    pub async fn run(self, node: NodeId, mut hear: impl FnMut()) {
        loop {
            if let Err(error) = self.listen(&node, &mut hear).await {
                tracing::debug!(%error, "nobody tells of changes");
            }
            Timer::after(LISTEN_AGAIN_AFTER).await;
        }
    }

    async fn listen(&self, node: &NodeId, hear: &mut impl FnMut()) -> Result<(), sqlx::Error> {
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = pool.connect_with(self.options.clone()).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        while let Some(change) = listener.try_recv().await? {
            if change.payload() != node.as_str() {
                hear();
            }
        }
        Ok(())
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, SyncError>>) -> Result<T, SyncError> {
    let late = || SyncError::Unavailable(StoreKind::Postgres, "it takes too long".to_owned());
    within(TIMEOUT, work).await.unwrap_or_else(|| Err(late()))
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, SyncError> {
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::query(SETTINGS).execute(&mut connection).await?;
    let is_set_up: bool = sqlx::query_scalar(IS_SET_UP).fetch_one(&mut connection).await?;
    if !is_set_up {
        // All of it is one transaction.
        sqlx::raw_sql(SETUP).execute(&mut connection).await?;
    }
    Ok(connection)
}

async fn exchange(connection: &mut PgConnection, request: &SyncRequest) -> Result<SyncReply, SyncError> {
    let SyncRequest { claims, releases, .. } = request;
    let answer: Vec<i64> = sqlx::query_scalar(SYNC)
        .bind(request.node.as_str())
        .bind(request.about.to_json())
        .bind(i64::try_from(request.lease.as_millis()).unwrap_or(i64::MAX))
        .bind(stored(request.seen))
        .bind(claims.iter().map(|claim| claim.key.to_string()).collect::<Vec<_>>())
        .bind(claims.iter().map(|claim| claim.record.to_json()).collect::<Vec<_>>())
        .bind(claims.iter().map(|claim| claim.takes_over).collect::<Vec<_>>())
        .bind(releases.iter().map(|release| release.key.to_string()).collect::<Vec<_>>())
        .bind(releases.iter().map(|release| stored(release.epoch)).collect::<Vec<_>>())
        .fetch_one(&mut *connection)
        .await?;
    let changes = sqlx::query(CHANGES).bind(stored(request.seen)).bind(request.wants_all);
    let rows = changes.fetch_all(connection).await?;
    let reply = read(&answer, rows.iter().map(row))?;
    reply.ok_or(SyncError::Answer(StoreKind::Postgres))
}

fn stored(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
}

/// A row of what is told.
struct ChangeRow {
    kind: String,
    name: String,
    relay: Option<String>,
    epoch: Option<i64>,
    record: Option<String>,
}

fn row(row: &PgRow) -> Result<ChangeRow, sqlx::Error> {
    Ok(ChangeRow {
        kind: row.try_get("kind")?,
        name: row.try_get("name")?,
        relay: row.try_get("relay")?,
        epoch: row.try_get("epoch")?,
        record: row.try_get("record")?,
    })
}

/// Reads what the function and the rows after it say; `None` if that is no answer. A record that this version does not know is left out:
/// its relay may be a newer one.
fn read<E>(answer: &[i64], rows: impl Iterator<Item = Result<ChangeRow, E>>) -> Result<Option<SyncReply>, E> {
    let [epoch, is_new, claims @ ..] = answer else { return Ok(None) };
    let number = |number: &i64| u64::try_from(*number).unwrap_or_default();
    let mut reply = SyncReply {
        epoch: number(epoch),
        is_new: *is_new == 1,
        claims: claims.iter().map(number).collect(),
        ..SyncReply::default()
    };
    let mut is_whole = false;
    for told in rows {
        let ChangeRow { kind, name, relay, epoch, record } = told?;
        let record = record.unwrap_or_default();
        match kind.as_str() {
            "scope" => (is_whole, reply.is_complete) = (true, epoch == Some(0)),
            "relay" => {
                let record = RelayRecord::from_json(&record);
                reply.relays.extend(record.ok().map(|record| (NodeId::new(name), record)));
            }
            _ => reply.changes.extend(change(&name, relay, epoch, &record)),
        }
    }
    Ok(is_whole.then_some(reply))
}

fn change(name: &str, relay: Option<String>, epoch: Option<i64>, record: &str) -> Option<ServiceChange> {
    let key: ServiceKey = name.parse().ok()?;
    let Some(relay) = relay else { return Some(ServiceChange { key, holder: None }) };
    let record = ServiceRecord::from_json(record).ok()?;
    Some(ServiceChange { key, holder: Some((NodeId::new(relay), u64::try_from(epoch?).ok()?, record)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(
        kind: &str,
        name: &str,
        epoch: i64,
        (relay, record): (Option<&str>, &str),
    ) -> Result<ChangeRow, ()> {
        let relay = relay.map(str::to_owned);
        Ok(ChangeRow {
            kind: kind.into(),
            name: name.into(),
            relay,
            epoch: Some(epoch),
            record: Some(record.into()),
        })
    }

    #[test]
    fn an_answer_is_read_and_records_of_later_versions_are_left_out() {
        let record = r#"{"proto":"http","public":true,"on_conflict":"takeover"}"#;
        let newer = r#"{"proto":"quic","public":true,"on_conflict":"takeover"}"#;
        let rows = [
            told("scope", "", 4, (None, "")),
            told("relay", "n1", 0, (None, "{}")),
            told("service", "@a/web", 7, (Some("n2"), record)),
            told("service", "@b/web", 6, (None, "")),
            told("service", "@c/web", 8, (Some("n2"), newer)),
        ];
        let reply = read(&[9, 1, 9, 0], rows.into_iter()).expect("rows").expect("an answer");
        assert_eq!((reply.epoch, reply.is_new, reply.is_complete), (9, true, false));
        assert_eq!((reply.relays.len(), reply.claims), (0, vec![9, 0]));
        let holders: Vec<_> =
            reply.changes.iter().map(|change| change.holder.as_ref().map(|held| held.1)).collect();
        assert_eq!(holders, [Some(7), None]);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let scope = || [told("scope", "", 0, (None, ""))].into_iter();
        assert_eq!(read(&[9], scope()), Ok(None));
        assert_eq!(read(&[9, 0], std::iter::empty::<Result<ChangeRow, ()>>()), Ok(None));
        assert!(read(&[9, 0], scope()).is_ok_and(|reply| reply.is_some_and(|reply| reply.is_complete)));
    }
}
