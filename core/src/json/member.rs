//! Finds the members of one object, and reads the value of one member.
//!
//! Whatever is not asked for must be JSON, and is stepped over: a later version may say more. Of a member that is asked
//! for, there may be one alone, because readers disagree on which of two counts.

use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

use super::walk::Walk;

/// Why a text is not the JSON that it should be. Repeats nothing of the text, which may be a secret.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum JsonError {
    /// No JSON, no object, or more than one value.
    #[error("no JSON object: broken at byte {0}")]
    Broken(usize),
    /// A member that cannot be left out.
    #[error("the member `{0}` is missing")]
    Missing(&'static str),
    /// A member whose value could be either of two.
    #[error("the member `{0}` appears twice")]
    Twice(&'static str),
    /// A member whose value is of another kind.
    #[error("the member `{name}` must be {wanted}")]
    Kind {
        /// Which member.
        name: &'static str,
        /// What its value must be.
        wanted: &'static str,
    },
}

/// The members of the object `json` that have these names.
///
/// # Errors
/// [`JsonError::Broken`] and [`JsonError::Twice`]; what is missing or of another kind shows when it is read.
pub(crate) fn members<'a, const N: usize>(
    json: &'a [u8],
    names: [&'static str; N],
) -> Result<[Member<'a>; N], JsonError> {
    let mut wanted = names.map(|name| Member { name, value: None });
    collect(json, &mut wanted)?;
    Ok(wanted)
}

fn collect<'a>(json: &'a [u8], wanted: &mut [Member<'a>]) -> Result<(), JsonError> {
    let (mut walk, mut twice) = (Walk::new(json), None);
    let whole = walk.object(&mut |name, value| {
        if let Some(member) = wanted.iter_mut().find(|member| member.name.as_bytes() == name)
            && member.value.replace(value).is_some()
        {
            twice = Some(member.name);
        }
    });
    whole.ok_or(JsonError::Broken(walk.at()))?;
    twice.map_or(Ok(()), |name| Err(JsonError::Twice(name)))
}

/// A member that was asked for, and the JSON of its value if the object has it.
#[derive(Copy, Clone)]
pub(crate) struct Member<'a> {
    name: &'static str,
    value: Option<&'a [u8]>,
}

impl<'a> Member<'a> {
    /// The value as `read` reads it; `None` if there is none, or `null`.
    pub(crate) fn maybe<T>(self, read: fn(Self) -> Result<T, JsonError>) -> Result<Option<T>, JsonError> {
        match self.value {
            None | Some(b"null") => Ok(None),
            Some(_) => read(self).map(Some),
        }
    }

    /// The value as `read` reads it, or `absent` if there is none; `null` is a value.
    pub(crate) fn or<T>(self, absent: T, read: fn(Self) -> Result<T, JsonError>) -> Result<T, JsonError> {
        if self.value.is_none() { Ok(absent) } else { read(self) }
    }

    /// A text.
    pub(crate) fn text(self) -> Result<String, JsonError> {
        Walk::new(self.json()?).text().ok_or(self.must_be("a text"))
    }

    /// The name of the only member of an object, whose value is `null`.
    pub(crate) fn sole(self) -> Result<String, JsonError> {
        let mut found = Vec::new();
        let whole = Walk::new(self.json()?).object(&mut |name, value| found.push((name.to_vec(), value)));
        match (whole, found.pop()) {
            (Some(()), Some((name, b"null"))) if found.is_empty() => String::from_utf8(name).ok(),
            _ => None,
        }
        .ok_or(self.must_be("an object with one name and no value"))
    }

    /// A list of texts.
    pub(crate) fn texts(self) -> Result<Vec<String>, JsonError> {
        Walk::new(self.json()?).texts().ok_or(self.must_be("a list of texts"))
    }

    /// A whole number that a `T` can be.
    pub(crate) fn whole<T: TryFrom<u64>>(self) -> Result<T, JsonError> {
        T::try_from(self.number()?).map_err(|_| self.must_be("a smaller number"))
    }

    /// A truth value.
    pub(crate) fn truth(self) -> Result<bool, JsonError> {
        match self.json()? {
            b"true" => Ok(true),
            b"false" => Ok(false),
            _ => Err(self.must_be("true or false")),
        }
    }

    /// The error that says what the value must be.
    pub(crate) fn must_be(self, wanted: &'static str) -> JsonError {
        JsonError::Kind { name: self.name, wanted }
    }

    fn number(self) -> Result<u64, JsonError> {
        // As JSON it has no plus sign and no needless zero, which this would take.
        let number = core::str::from_utf8(self.json()?).ok().and_then(|digits| digits.parse().ok());
        number.ok_or(self.must_be("a whole number, and no less than 0"))
    }

    fn json(self) -> Result<&'a [u8], JsonError> {
        self.value.ok_or(JsonError::Missing(self.name))
    }
}
