//! A walk over the bytes of one JSON text. Whoever walks says what is kept; the rest is checked and left behind.

use alloc::string::String;
use alloc::vec::Vec;

/// A walk through one JSON text. A step is `None` where the text is not what it must be.
pub(super) struct Walk<'a> {
    json: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    /// A walk from the first byte of `json`.
    pub(super) fn new(json: &'a [u8]) -> Self {
        Walk { json, at: 0 }
    }

    /// Where the walk is, or where it could not go on: bytes from the start.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The whole text as one object; `found` is told each member, as its name and the JSON of its value.
    pub(super) fn object(&mut self, found: &mut dyn FnMut(&[u8], &'a [u8])) -> Option<()> {
        let mut name = Vec::new();
        self.space();
        self.take(b'{')?;
        let mut more = !self.ends(b'}');
        while more {
            name.clear();
            self.space();
            self.characters(&mut name)?;
            core::str::from_utf8(&name).ok()?;
            self.colon()?;
            let from = self.at;
            self.skip()?;
            found(&name, &self.json[from..self.at]);
            more = self.goes_on(b'}')?;
        }
        self.space();
        (self.at == self.json.len()).then_some(())
    }

    /// A text.
    pub(super) fn text(&mut self) -> Option<String> {
        let mut text = Vec::new();
        self.characters(&mut text)?;
        String::from_utf8(text).ok()
    }

    /// A list of texts.
    pub(super) fn texts(&mut self) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        self.take(b'[')?;
        let mut more = !self.ends(b']');
        while more {
            self.space();
            texts.push(self.text()?);
            more = self.goes_on(b']')?;
        }
        Some(texts)
    }

    /// Steps over one value of any kind. What is open is counted on the heap: no depth exhausts the stack.
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
                if !self.ends(closing) {
                    self.skip_key(closing)?;
                    open.push(closing);
                    continue;
                }
            } else {
                self.skip_plain()?;
            }
            loop {
                let Some(&closing) = open.last() else {
                    return Some(());
                };
                if self.goes_on(closing)? {
                    self.skip_key(closing)?;
                    break;
                }
                open.pop();
            }
        }
    }

    /// Steps over the name of a member, if it is an object that `closing` closes.
    fn skip_key(&mut self, closing: u8) -> Option<()> {
        if closing == b'}' {
            self.space();
            self.skip_text()?;
            self.colon()?;
        }
        Some(())
    }

    /// Steps over a value that holds no other.
    fn skip_plain(&mut self) -> Option<()> {
        match self.peek() {
            b'"' => self.skip_text(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.skip_number(),
        }
    }

    fn skip_number(&mut self) -> Option<()> {
        self.passes(b"-");
        if !self.passes(b"0") {
            self.digits()?;
        }
        if self.passes(b".") {
            self.digits()?;
        }
        if self.passes(b"eE") {
            self.passes(b"+-");
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

    /// Steps over a text that nobody reads, so that its characters need not exist.
    fn skip_text(&mut self) -> Option<()> {
        self.take(b'"')?;
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

    /// Adds the characters of a text to `out`, as bytes that may not be UTF-8.
    fn characters(&mut self, out: &mut Vec<u8>) -> Option<()> {
        self.take(b'"')?;
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

    /// The character that one `\u` spells, or two if it is beyond the first 65 536.
    fn character(&mut self) -> Option<char> {
        let first = self.unit()?;
        let mut units = [first, 0];
        let mut count = 1;
        if (0xD800..0xDC00).contains(&first) {
            self.word(b"\\u")?;
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

    /// Whether a list or an object ends here, before its first value.
    fn ends(&mut self, closing: u8) -> bool {
        self.space();
        self.passes(&[closing])
    }

    /// Whether another value follows in a list or an object.
    fn goes_on(&mut self, closing: u8) -> Option<bool> {
        self.space();
        if self.passes(b",") { Some(true) } else { self.take(closing).map(|()| false) }
    }

    /// What stands between a name and its value.
    fn colon(&mut self) -> Option<()> {
        self.space();
        self.take(b':')?;
        self.space();
        Some(())
    }

    fn space(&mut self) {
        while self.passes(b" \n\r\t") {}
    }

    /// Takes one byte if it is one of these.
    fn passes(&mut self, any: &[u8]) -> bool {
        let passes = any.contains(&self.peek());
        self.at += usize::from(passes);
        passes
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        word.iter().try_for_each(|byte| self.take(*byte))
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.passes(&[byte]).then_some(())
    }

    /// The byte here. A NUL stands for the end as well: JSON has none.
    fn peek(&self) -> u8 {
        self.json.get(self.at).copied().unwrap_or_default()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.json.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }
}

/// The byte that a backslash and this letter spell.
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
