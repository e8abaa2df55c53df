//! Scans the bytes of one JSON text (RFC 8259): requested values are returned, all others are validated and skipped.

use alloc::string::String;
use alloc::vec::Vec;

/// A position in one JSON text. Methods return `None` at the first byte that is not what it must be.
pub(super) struct Scanner<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Starts at the first byte of `json`.
    pub(super) fn new(json: &'a [u8]) -> Self {
        Scanner { json, at: 0 }
    }

    /// The current offset in bytes; after a failure, the offset of the failure.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Reads the whole text as one object. Calls `found` with the name and the JSON text of each field's value.
    pub(super) fn object(&mut self, found: &mut dyn FnMut(&[u8], &'a [u8])) -> Option<()> {
        let mut name = Vec::new();
        self.space();
        self.consume(b'{')?;
        let mut more = !self.is_empty(b'}');
        while more {
            name.clear();
            self.space();
            self.characters(&mut name)?;
            core::str::from_utf8(&name).ok()?;
            self.colon()?;
            let from = self.at;
            self.skip()?;
            found(&name, &self.json[from..self.at]);
            more = self.has_next(b'}')?;
        }
        self.space();
        (self.at == self.json.len()).then_some(())
    }

    /// A string.
    pub(super) fn text(&mut self) -> Option<String> {
        let mut text = Vec::new();
        self.characters(&mut text)?;
        String::from_utf8(text).ok()
    }

    /// An array of strings.
    pub(super) fn texts(&mut self) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        self.consume(b'[')?;
        let mut more = !self.is_empty(b']');
        while more {
            self.space();
            texts.push(self.text()?);
            more = self.has_next(b']')?;
        }
        Some(texts)
    }

    /// Skips one value of any type. Open brackets are kept on the heap, so that no nesting depth overflows the stack.
    fn skip(&mut self) -> Option<()> {
        let mut open = Vec::new();
        loop {
            self.space();
            let closing = match self.peek() {
                b'{' => Some(b'}'),
                b'[' => Some(b']'),
                _ => None,
            };
            if let Some(closing) = closing {
                self.at += 1;
                if !self.is_empty(closing) {
                    self.skip_key(closing)?;
                    open.push(closing);
                    continue;
                }
            } else {
                self.skip_scalar()?;
            }
            loop {
                let Some(&closing) = open.last() else {
                    return Some(());
                };
                if self.has_next(closing)? {
                    self.skip_key(closing)?;
                    break;
                }
                open.pop();
            }
        }
    }

    /// Skips the name of a field, if `closing` closes an object.
    fn skip_key(&mut self, closing: u8) -> Option<()> {
        if closing == b'}' {
            self.space();
            self.skip_text()?;
            self.colon()?;
        }
        Some(())
    }

    /// Skips a string, number or literal.
    fn skip_scalar(&mut self) -> Option<()> {
        match self.peek() {
            b'"' => self.skip_text(),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.skip_number(),
        }
    }

    fn skip_number(&mut self) -> Option<()> {
        self.accept(b"-");
        if !self.accept(b"0") {
            self.digits()?;
        }
        if self.accept(b".") {
            self.digits()?;
        }
        if self.accept(b"eE") {
            self.accept(b"+-");
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let from = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }

    /// Skips a string without decoding it: unpaired surrogates are not checked.
    fn skip_text(&mut self) -> Option<()> {
        self.consume(b'"')?;
        loop {
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => match self.next()? {
                    b'u' => drop(self.unit()?),
                    letter => drop(unescaped(letter)?),
                },
                0..b' ' => return None,
                _ => {}
            }
        }
    }

    /// Appends a decoded string to `out`; the caller checks that it is UTF-8.
    fn characters(&mut self, out: &mut Vec<u8>) -> Option<()> {
        self.consume(b'"')?;
        loop {
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => match self.next()? {
                    b'u' => {
                        let character = self.character()?;
                        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                    letter => out.push(unescaped(letter)?),
                },
                0..b' ' => return None,
                byte => out.push(byte),
            }
        }
    }

    /// The character of one `\u` escape, or of a surrogate pair of two.
    fn character(&mut self) -> Option<char> {
        let first = self.unit()?;
        let mut units = [first, 0];
        let mut count = 1;
        if (0xD800..0xDC00).contains(&first) {
            self.literal(b"\\u")?;
            units[1] = self.unit()?;
            count = 2;
        }
        let mut characters = char::decode_utf16(units[..count].iter().copied());
        characters.next()?.ok()
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Option<u16> {
        (0..4).try_fold(0, |unit: u16, _| {
            let digit = char::from(self.next()?).to_digit(16)?;
            Some(unit << 4 | u16::try_from(digit).ok()?)
        })
    }

    /// Whether an array or object is empty; its closing bracket is consumed.
    fn is_empty(&mut self, closing: u8) -> bool {
        self.space();
        self.accept(&[closing])
    }

    /// Consumes a comma (`true`: another value follows) or the closing bracket (`false`).
    fn has_next(&mut self, closing: u8) -> Option<bool> {
        self.space();
        if self.accept(b",") { Some(true) } else { self.consume(closing).map(|()| false) }
    }

    /// The colon between a name and its value, with white space.
    fn colon(&mut self) -> Option<()> {
        self.space();
        self.consume(b':')?;
        self.space();
        Some(())
    }

    fn space(&mut self) {
        while self.accept(b" \n\r\t") {}
    }

    /// Consumes one byte if it is one of these.
    fn accept(&mut self, any: &[u8]) -> bool {
        let accepted = any.contains(&self.peek());
        self.at += usize::from(accepted);
        accepted
    }

    fn literal(&mut self, literal: &[u8]) -> Option<()> {
        literal.iter().try_for_each(|byte| self.consume(*byte))
    }

    fn consume(&mut self, byte: u8) -> Option<()> {
        self.accept(&[byte]).then_some(())
    }

    /// The next byte, or NUL at the end: JSON text contains no NUL.
    fn peek(&self) -> u8 {
        self.json.get(self.at).copied().unwrap_or_default()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.json.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }
}

/// The byte that a backslash and this letter encode.
fn unescaped(letter: u8) -> Option<u8> {
    Some(match letter {
        b'"' | b'\\' | b'/' => letter,
        b'b' => 0x08,
        b'f' => 0x0C,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        _ => return None,
    })
}
