//! Where a relay tells that agents come and go.

use hvym_tunnel_net::secret::Secret;

use super::http_url::HttpUrl;

/// A receiver of notices.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebhookOptions {
    /// Notices are posted to `/api/tunnel/connected` and `/api/tunnel/disconnected` below it.
    pub url: HttpUrl,
    /// What they are signed with (HMAC-SHA256); `None`: not at all.
    pub secret: Option<Secret>,
}
