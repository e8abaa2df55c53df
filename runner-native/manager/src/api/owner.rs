//! The dashboard as a service of its owner: by which names it is asked for, and what its page is told.

use http::HeaderValue;
use http::header::HeaderName;
use hvym_tunnel_core::names::ShortLabel;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_net::target::RelayUrl;

use super::answer::Answer;
use crate::settings::DASHBOARD_SERVICE;
use crate::shapes::LinkReport;

/// By which a page is told that it needs no token, and may do less.
const ACCESS_FIELD: HeaderName = HeaderName::from_static("hvym-tunnel-access");
const OWNER: HeaderValue = HeaderValue::from_static("owner");

/// The host names by which relays lead to the dashboard.
pub(super) fn hosts(links: &[LinkReport]) -> Vec<String> {
    let host = |link: &LinkReport| {
        let address: Address = link.address.parse().ok()?;
        let relay: RelayUrl = link.relay.parse().ok()?;
        let short = ShortLabel::new(&address);
        Some(format!("{DASHBOARD_SERVICE}--{short}.{}", relay.host))
    };
    links.iter().filter_map(host).collect()
}

/// Tells the page that it needs no token, and may do less.
pub(super) fn mark(answer: &mut Answer) {
    answer.headers_mut().insert(ACCESS_FIELD, OWNER);
}
