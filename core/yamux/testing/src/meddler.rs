//! Who changes one byte between the sessions.

use bytes::Bytes;

use crate::ops::End;

/// Somebody who changes a byte on its way to `end`, once `after` bytes have arrived there.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Meddler {
    pub(crate) end: End,
    pub(crate) after: usize,
    pub(crate) change: u8,
}

impl Meddler {
    /// What becomes of a part that arrives at `end`, if its byte is in it.
    pub(crate) fn changed(&mut self, end: End, part: &Bytes) -> Option<Bytes> {
        if self.end != end {
            return None;
        }
        let after = self.after;
        self.after = after.saturating_sub(part.len());
        let mut changed = part.to_vec();
        *changed.get_mut(after)? ^= self.change;
        Some(Bytes::from(changed))
    }
}
