//! What of a head decides how its message and the connection are treated. Small copies, so that a head need not be kept.

use core::time::Duration;

use hvym_http1::{Framing, RequestView, ResponseView, Version};

/// The methods that a proxy tells apart (RFC 9110 section 9.2).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum MethodKind {
    /// `GET`.
    Get,
    /// `HEAD`: its response has no body.
    Head,
    /// Another one that has the same effect however often it is repeated.
    Idempotent,
    /// Any other.
    Other,
}

impl MethodKind {
    /// The kind of `method`, which is case-sensitive.
    pub fn new(method: &str) -> Self {
        match method {
            "GET" => MethodKind::Get,
            "HEAD" => MethodKind::Head,
            "PUT" | "DELETE" | "OPTIONS" | "TRACE" => MethodKind::Idempotent,
            _ => MethodKind::Other,
        }
    }

    /// A method of this kind, for those who frame the response by it.
    pub(crate) const fn as_method(self) -> &'static str {
        if matches!(self, MethodKind::Head) { "HEAD" } else { "GET" }
    }
}

/// Facts about a request.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct RequestFacts {
    /// Its method.
    pub method: MethodKind,
    /// The version that its sender speaks.
    pub version: Version,
    /// How its body ends.
    pub framing: Framing,
    /// Whether its sender would keep the connection.
    pub keeps_alive: bool,
    /// Whether its sender waits for `100 Continue`.
    pub expects_continue: bool,
    /// Whether it asks for another protocol.
    pub wants_upgrade: bool,
    /// Whether it logs in the connection that carries it (NTLM, Negotiate).
    pub logs_in_connection: bool,
}

impl RequestFacts {
    /// Those of no request, for a connection that has carried none.
    pub(crate) const NONE: RequestFacts = RequestFacts {
        method: MethodKind::Other,
        version: Version::Http11,
        framing: Framing::Empty,
        keeps_alive: true,
        expects_continue: false,
        wants_upgrade: false,
        logs_in_connection: false,
    };

    /// Those of a request that was refused: the answer to `HEAD` has no body.
    pub(crate) fn refused(head: &[u8]) -> Self {
        let is_head = head.trim_ascii_start().starts_with(b"HEAD ");
        RequestFacts { method: if is_head { MethodKind::Head } else { MethodKind::Get }, ..Self::NONE }
    }

    /// Those of `view`.
    pub fn new(view: &RequestView<'_>) -> Self {
        RequestFacts {
            method: MethodKind::new(view.method()),
            version: view.version(),
            framing: view.framing(),
            keeps_alive: view.keeps_alive(),
            expects_continue: view.expects_continue(),
            wants_upgrade: view.upgrade().is_some(),
            logs_in_connection: view.authenticates_connection(),
        }
    }

    /// Whether it has a body.
    pub const fn has_body(&self) -> bool {
        !matches!(self.framing, Framing::Empty | Framing::Length(0))
    }

    /// Whether it may be sent again when no response came: it is idempotent (RFC 9110 section 9.2.2), and has no body, which
    /// would be gone.
    pub const fn is_repeatable(&self) -> bool {
        !matches!(self.method, MethodKind::Other) && !self.has_body()
    }

    /// Whether it is `GET` without a body: nothing of it can be taken for another request, nor of its response for another
    /// response, as the body that some services send after the head of a response to `HEAD`.
    pub const fn is_plain(&self) -> bool {
        matches!(self.method, MethodKind::Get) && !self.has_body()
    }
}

impl Default for RequestFacts {
    /// Those of a request that nothing is known of: it may not be repeated, and has no body.
    fn default() -> Self {
        Self::NONE
    }
}

/// Facts about a final response.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ResponseFacts {
    /// Its status.
    pub status: u16,
    /// How its body ends.
    pub framing: Framing,
    /// Whether its sender keeps the connection.
    pub keeps_alive: bool,
    /// How long, if it says so.
    pub keep_alive: Option<Duration>,
    /// Whether it asks for a login of the connection (NTLM, Negotiate).
    pub wants_connection_login: bool,
}

impl ResponseFacts {
    /// Those of `view`.
    pub fn new(view: &ResponseView<'_>) -> Self {
        ResponseFacts {
            status: view.status(),
            framing: view.framing(),
            keeps_alive: view.keeps_alive(),
            keep_alive: view.keep_alive_timeout(),
            wants_connection_login: view.authenticates_connection(),
        }
    }
}
