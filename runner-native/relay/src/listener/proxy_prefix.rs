//! Cuts the prefix `/proxy` off requests that a proxy in front of the relay sends by host name all the same: the nginx
//! configuration of HVYM's operators rewrites every path below a sub-domain to `/proxy/...`, and names the agent a second time
//! in `X-Stellar-Address`.
//!
//! The caller says whether the request came from a trusted proxy.

use hvym_tunnel_core::relay::Owner;
use hvym_tunnel_core::stellar::Address;

use crate::sessions::HostTarget;

/// The field in which such a proxy names the agent.
const STELLAR_ADDRESS: &str = "x-stellar-address";
const PREFIX: &str = "/proxy";

/// The path and query for the service, if the prefix is there and the field names the agent of the host.
pub(crate) fn cut<'p>(target: &HostTarget, fields: &[(&str, &[u8])], path: &'p str) -> Option<&'p str> {
    let rest = path.strip_prefix(PREFIX).filter(|rest| rest.starts_with('/'))?;
    let mut named = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(STELLAR_ADDRESS));
    let (Some((_, value)), None) = (named.next(), named.next()) else { return None };
    let address = std::str::from_utf8(value).ok().and_then(|text| Address::from_label(text).ok())?;
    if target.name()?.owner != Owner::Identity(address) {
        return None;
    }
    // The configuration says `/proxy/$uri`, which has one slash more than the visitor wrote.
    Some(if rest.starts_with("//") { &rest[1..] } else { rest })
}
