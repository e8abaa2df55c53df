//! Which relay of several serves which service.
//!
//! ```text
//!  services of this relay --> ClusterDirectory --(SyncRequest)--> Store --> Redis or PostgreSQL, which all relays ask
//!                                   |        <--(SyncReply)-----
//!                                   +--> ClusterEvent: other relays, and what they serve
//! ```
//!
//! It knows no session and no link between relays.

mod directory;
mod domain_keys;
mod error;
mod postgres_store;
mod record;
mod redis_store;
mod store;
mod sync;
mod tunnel_keys;
mod url;

#[cfg(test)]
mod tests;

pub use directory::{ClusterDirectory, ClusterEvent, LEASE, SYNC_INTERVAL};
pub use domain_keys::{DomainPage, DomainScan};
pub use error::SyncError;
pub use postgres_store::ChangeListener;
pub use record::{NodeId, RecordError, RelayRecord, ServiceKey, ServiceRecord};
pub use store::Store;
pub use sync::{ServiceChange, ServiceClaim, ServiceRelease, SyncReply, SyncRequest};
pub use tunnel_keys::{HvymTunnel, TUNNEL_TTL, TunnelBatch, TunnelKeys};
pub use url::{StoreKind, StoreUrl, StoreUrlError};
