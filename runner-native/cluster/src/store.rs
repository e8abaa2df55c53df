//! The store that relays share, whichever it is. One exchange at a time.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use crate::domain_keys::DomainPage;
use crate::error::SyncError;
use crate::postgres_store::{ChangeListener, PostgresStore};
use crate::redis_store::RedisStore;
use crate::sync::{SyncReply, SyncRequest};
use crate::tunnel_keys::TunnelBatch;
use crate::url::{StoreKind, StoreUrl};

/// What several relays share.
pub enum Store {
    /// In Redis.
    Redis(Box<RedisStore>),
    /// In PostgreSQL.
    Postgres(Box<PostgresStore>),
}

impl Store {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// The URL asks for what this program cannot do.
    pub fn new(url: &StoreUrl) -> Result<Self, SyncError> {
        Ok(match url.kind() {
            StoreKind::Redis => Store::Redis(Box::new(RedisStore::new(url)?)),
            StoreKind::Postgres => Store::Postgres(Box::new(PostgresStore::new(options(url)?))),
        })
    }

    /// One exchange, of two seconds at most. After an error the next one connects anew.
    ///
    /// # Errors
    /// The store is away, or is none. Whether it did what was asked is not known then.
    pub async fn sync(self, request: SyncRequest) -> (Self, Result<SyncReply, SyncError>) {
        match self {
            Store::Redis(mut redis) => {
                smol::unblock(move || {
                    let outcome = redis.sync(&request);
                    (Store::Redis(redis), outcome)
                })
                .await
            }
            Store::Postgres(mut postgres) => {
                let outcome = postgres.sync(&request).await;
                (Store::Postgres(postgres), outcome)
            }
        }
    }

    /// Writes records of tunnels for programs that read those of HVYM's server; only Redis has them.
    ///
    /// # Errors
    /// The store is away, or is none.
    pub async fn write_tunnels(self, batch: TunnelBatch) -> (Self, Result<TunnelBatch, SyncError>) {
        match self {
            Store::Redis(mut redis) => {
                smol::unblock(move || {
                    let written = redis.write_tunnels(&batch).map(|()| batch);
                    (Store::Redis(redis), written)
                })
                .await
            }
            Store::Postgres(_) => (self, Ok(batch)),
        }
    }

    /// A part of the custom domains that HVYM's server records; only Redis has them.
    ///
    /// # Errors
    /// The store is away, or is none.
    pub async fn read_domains(self, cursor: u64) -> (Self, Result<DomainPage, SyncError>) {
        match self {
            Store::Redis(mut redis) => {
                smol::unblock(move || {
                    let page = redis.read_domains(cursor);
                    (Store::Redis(redis), page)
                })
                .await
            }
            Store::Postgres(_) => (self, Ok(DomainPage::default())),
        }
    }

    /// What hears of changes at once; `None` where the store tells nobody, and they are heard of with the next exchange.
    pub fn listener(&self) -> Option<ChangeListener> {
        match self {
            Store::Redis(_) => None,
            Store::Postgres(postgres) => Some(postgres.listener()),
        }
    }
}

fn options(url: &StoreUrl) -> Result<PgConnectOptions, SyncError> {
    // Its error may repeat the URL.
    let wrong = |_| SyncError::Unavailable(StoreKind::Postgres, "its URL is not understood".to_owned());
    PgConnectOptions::from_str(url.as_str()).map_err(wrong)
}
