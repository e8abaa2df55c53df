//! Messages of D-Bus: calls that are written, and what answers them. As much of the wire format as calls of methods with plain
//! arguments take.
//!
//! Knows no connection.

use std::io::{self, Read};

/// The largest part of a message that is read: those that answer are far smaller.
const MAX_PART_BYTES: usize = 64 * 1024;

/// Types of messages (D-Bus specification, "Message Format").
const METHOD_CALL: u8 = 1;
const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
/// Header fields (the same).
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// A call of a method, from which an answer is expected. Name and interface are the same text at both services that are called here.
pub(super) fn call(
    serial: u32,
    service: &str,
    path: &str,
    member: &str,
    signature: &str,
    body: &[u8],
) -> Vec<u8> {
    let mut message = Marshaller(vec![b'l', METHOD_CALL, 0, 1]);
    message.number(length(body.len()));
    message.number(serial);
    message.array(|fields| {
        for (code, kind, value) in
            [(PATH, "o", path), (INTERFACE, "s", service), (MEMBER, "s", member), (DESTINATION, "s", service)]
        {
            fields.align(8);
            fields.0.push(code);
            fields.signature(kind);
            fields.text(value);
        }
        if !signature.is_empty() {
            fields.align(8);
            fields.0.push(SIGNATURE);
            fields.signature("g");
            fields.signature(signature);
        }
    });
    message.align(8);
    message.0.extend(body);
    message.0
}

/// A message that came.
pub(super) struct Message {
    kind: u8,
    is_little: bool,
    fields: Vec<u8>,
    body: Vec<u8>,
}

impl Message {
    /// The next one.
    ///
    /// # Errors
    /// The stream broke or ended, or it is none.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut fixed = [0; 16];
        from.read_exact(&mut fixed)?;
        let is_little = fixed[0] == b'l';
        let mut numbers = Unmarshaller { bytes: &fixed[4..], at: 0, is_little };
        let sizes = (numbers.number(), numbers.number(), numbers.number());
        let (Some(body), _, Some(fields)) = sizes else {
            return Err(io::Error::other("a message has no head"));
        };
        let sizes = [fields, body].map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        if sizes.iter().any(|size| *size > MAX_PART_BYTES) {
            return Err(io::Error::other("a message of the session bus is too large"));
        }
        let [mut fields, mut body] = [sizes[0].next_multiple_of(8), sizes[1]].map(|size| vec![0; size]);
        from.read_exact(&mut fields)?;
        from.read_exact(&mut body)?;
        fields.truncate(sizes[0]);
        Ok(Self { kind: fixed[1], is_little, fields, body })
    }

    /// What became of the call `serial`, if the message says it: the number that was returned, or an error.
    pub(super) fn outcome(&self, serial: u32) -> Option<Result<u32, String>> {
        let (mut answers, mut error) = (None, String::new());
        let mut fields = Unmarshaller { bytes: &self.fields, at: 0, is_little: self.is_little };
        while fields.align(8).is_some() && fields.at < self.fields.len() {
            let code = fields.byte()?;
            match (code, fields.signature()?) {
                (REPLY_SERIAL, "u") => answers = Some(fields.number()?),
                (ERROR_NAME, "s") => error = fields.text()?.to_owned(),
                (_, "u") => {
                    fields.number()?;
                }
                (_, "s" | "o") => {
                    fields.text()?;
                }
                (_, "g") => {
                    fields.signature()?;
                }
                _ => return None,
            }
        }
        if answers != Some(serial) {
            return None;
        }
        let mut body = Unmarshaller { bytes: &self.body, at: 0, is_little: self.is_little };
        match self.kind {
            METHOD_RETURN => Some(body.number().ok_or_else(|| "the answer has no number".to_owned())),
            ERROR => Some(Err(format!("{error}: {}", body.text().unwrap_or_default()))),
            _ => None,
        }
    }
}

/// Values as D-Bus marshals them, in little-endian order: each at a multiple of its own size.
#[derive(Default)]
pub(super) struct Marshaller(Vec<u8>);

impl Marshaller {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    pub(super) fn number(&mut self, number: u32) {
        self.align(4);
        self.0.extend(number.to_le_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(length(text.len()));
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn signature(&mut self, signature: &str) {
        self.0.extend(u8::try_from(signature.len()));
        self.0.extend(signature.as_bytes());
        self.0.push(0);
    }

    /// An array of what begins at multiples of eight: structures, and entries of dictionaries.
    pub(super) fn array(&mut self, fill: impl FnOnce(&mut Self)) {
        self.number(0);
        let at = self.0.len() - 4;
        self.align(8);
        let start = self.0.len();
        fill(self);
        let size = length(self.0.len() - start);
        self.0[at..at + 4].copy_from_slice(&size.to_le_bytes());
    }

    /// An entry of a dictionary of variants.
    pub(super) fn entry(&mut self, key: &str, signature: &str, value: impl FnOnce(&mut Self)) {
        self.align(8);
        self.text(key);
        self.signature(signature);
        value(self);
    }
}

/// Everything here is some kilobytes long.
fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Reads what [`Marshaller`] writes, in either order of bytes. Nothing is there twice, and nothing beyond the end.
struct Unmarshaller<'a> {
    bytes: &'a [u8],
    at: usize,
    is_little: bool,
}

impl<'a> Unmarshaller<'a> {
    fn align(&mut self, to: usize) -> Option<()> {
        self.at = self.at.next_multiple_of(to);
        (self.at <= self.bytes.len()).then_some(())
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self) -> Option<u32> {
        self.align(4)?;
        let bytes = self.take(4)?.try_into().ok()?;
        Some(if self.is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        self.terminated(length)
    }

    fn signature(&mut self) -> Option<&'a str> {
        let length = self.byte()?.into();
        self.terminated(length)
    }

    fn terminated(&mut self, length: usize) -> Option<&'a str> {
        let text = self.take(length)?;
        self.take(1)?;
        str::from_utf8(text).ok()
    }
}

#[cfg(test)]
mod tests;
