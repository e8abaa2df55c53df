//! Where the fields of a head are: offsets into its bytes, in a table that is reused.

use alloc::vec::Vec;

use super::field_kind::FieldKind;

/// Offsets of one field line. A head is shorter than 2^32 bytes.
#[derive(Copy, Clone, Debug)]
pub(crate) struct FieldSpan {
    pub(crate) start: u32,
    pub(crate) name_end: u32,
    pub(crate) value_start: u32,
    pub(crate) value_end: u32,
    /// Behind the line end.
    pub(crate) end: u32,
    pub(crate) kind: FieldKind,
    /// Whether the line is written as `Name: value` and CR LF.
    pub(crate) is_plain: bool,
}

/// Room for the offsets of one head's fields. Reused for the next head, it allocates nothing: it grows to
/// [`MAX_HEADERS`](crate::MAX_HEADERS) entries of 24 bytes at most.
#[derive(Debug, Default)]
pub struct FieldTable(pub(crate) Vec<FieldSpan>);

impl FieldTable {
    /// An empty table, which allocates when it is used first.
    pub const fn new() -> Self {
        FieldTable(Vec::new())
    }

    /// Heap bytes held.
    pub fn held(&self) -> usize {
        self.0.capacity() * size_of::<FieldSpan>()
    }
}

/// The fields of a head in wire order, borrowed from its bytes.
#[derive(Copy, Clone, Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    spans: &'a [FieldSpan],
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(bytes: &'a [u8], spans: &'a [FieldSpan]) -> Self {
        Fields { bytes, spans }
    }

    /// Every field in wire order: its name as it was sent, and its value without white space around it.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + Clone + use<'a> {
        let fields = *self;
        self.spans.iter().map(move |span| (text(fields.name(span)), fields.value(span)))
    }

    /// The values of every field of this name, compared case-insensitively.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a, 'n> {
        let fields = *self;
        let named = move |span: &&FieldSpan| fields.name(span).eq_ignore_ascii_case(name.as_bytes());
        self.spans.iter().filter(named).map(move |span| fields.value(span))
    }

    /// The value of the first field of this name.
    pub fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// Whether there is a field of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// How many fields there are.
    pub const fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are no fields.
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    pub(crate) fn spans(&self) -> &'a [FieldSpan] {
        self.spans
    }

    pub(crate) fn name(&self, span: &FieldSpan) -> &'a [u8] {
        self.slice(span.start, span.name_end)
    }

    pub(crate) fn value(&self, span: &FieldSpan) -> &'a [u8] {
        self.slice(span.value_start, span.value_end)
    }

    pub(crate) fn slice(&self, start: u32, end: u32) -> &'a [u8] {
        &self.bytes[start as usize..end as usize]
    }

    pub(crate) fn of_kind(&self, kind: FieldKind) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        let fields = *self;
        self.spans.iter().filter(move |span| span.kind == kind).map(move |span| fields.value(span))
    }
}

/// A parsed name is a token, which is ASCII.
pub(crate) fn text(name: &[u8]) -> &str {
    core::str::from_utf8(name).unwrap_or_default()
}
