//! WebSockets from their beginning: dialling a relay, and taking over what a relay has accepted.

use http::uri::Uri;
use http::{HeaderValue, StatusCode};
use hvym_tunnel_core::agent::DialTarget;
use hvym_tunnel_core::dialect::{MUX_YAMUX, Process, SessionRole};
use hvym_tunnel_core::message::Close;
use hvym_tunnel_core::plane::MessageLimits;
use hvym_tunnel_core::reason::DownReason;
use hvym_websocket::WebSocket;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::client_upgrade::{UpgradeError, UpgradeRequest, upgrade};
use super::clock;
use super::dial_error::DialError;
use super::host_connect::connect;
use super::proxy::Proxy;
use super::target::authority;
use super::tls::{self, Trust};

pub use super::client_upgrade::{LIMIT, accept_key};
pub use super::websocket::Socket;
pub use super::wire::{Duplex, Wire};

/// The field of an upgrade with the agent's instance, see [`Process`].
pub const INSTANCE: &str = "hvym-tunnel-instance";
/// The field with its role.
pub const ROLE: &str = "hvym-tunnel-role";
/// The field with its label.
pub const PROCESS: &str = "hvym-tunnel-process";

/// The scheme of a token in a header (RFC 6750 section 2.1).
const BEARER: &str = "Bearer ";
/// All but the unreserved characters of a URL (RFC 3986 section 2.3).
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How to reach a relay.
#[derive(Clone)]
pub struct DialOptions {
    /// Allow `ws://` to an address that is not loopback: everything, the login included, is then readable on the way.
    pub allow_plaintext: bool,
    /// Whose certificate a relay behind `wss://` may have.
    pub trust: Trust,
    /// The proxy on the way, if there is one.
    pub proxy: Option<Proxy>,
    /// A token to show in the upgrade, where the relay knows agents by it.
    pub token: Option<HeaderValue>,
}

/// A relay's URL in its parts.
pub(super) struct RelayUrl<'a> {
    secure: bool,
    host: &'a str,
    port: u16,
    /// Path and query.
    target: &'a str,
}

impl<'a> RelayUrl<'a> {
    pub(super) fn parse(uri: &'a Uri) -> Option<Self> {
        let secure = match uri.scheme_str()? {
            "wss" => true,
            "ws" => false,
            _ => return None,
        };
        let host = uri.host()?.trim_matches(['[', ']']);
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        (!host.is_empty()).then_some(Self { secure, host, port, target })
    }

    /// `host:port`.
    fn at(&self) -> String {
        authority(self.host, self.port)
    }
}

/// Opens a WebSocket to a relay.
///
/// # Errors
/// What went wrong.
pub async fn dial(target: &DialTarget, options: &DialOptions) -> Result<Socket, DialError> {
    let uri: Option<Uri> = target.relay.as_str().parse().ok();
    let Some(url) = uri.as_ref().and_then(RelayUrl::parse) else {
        return Err(DialError::other(format!("{} is not a WebSocket URL", target.relay)));
    };
    let mut fields = Vec::new();
    if let Some(token) = &options.token {
        fields.push(("authorization", token.clone()));
    } else if let Some(token) = &target.bearer {
        fields.push(("authorization", bearer(token.as_str())?));
        fields.push(("hvym-tunnel-mux", HeaderValue::from_static(MUX_YAMUX)));
        fields.extend(process_fields(&target.process));
    }
    let mut wire = connect_wire(&url, options).await?;
    let [seed, nonce] = [clock::seed(), clock::seed()];
    let nonce = *nonce.first_chunk().expect("a seed has 32 bytes");
    let request = UpgradeRequest { authority: &target.host, target: url.target, fields: &fields, nonce };
    let mut outcome = upgrade(&mut wire, request).await;
    if let (Err(UpgradeError::Status(401)), Some(token)) = (&outcome, &options.token) {
        tracing::warn!(
            "the server does not take the token as a header: trying it in the URL, by which it may stand in logs"
        );
        let in_query = with_token(url.target, token)?;
        wire = connect_wire(&url, options).await?;
        let request = UpgradeRequest { authority: &target.host, target: &in_query, fields: &[], nonce };
        outcome = upgrade(&mut wire, request).await;
    }
    let ahead = outcome.map_err(|error| match error {
        UpgradeError::Status(status) if options.token.is_some() && status == StatusCode::UNAUTHORIZED => {
            DownReason::Authentication("the server answered HTTP 401".to_owned()).close().into()
        }
        error => DialError::of_upgrade(&error, &target.host, url.at()),
    })?;
    let limit = MessageLimits::LOGIN.max_bytes;
    Ok(Socket::new(wire, WebSocket::client(seed, limit), ahead))
}

/// Connects to the relay, directly or by the proxy, with TLS where the URL says so.
pub(super) async fn connect_wire(url: &RelayUrl<'_>, options: &DialOptions) -> Result<Wire, DialError> {
    let RelayUrl { secure, host, port, .. } = *url;
    let tcp = match &options.proxy {
        Some(proxy) => {
            proxy.connect(host, port).await.map_err(|error| DialError::other(error.to_string()))?
        }
        None => match connect(host, port, None).await {
            Ok((tcp, _)) => tcp,
            Err(error) => return Err(DialError::of_connect(error, host, url.at())),
        },
    };
    if secure {
        let stream = tls::client(tcp, host, options.trust.clone()).await;
        let stream = stream.map_err(|error| DialError::of_tls(&error, host, url.at()))?;
        return Ok(Wire::Boxed(Box::new(stream)));
    }
    // A proxy on this machine leads away from it.
    let loopback = options.proxy.is_none() && tcp.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
    if !loopback && !options.allow_plaintext {
        return Err(DialError::other(format!(
            "ws:// to {host} would send everything readable; use wss://, or --plain-relay if you must"
        )));
    }
    Ok(Wire::Plain(tcp))
}

/// `token` as it is shown in an upgrade, and never in a log.
///
/// # Errors
/// It has a character that no header field can have.
pub fn bearer(token: &str) -> Result<HeaderValue, Close> {
    let value = HeaderValue::try_from(format!("{BEARER}{token}"));
    let mut value = value.map_err(|_| Close::abnormal("the token cannot be sent as a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// `target` with the token of this field in its query, for servers that look nowhere else.
fn with_token(target: &str, field: &HeaderValue) -> Result<String, Close> {
    let text = field.to_str().ok().and_then(|text| text.strip_prefix(BEARER));
    let token = text.ok_or_else(|| Close::abnormal("the token cannot be sent in a URL"))?;
    let separator = if target.contains('?') { '&' } else { '?' };
    Ok(format!("{target}{separator}token={}", utf8_percent_encode(token, QUERY_VALUE)))
}

/// What an upgrade says of the program, where no `auth_response` will. What no field can carry is left out.
fn process_fields(process: &Process) -> impl Iterator<Item = (&'static str, HeaderValue)> {
    let role = (process.role == SessionRole::Caller).then_some("caller");
    let texts = [(INSTANCE, process.instance.as_deref()), (ROLE, role), (PROCESS, process.label.as_deref())];
    texts.into_iter().filter_map(|(name, text)| Some((name, HeaderValue::from_str(text?).ok()?)))
}

/// The relay's end of a connection whose upgrade was already answered.
pub fn accepted(wire: Wire) -> Socket {
    Socket::new(wire, WebSocket::server(MessageLimits::LOGIN.max_bytes), Vec::new())
}
