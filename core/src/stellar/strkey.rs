//! Strkey (SEP-23): 32 bytes with a version byte and a checksum, as 56 characters of base32.
//!
//! Implemented here because the base32 code of the usual library would be a sixth of the browser package. It keeps no copy
//! of the bytes, which may be a secret seed.

/// What the bytes are: the version byte of SEP-23, which determines the first character.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum StrkeyKind {
    /// `G`: the public key of an account.
    Account = 6 << 3,
    /// `S`: the seed of a private key.
    Seed = 18 << 3,
}

/// Characters of a strkey: 280 bits at five bits each, without padding.
pub const CHARACTERS: usize = 56;
/// Bytes of version, key and checksum.
const BYTES: usize = 35;
/// The base32 alphabet (RFC 4648 section 6).
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Encodes `key` as ASCII text.
pub fn encode(kind: StrkeyKind, key: &[u8; 32]) -> [u8; CHARACTERS] {
    let mut raw = [0; BYTES];
    raw[0] = kind as u8;
    raw[1..33].copy_from_slice(key);
    let sum = checksum(&raw[..33]);
    raw[33..].copy_from_slice(&sum.to_le_bytes());
    let mut text = [0; CHARACTERS];
    for (bytes, characters) in raw.chunks_exact(5).zip(text.chunks_exact_mut(8)) {
        encode_group(bytes, characters);
    }
    text
}

/// Encodes a group of base32: five bytes as eight characters, upper case.
pub(crate) fn encode_group(bytes: &[u8], characters: &mut [u8]) {
    let bits = bytes.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    for (place, character) in characters.iter_mut().rev().enumerate() {
        *character = ALPHABET[(bits >> (5 * place)) as usize & 31];
    }
}

/// Decodes the key in `text`. `None` if the length, a character, the version or the checksum is wrong; each key has exactly
/// one accepted text.
pub fn decode(kind: StrkeyKind, text: &[u8]) -> Option<[u8; 32]> {
    if text.len() != CHARACTERS {
        return None;
    }
    let mut raw = [0; BYTES];
    for (bytes, characters) in raw.chunks_exact_mut(5).zip(text.chunks_exact(8)) {
        let mut bits = 0u64;
        for character in characters {
            bits = bits << 5 | u64::from(digit(*character)?);
        }
        for (place, byte) in bytes.iter_mut().rev().enumerate() {
            *byte = (bits >> (8 * place)) as u8;
        }
    }
    let (body, sum) = raw.split_at(33);
    let is_valid = body.first() == Some(&(kind as u8)) && sum == checksum(body).to_le_bytes();
    body.get(1..).filter(|_| is_valid)?.try_into().ok()
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'A'..=b'Z' => Some(character - b'A'),
        b'2'..=b'7' => Some(character - b'2' + 26),
        _ => None,
    }
}

/// CRC-16/XMODEM (SEP-23).
fn checksum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(
            sum ^ u16::from(*byte) << 8,
            |sum, _| {
                if sum & 0x8000 == 0 { sum << 1 } else { sum << 1 ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_its_name() {
        assert_eq!(checksum(b"123456789"), 0x31c3);
    }
}
