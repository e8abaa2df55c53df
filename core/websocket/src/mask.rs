//! Masking (RFC 6455 section 5.3), eight bytes at a time, which compilers turn into vector instructions.

use bytes::BytesMut;

/// A masking key, and the position in it.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Mask {
    key: [u8; 4],
}

impl Mask {
    pub(crate) fn new(key: [u8; 4]) -> Self {
        Self { key }
    }

    /// Masks or unmasks the next bytes of a payload.
    pub(crate) fn apply(&mut self, data: &mut [u8]) {
        let [a, b, c, d] = self.key;
        let key = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, rest) = data.as_chunks_mut::<8>();
        for word in words {
            *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
            *byte ^= key;
        }
        self.key.rotate_left(data.len() % 4);
    }

    /// The next bytes of a payload masked or unmasked, in one pass.
    pub(crate) fn copy(&mut self, data: &[u8]) -> BytesMut {
        let mut copy = BytesMut::with_capacity(data.len());
        let (blocks, rest) = data.as_chunks::<64>();
        for block in blocks {
            let mut block = *block;
            self.apply(&mut block);
            copy.extend_from_slice(&block);
        }
        let start = copy.len();
        copy.extend_from_slice(rest);
        self.apply(&mut copy[start..]);
        copy
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn each_byte_is_masked_by_its_position_however_the_payload_is_cut() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let plain: Vec<u8> = (0..200).collect();
        let expected: Vec<u8> = plain.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        for cut in 0..plain.len() {
            let (mut data, mut mask) = (plain.clone(), Mask::new(key));
            mask.apply(&mut data[..cut]);
            mask.apply(&mut data[cut..]);
            assert_eq!(data, expected, "cut at {cut}");
            let mut mask = Mask::new(key);
            let copies = [&plain[..cut], &plain[cut..]].map(|part| mask.copy(part));
            assert_eq!(copies.concat(), expected, "copied, cut at {cut}");
        }
    }
}
