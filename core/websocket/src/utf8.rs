//! UTF-8 that arrives in pieces, refused at the first byte that cannot belong to it.

use crate::error::ProtocolError;

/// The last bytes of a piece, if they are the beginning of a character.
#[derive(Default, Debug)]
pub(crate) struct Utf8 {
    partial: [u8; 4],
    length: usize,
}

impl Utf8 {
    /// Checks the next piece of a text.
    pub(crate) fn check(&mut self, mut piece: &[u8]) -> Result<(), ProtocolError> {
        while self.length > 0
            && let Some((byte, rest)) = piece.split_first()
        {
            self.partial[self.length] = *byte;
            self.length += 1;
            piece = rest;
            match core::str::from_utf8(&self.partial[..self.length]) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_some() => return Err(ProtocolError::Utf8),
                // At most three bytes: with the fourth it is a character or an error.
                Err(_) => {}
            }
        }
        let Err(error) = core::str::from_utf8(piece) else { return Ok(()) };
        if error.error_len().is_some() {
            return Err(ProtocolError::Utf8);
        }
        let rest = &piece[error.valid_up_to()..];
        self.partial[..rest.len()].copy_from_slice(rest);
        self.length = rest.len();
        Ok(())
    }

    /// The text has ended.
    pub(crate) fn finish(&mut self) -> Result<(), ProtocolError> {
        if core::mem::take(&mut self.length) == 0 { Ok(()) } else { Err(ProtocolError::Utf8) }
    }
}
