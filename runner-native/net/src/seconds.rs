//! Durations as people write them: a number of seconds, on a command line and in a file.
//!
//! It knows no setting.

use std::fmt;
use std::time::Duration;

use serde::de::Visitor;
use serde::{Deserializer, Serializer};
use thiserror::Error;

/// Shortest duration in seconds: the resolution of timers.
const MIN: f64 = 0.001;
/// Longest duration in seconds, 31 days: a longer one is a typing error, and `Duration` would overflow long after.
const MAX: f64 = 31.0 * 86_400.0;

/// Not a number of seconds, or none that a setting may have.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[error("a number of seconds is needed, as in 10 or 0.5")]
pub struct SecondsError;

/// A positive number of seconds, at least 0.001 and at most 31 days; decimals are allowed.
///
/// # Errors
/// The text is something else.
pub fn parse(text: &str) -> Result<Duration, SecondsError> {
    text.parse().map_err(|_| SecondsError).and_then(from_number)
}

fn from_number(seconds: f64) -> Result<Duration, SecondsError> {
    if (MIN..=MAX).contains(&seconds) { Ok(Duration::from_secs_f64(seconds)) } else { Err(SecondsError) }
}

/// For `#[serde(with = "seconds")]`: writes a number of seconds.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// For `#[serde(with = "seconds")]`: reads a number of seconds, within the bounds of [`parse`].
///
/// # Errors
/// Something else is there.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(SecondsVisitor)
}

struct SecondsVisitor;

impl Visitor<'_> for SecondsVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of seconds")
    }

    fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Duration, E> {
        from_number(seconds).map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Duration, E> {
        u32::try_from(seconds)
            .map_err(|_| SecondsError)
            .and_then(|s| from_number(s.into()))
            .map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Duration, E> {
        u64::try_from(seconds)
            .map_err(|_| E::custom(SecondsError))
            .and_then(|seconds| self.visit_u64(seconds))
    }
}

/// For `#[serde(with = "seconds::optional")]`: a duration that need not be set.
pub mod optional {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// A duration that is read and written as a number.
    #[derive(Deserialize, Serialize)]
    struct Seconds(#[serde(with = "super")] Duration);

    /// Writes a number of seconds, or that there is none.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        duration.map(Seconds).serialize(serializer)
    }

    /// Reads a number of seconds, if there is one.
    ///
    /// # Errors
    /// Something else is there.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Seconds>::deserialize(deserializer)?.map(|Seconds(duration)| duration))
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;
    use serde::de::value::Error;

    use super::*;

    #[test]
    fn seconds_are_positive_and_finite() {
        assert_eq!(parse("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("0.25"), Ok(Duration::from_millis(250)));
        for text in ["0", "-1", "inf", "NaN", "1e99", "", "ten"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_has_the_same_bounds_as_a_command_line() {
        let number = |seconds: i64| deserialize(IntoDeserializer::<Error>::into_deserializer(seconds)).ok();
        let decimal = |seconds: f64| deserialize(IntoDeserializer::<Error>::into_deserializer(seconds)).ok();
        assert_eq!(number(10), parse("10").ok());
        assert_eq!(decimal(0.5), parse("0.5").ok());
        assert_eq!([number(0), number(-1), number(31 * 86_400 + 1), number(i64::MAX)], [None; 4]);
        assert_eq!([decimal(0.0), decimal(f64::NAN), decimal(1e99)], [None; 3]);
        assert!(number(31 * 86_400).is_some());
    }
}
