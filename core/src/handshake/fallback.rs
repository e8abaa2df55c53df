//! The hook for peers that log in as native ones do and then name no data plane. Who they are is known to the hook alone.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Deref;

use super::Endpoint;
use crate::plane::{DataPlane, PlaneStart};
use crate::stellar::Address;

/// A peer that named no data plane, and what was agreed on with it.
#[derive(Copy, Clone, Debug)]
#[non_exhaustive]
pub struct FallbackPeer<'a> {
    /// Who the other side is.
    pub address: Address,
    /// Whether the relay said in `auth_ok` that messages can be encrypted.
    pub encrypts: bool,
    /// The login's result.
    pub endpoint: &'a Endpoint,
}

/// Brings the data plane of peers that name none. Without one, such peers are refused.
pub trait Fallback: Send + Sync {
    /// For a relay: the mode of encryption offered to the agent `peer` in `auth_ok`, if there is one.
    fn encryption(&self, peer: &Address) -> Option<&'static str>;

    /// The data plane for `peer`.
    fn data_plane(&self, peer: FallbackPeer<'_>, start: PlaneStart) -> Box<dyn DataPlane>;
}

/// A [`Fallback`] that many links share. Two are equal if they are the same one.
#[derive(Clone)]
pub struct SharedFallback(Arc<dyn Fallback>);

impl SharedFallback {
    /// Shares `fallback`.
    pub fn new(fallback: impl Fallback + 'static) -> Self {
        Self(Arc::new(fallback))
    }
}

impl Deref for SharedFallback {
    type Target = dyn Fallback;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl PartialEq for SharedFallback {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for SharedFallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedFallback(..)")
    }
}
