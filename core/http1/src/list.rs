//! Comma-separated values.

/// The members of a comma-separated list (RFC 9110 section 5.6.1), without the white space around them. Empty members are
/// not skipped. Members with quoted commas are not supported: no field that uses this has them.
pub fn list_members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}
