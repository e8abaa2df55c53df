//! The vocabulary of dialects that carry whole requests and responses, or raw connections, by name.
//!
//! A part is translated and nothing more: whether its head is fit to be shown to anybody is judged by the exchange.

use alloc::string::String;

use bytes::Bytes;

use hvym_http1::{RequestHead, ResponseHead};

/// Names a request, or a raw connection, for as long as it lasts. Whoever begins it chooses the name.
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
    /// Method, target and fields, as the dialect spells them.
    pub head: RequestHead,
    /// The body, free of any transfer coding.
    pub body: Bytes,
}

/// A response with its whole body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response {
    /// Status and fields, as the dialect spells them.
    pub head: ResponseHead,
    /// The body, free of any transfer coding.
    pub body: Bytes,
}

/// Whether the sealing of messages is wanted, and what became of it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Sealing {
    /// Agent: seal from now on.
    Enable,
    /// Agent: no longer.
    Disable,
    /// Relay: sealed from now on.
    Enabled,
    /// Relay: there is no key.
    Unavailable,
    /// Relay: no longer sealed.
    Disabled,
}

/// One message about a request or a connection.
#[derive(Clone, PartialEq, Debug)]
pub enum CallMessage {
    /// Relay: a visitor asks.
    Request {
        /// The call.
        id: CallId,
        /// What for.
        request: Request,
        /// How long the visitor waits, seconds; not every dialect says it.
        timeout: u32,
    },
    /// Agent: the answer.
    Response {
        /// The call.
        id: CallId,
        /// The whole of it.
        response: Response,
    },
    /// Agent: there is no answer from the service, and why.
    Failed {
        /// The call.
        id: CallId,
        /// A status that says it best, of the 5xx.
        status: u16,
        /// For a person.
        error: String,
    },
    /// Agent: the beginning of an answer that comes in pieces.
    Started {
        /// The call.
        id: CallId,
        /// Its head.
        head: ResponseHead,
    },
    /// Agent: the next piece of its body.
    Chunk {
        /// The call.
        id: CallId,
        /// The bytes.
        data: Bytes,
        /// Counts from zero.
        sequence: u64,
    },
    /// Agent: its end.
    Ended {
        /// The call.
        id: CallId,
        /// Why it ends early, if it does.
        error: Option<String>,
        /// How many pieces there were.
        chunks: u64,
    },
    /// Relay: connect to the service, and carry bytes.
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
        /// As a binary message rather than as text.
        binary: bool,
    },
    /// The end of a connection, in both directions.
    Close {
        /// The connection.
        id: CallId,
        /// Why, if not in good order.
        error: Option<String>,
    },
    /// A message that names a call and then cannot be understood.
    Broken {
        /// The call.
        id: CallId,
        /// What is wrong with it, for a person.
        error: String,
    },
    /// Another message, sealed.
    Sealed {
        /// Of the kind that an agent sends, rather than a relay.
        answers: bool,
        /// The sealed bytes.
        payload: Bytes,
    },
    /// About sealing.
    Sealing(Sealing),
    /// A sign of life that must be repeated: its name.
    Echo(String),
    /// The repetition.
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
