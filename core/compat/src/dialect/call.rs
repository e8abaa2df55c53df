//! The vocabulary of dialects that carry whole requests and responses, or raw connections, by name.
//!
//! Messages are decoded without validation of their heads, which is the bridge's.

use alloc::string::String;

use bytes::Bytes;

use hvym_http1::{RequestHead, ResponseHead};

/// Names a request or a raw connection while it lasts. The side that begins it chooses the name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum CallId {
    /// A JSON integer.
    Number(i64),
    /// A JSON string.
    Text(String),
}

/// A request with its whole body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    /// Method, target and fields, not validated.
    pub head: RequestHead,
    /// The body without transfer coding.
    pub body: Bytes,
}

/// A response with its whole body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// Status and fields, not validated.
    pub head: ResponseHead,
    /// The body without transfer coding.
    pub body: Bytes,
}

/// Negotiation of sealed messages.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Sealing {
    /// Agent: seal from now on.
    Enable,
    /// Agent: stop sealing.
    Disable,
    /// Relay: sealed from now on.
    Enabled,
    /// Relay: there is no key.
    Unavailable,
    /// Relay: sealing has stopped.
    Disabled,
}

/// One message about a request or a connection.
#[derive(Clone, PartialEq, Debug)]
pub enum CallMessage {
    /// Relay: a request of a visitor.
    Request {
        /// The call.
        id: CallId,
        /// Head and body.
        request: Request,
        /// How long the visitor waits, seconds; a default in dialects that do not carry it.
        timeout: u32,
    },
    /// Agent: the whole response.
    Response {
        /// The call.
        id: CallId,
        /// Head and body.
        response: Response,
    },
    /// Agent: the service did not answer.
    Failed {
        /// The call.
        id: CallId,
        /// A 5xx status for the visitor.
        status: u16,
        /// For a person.
        error: String,
    },
    /// Agent: the head of a response in pieces.
    Started {
        /// The call.
        id: CallId,
        /// Its head.
        head: ResponseHead,
    },
    /// Agent: the next piece of the body.
    Chunk {
        /// The call.
        id: CallId,
        /// The bytes.
        data: Bytes,
        /// Counts from zero.
        sequence: u64,
    },
    /// Agent: the end of a response in pieces.
    Ended {
        /// The call.
        id: CallId,
        /// The reason of a premature end.
        error: Option<String>,
        /// How many pieces there were.
        chunks: u64,
    },
    /// Relay: open a connection to the service.
    Connect {
        /// The connection.
        id: CallId,
    },
    /// Bytes of a connection.
    Data {
        /// The connection.
        id: CallId,
        /// The bytes.
        data: Bytes,
        /// Counts from zero, for each side.
        sequence: u64,
        /// In a binary message instead of text.
        binary: bool,
    },
    /// The end of a connection, in both directions.
    Close {
        /// The connection.
        id: CallId,
        /// The reason of an abnormal end.
        error: Option<String>,
    },
    /// A message that names a call and is malformed otherwise.
    Broken {
        /// The call.
        id: CallId,
        /// What is wrong with it, for a person.
        error: String,
    },
    /// Another message, sealed.
    Sealed {
        /// From an agent; otherwise from a relay.
        answers: bool,
        /// The sealed bytes.
        payload: Bytes,
    },
    /// About sealing.
    Sealing(Sealing),
    /// A ping whose id must be repeated.
    Echo(String),
    /// The answer to it.
    Echoed(String),
}

impl CallMessage {
    /// The call that the message is about; `None` for those about the whole link.
    pub fn call_id(&self) -> Option<&CallId> {
        match self {
            CallMessage::Request { id, .. }
            | CallMessage::Response { id, .. }
            | CallMessage::Failed { id, .. }
            | CallMessage::Started { id, .. }
            | CallMessage::Chunk { id, .. }
            | CallMessage::Ended { id, .. }
            | CallMessage::Connect { id }
            | CallMessage::Data { id, .. }
            | CallMessage::Close { id, .. }
            | CallMessage::Broken { id, .. } => Some(id),
            CallMessage::Sealed { .. }
            | CallMessage::Sealing(_)
            | CallMessage::Echo(_)
            | CallMessage::Echoed(_) => None,
        }
    }
}
