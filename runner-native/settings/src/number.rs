//! Numbers with bounds and a default that belong to their type, so that the parser and the schema have the same.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A whole number from `MIN` to `MAX`.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Whole<const MIN: u32, const MAX: u32, const DEFAULT: u32>(u32);

/// A port; `DEFAULT` unless the file says otherwise.
pub type PortNumber<const DEFAULT: u32> = Whole<1, 65_535, DEFAULT>;

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> Whole<MIN, MAX, DEFAULT> {
    /// `number`, if it is within the bounds.
    pub fn new(number: u32) -> Option<Self> {
        (MIN..=MAX).contains(&number).then_some(Self(number))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number of a port. A greater one, which no port has, becomes 65535.
    pub fn port(self) -> u16 {
        u16::try_from(self.0).unwrap_or(u16::MAX)
    }
}

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> Default for Whole<MIN, MAX, DEFAULT> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> Serialize for Whole<MIN, MAX, DEFAULT> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl<'de, const MIN: u32, const MAX: u32, const DEFAULT: u32> Deserialize<'de> for Whole<MIN, MAX, DEFAULT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(WholeVisitor)
    }
}

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> JsonSchema for Whole<MIN, MAX, DEFAULT> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Whole{MIN}To{MAX}").into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

struct WholeVisitor<const MIN: u32, const MAX: u32, const DEFAULT: u32>;

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> Visitor<'_> for WholeVisitor<MIN, MAX, DEFAULT> {
    type Value = Whole<MIN, MAX, DEFAULT>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {MIN} to {MAX}")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        let whole = u32::try_from(number).ok().and_then(Whole::new);
        whole.ok_or_else(|| E::custom(format_args!("a whole number from {MIN} to {MAX} is needed")))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        // What is below zero is below every bound, as what is above 32 bits is above it.
        self.visit_u64(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

/// A number with up to three decimals, kept in thousandths: seconds, a factor or percents. `MIN`, `MAX` and `DEFAULT` are
/// thousandths too.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Decimal<const MIN: u32, const MAX: u32, const DEFAULT: u32>(u32);

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> Decimal<MIN, MAX, DEFAULT> {
    /// `thousandths`, if they are within the bounds.
    pub fn new(thousandths: u32) -> Option<Self> {
        (MIN..=MAX).contains(&thousandths).then_some(Self(thousandths))
    }

    /// The number in thousandths.
    pub const fn thousandths(self) -> u32 {
        self.0
    }

    /// The number.
    pub fn get(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// So many seconds.
    pub const fn seconds(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }

    fn from_number(number: f64) -> Option<Self> {
        let thousandths = number * 1000.0;
        // Compared before it is rounded: 0.0004 is below a bound of 0.001, and rounding would make it 0.
        let is_within = (f64::from(MIN)..=f64::from(MAX)).contains(&thousandths);
        is_within.then(|| Self(thousandths.round() as u32))
    }
}

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> Default for Decimal<MIN, MAX, DEFAULT> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> Serialize for Decimal<MIN, MAX, DEFAULT> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 % 1000 {
            0 => serializer.serialize_u32(self.0 / 1000),
            _ => serializer.serialize_f64(self.get()),
        }
    }
}

impl<'de, const MIN: u32, const MAX: u32, const DEFAULT: u32> Deserialize<'de>
    for Decimal<MIN, MAX, DEFAULT>
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DecimalVisitor)
    }
}

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> JsonSchema for Decimal<MIN, MAX, DEFAULT> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Decimal{MIN}To{MAX}").into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        let (min, max) = (f64::from(MIN) / 1000.0, f64::from(MAX) / 1000.0);
        json_schema!({ "type": "number", "minimum": min, "maximum": max })
    }
}

struct DecimalVisitor<const MIN: u32, const MAX: u32, const DEFAULT: u32>;

impl<const MIN: u32, const MAX: u32, const DEFAULT: u32> Visitor<'_> for DecimalVisitor<MIN, MAX, DEFAULT> {
    type Value = Decimal<MIN, MAX, DEFAULT>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number from {} to {}", f64::from(MIN) / 1000.0, f64::from(MAX) / 1000.0)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Decimal::from_number(number).ok_or_else(|| {
            let (min, max) = (f64::from(MIN) / 1000.0, f64::from(MAX) / 1000.0);
            E::custom(format_args!("a number from {min} to {max} is needed"))
        })
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        // Beyond 32 bits no bound is exceeded by less.
        self.visit_f64(u32::try_from(number).map_or(f64::INFINITY, f64::from))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => self.visit_f64(f64::NEG_INFINITY),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;
    use serde::de::value::Error;

    use super::*;

    type Interval = Whole<5, 300, 30>;
    type Delay = Decimal<1, 60_000, 1000>;

    #[test]
    fn a_whole_number_is_taken_at_its_bounds_and_refused_beyond_them() {
        let read =
            |number: i64| Interval::deserialize(IntoDeserializer::<Error>::into_deserializer(number)).ok();
        assert_eq!([read(5), read(300)].map(|read| read.map(Whole::get)), [Some(5), Some(300)]);
        for number in [4, 301, 0, -1, i64::MIN, i64::MAX, 1 << 33] {
            assert_eq!(read(number), None, "{number}");
        }
        assert_eq!(Interval::default().get(), 30);
        assert_eq!((PortNumber::<80>::new(0), PortNumber::<80>::new(65_536)), (None, None));
        assert_eq!(PortNumber::<80>::new(65_535).map(Whole::port), Some(65_535));
    }

    #[test]
    fn a_decimal_number_is_taken_at_its_bounds_and_refused_beyond_them() {
        let read =
            |number: f64| Delay::deserialize(IntoDeserializer::<Error>::into_deserializer(number)).ok();
        let whole =
            |number: i64| Delay::deserialize(IntoDeserializer::<Error>::into_deserializer(number)).ok();
        for (number, thousandths) in [(0.001, 1), (60.0, 60_000), (0.5, 500), (1.9996, 2000)] {
            assert_eq!(read(number).map(Decimal::thousandths), Some(thousandths), "{number}");
        }
        for number in [0.0009, 60.001, 0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(read(number), None, "{number}");
        }
        assert_eq!(whole(60).map(Decimal::seconds), Some(Duration::from_secs(60)));
        assert_eq!([whole(61), whole(0), whole(-1), whole(i64::MAX)], [None; 4]);
    }
}
