//! Which relay of several serves which service.
//!
//! ```text
//!  services of this relay --> ClusterDirectory --(SyncRequest)--> RedisStore --> Redis, which all relays ask
//!                                   |        <--(SyncReply)-----
//!                                   +--> ClusterEvent: other relays, and what they serve
//! ```
//!
//! It knows no session and no link between relays.

mod directory;
mod record;
mod redis_store;
mod sync;
mod url;

#[cfg(test)]
mod tests;

pub use directory::{ClusterDirectory, ClusterEvent, LEASE, SYNC_INTERVAL};
pub use record::{NodeId, RecordError, RelayRecord, ServiceKey, ServiceRecord};
pub use redis_store::{RedisStore, SyncError};
pub use sync::{ServiceChange, ServiceClaim, ServiceRelease, SyncReply, SyncRequest};
pub use url::{StoreUrl, StoreUrlError};
