//! Close codes (RFC 6455 section 7.4).

/// The close codes that this crate sends or names.
pub struct CloseCode;

impl CloseCode {
    /// The purpose is fulfilled.
    pub const NORMAL: u16 = 1000;
    /// A violation of the protocol.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// Stands for a close frame without a code; never sent.
    pub const NO_STATUS: u16 = 1005;
    /// Stands for the end of the transport without a close frame; never sent.
    pub const ABNORMAL: u16 = 1006;
    /// A message does not fit its type, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: u16 = 1007;
    /// A message is larger than the receiver takes.
    pub const MESSAGE_TOO_BIG: u16 = 1009;

    /// Whether `code` may be in a close frame: those that the RFC and its registry define, and 3000 to 4999.
    pub fn is_sendable(code: u16) -> bool {
        matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}
