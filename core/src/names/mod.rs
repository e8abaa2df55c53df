//! The names of agents and services in host names: what may be one, and what the labels before a relay's domain say.
//!
//! Knows no domain, and not who has a name: [`Directory`](crate::relay::Directory) does.

mod claimed;
mod claims;
mod custom_host;
mod host;
mod label;
mod short_label;
mod url_check;

pub use claimed::{ClaimedName, ClaimedNameError};
pub use claims::{Claim, ClaimError, ClaimRegistry, MAX_NAMES, MAX_NAMES_OF_ONE, PublicName};
pub use custom_host::{CustomHost, CustomHostError};
pub use host::{HostParts, OwnerLabel};
pub use label::{BARE_SERVICE, LabelError, MAX_SERVICE_CHARACTERS, check_label, check_service};
pub use short_label::ShortLabel;
pub use url_check::{UrlCheck, UrlError};
