//! Size limits of heads and chunked bodies. A limit is inclusive: a message of exactly the limit is accepted.

/// Maximum size of a head in bytes, start line and blank line included. Heads with large cookies and tokens stay under
/// 32 KiB in practice, and common servers refuse at 8 to 64 KiB; a larger head is an attempt to fill memory.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Maximum number of fields in a head. [`MAX_HEAD_BYTES`] is the limit that messages meet; this one bounds what is kept for
/// each field, 24 bytes. Browsers send about 20, services with many links or cookies a few hundred.
pub const MAX_HEADERS: usize = 1024;

/// Maximum number of fields that `Connection` names in a head. Real ones name one or two; each is compared with every field.
pub const MAX_CONNECTION_OPTIONS: usize = 64;

/// Maximum number of hexadecimal digits of a chunk size, leading zeros included: 64 bits, so that a size cannot overflow.
pub const MAX_SIZE_DIGITS: u8 = 16;

/// Maximum bytes of chunk extensions in one body, all chunks together. Extensions are all but unused; without a limit a
/// megabyte of them could carry a single byte of content (RFC 9112 section 7.1.1).
pub const MAX_EXTENSION_BYTES: u32 = 16 * 1024;

/// Maximum bytes of trailer fields after one body, line ends excluded. Known trailers (checksums, timings, gRPC status)
/// take a few hundred.
pub const MAX_TRAILER_BYTES: u32 = 16 * 1024;
