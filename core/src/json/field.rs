//! Finds fields of one JSON object by name, and reads their values.
//!
//! Other fields must be well-formed JSON and are skipped: a later protocol version may add some. A requested field may
//! appear once only, because parsers disagree on which of two counts (RFC 8259 section 4).

use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

use super::scanner::Scanner;

/// Why a text is not the JSON it should be. Never repeats the text, which may hold a secret.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Not well-formed JSON, not an object, or followed by something else; the offset in bytes where parsing failed.
    #[error("no JSON object: broken at byte {0}")]
    Malformed(usize),
    /// A required field is missing.
    #[error("the member `{0}` is missing")]
    Missing(&'static str),
    /// A field appears more than once.
    #[error("the member `{0}` appears twice")]
    Duplicate(&'static str),
    /// The value of a field has the wrong type or range.
    #[error("the member `{name}` must be {wanted}")]
    WrongType {
        /// The name of the field.
        name: &'static str,
        /// What its value must be, as a noun phrase.
        wanted: &'static str,
    },
}

/// The fields of the object `json` with these names, in the order of `names`.
///
/// # Errors
/// [`JsonError::Malformed`] and [`JsonError::Duplicate`]. A missing field or a wrong type is reported when the field is
/// read.
pub(crate) fn fields<'a, const N: usize>(
    json: &'a [u8],
    names: [&'static str; N],
) -> Result<[Field<'a>; N], JsonError> {
    let mut wanted = names.map(|name| Field { name, value: None });
    collect(json, &mut wanted)?;
    Ok(wanted)
}

fn collect<'a>(json: &'a [u8], wanted: &mut [Field<'a>]) -> Result<(), JsonError> {
    let (mut scanner, mut duplicate) = (Scanner::new(json), None);
    let object = scanner.object(&mut |name, value| {
        if let Some(field) = wanted.iter_mut().find(|field| field.name.as_bytes() == name)
            && field.value.replace(value).is_some()
        {
            duplicate = Some(field.name);
        }
    });
    object.ok_or(JsonError::Malformed(scanner.at()))?;
    duplicate.map_or(Ok(()), |name| Err(JsonError::Duplicate(name)))
}

/// A requested field, and the JSON text of its value if the object has it.
#[derive(Copy, Clone)]
pub(crate) struct Field<'a> {
    name: &'static str,
    value: Option<&'a [u8]>,
}

impl<'a> Field<'a> {
    /// The value as `read` returns it; `None` if the field is missing or `null`.
    pub(crate) fn optional<T>(self, read: fn(Self) -> Result<T, JsonError>) -> Result<Option<T>, JsonError> {
        match self.value {
            None | Some(b"null") => Ok(None),
            Some(_) => read(self).map(Some),
        }
    }

    /// The value as `read` returns it, or `default` if the field is missing. `null` is not missing.
    pub(crate) fn or<T>(self, default: T, read: fn(Self) -> Result<T, JsonError>) -> Result<T, JsonError> {
        if self.value.is_none() { Ok(default) } else { read(self) }
    }

    /// A string.
    pub(crate) fn text(self) -> Result<String, JsonError> {
        Scanner::new(self.json()?).text().ok_or(self.must_be("a text"))
    }

    /// The name of the single field of an object, whose value is `null`.
    pub(crate) fn single(self) -> Result<String, JsonError> {
        let mut found = Vec::new();
        let object = Scanner::new(self.json()?).object(&mut |name, value| found.push((name.to_vec(), value)));
        match (object, found.pop()) {
            (Some(()), Some((name, b"null"))) if found.is_empty() => String::from_utf8(name).ok(),
            _ => None,
        }
        .ok_or(self.must_be("an object with one name and no value"))
    }

    /// An array of strings.
    pub(crate) fn texts(self) -> Result<Vec<String>, JsonError> {
        Scanner::new(self.json()?).texts().ok_or(self.must_be("a list of texts"))
    }

    /// A non-negative integer in the range of `T`.
    pub(crate) fn integer<T: TryFrom<u64>>(self) -> Result<T, JsonError> {
        T::try_from(self.number()?).map_err(|_| self.must_be("a smaller number"))
    }

    /// `true` or `false`.
    pub(crate) fn boolean(self) -> Result<bool, JsonError> {
        match self.json()? {
            b"true" => Ok(true),
            b"false" => Ok(false),
            _ => Err(self.must_be("true or false")),
        }
    }

    /// The error that says what the value must be.
    pub(crate) fn must_be(self, wanted: &'static str) -> JsonError {
        JsonError::WrongType { name: self.name, wanted }
    }

    fn number(self) -> Result<u64, JsonError> {
        // The scanner has refused a plus sign and leading zeros, which `parse` would accept.
        let number = core::str::from_utf8(self.json()?).ok().and_then(|digits| digits.parse().ok());
        number.ok_or(self.must_be("a whole number, and no less than 0"))
    }

    fn json(self) -> Result<&'a [u8], JsonError> {
        self.value.ok_or(JsonError::Missing(self.name))
    }
}

/// Reads fields, with the type's default in place of a field that cannot be read, and keeps the first error.
///
/// A message of many fields is thus built in one expression. Leaving at each error would drop the fields read so far in
/// as many places, which is 5 KB of the browser package.
#[derive(Default)]
pub(crate) struct FieldReader {
    error: Option<JsonError>,
}

impl FieldReader {
    /// The value, or the default if there is an error.
    pub(crate) fn take<T: Default>(&mut self, value: Result<T, JsonError>) -> T {
        value.unwrap_or_else(|error| {
            self.error.get_or_insert(error);
            T::default()
        })
    }

    /// [`Field::text`].
    #[inline(never)]
    pub(crate) fn text(&mut self, field: Field<'_>) -> String {
        self.take(field.text())
    }

    /// [`Field::text`]; empty if the field is missing. `null` is not missing.
    #[inline(never)]
    pub(crate) fn text_or_empty(&mut self, field: Field<'_>) -> String {
        self.take(field.or(String::new(), Field::text))
    }

    /// [`Field::text`]; `None` if the field is missing or `null`.
    #[inline(never)]
    pub(crate) fn optional_text(&mut self, field: Field<'_>) -> Option<String> {
        self.take(field.optional(Field::text))
    }

    /// [`Field::texts`]; empty if the field is missing. `null` is not missing.
    #[inline(never)]
    pub(crate) fn texts_or_empty(&mut self, field: Field<'_>) -> Vec<String> {
        self.take(field.or(Vec::new(), Field::texts))
    }

    /// [`Field::integer`]; `None` if the field is missing or `null`.
    #[inline(never)]
    pub(crate) fn optional_integer<T: TryFrom<u64>>(&mut self, field: Field<'_>) -> Option<T> {
        self.take(field.optional(Field::integer))
    }

    /// `message`, which was built of what was read.
    ///
    /// # Errors
    /// The first error of a field.
    pub(crate) fn finish<T>(self, message: T) -> Result<T, JsonError> {
        self.error.map_or(Ok(message), Err)
    }
}
