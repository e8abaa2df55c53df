//! Reads one JSON object whose member `type` says what its other members are.
//!
//! serde's own way keeps the whole object as a tree until it finds the tag. Looking for the tag first, and then reading
//! the text again, needs no tree: a fifth less of what a browser loads.

use alloc::string::String;
use core::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IgnoredAny, IntoDeserializer, VariantAccess,
    Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::Error;
use serde_json::de::SliceRead;

type Json<'de> = serde_json::Deserializer<SliceRead<'de>>;

#[derive(Deserialize)]
struct Tag {
    #[serde(rename = "type")]
    tag: String,
}

/// Reads `json` by `read`, which is what serde derives for an enum whose variants have named fields, or none.
///
/// # Errors
/// It is no object with a `type`, or its members have the wrong types.
pub(super) fn read<'de, T>(
    json: &'de [u8],
    read: impl FnOnce(Tagged<'_, 'de>) -> Result<T, Error>,
) -> Result<T, Error> {
    let Tag { tag } = serde_json::from_slice(json)?;
    let mut object = serde_json::Deserializer::from_slice(json);
    let value = read(Tagged { tag, object: &mut object })?;
    object.end()?;
    Ok(value)
}

/// An object whose tag is known.
pub(super) struct Tagged<'a, 'de> {
    tag: String,
    object: &'a mut Json<'de>,
}

impl fmt::Debug for Tagged<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tagged(..)")
    }
}

impl<'de> Deserializer<'de> for Tagged<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Tagged<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(mut self, seed: V) -> Result<(V::Value, Self), Error> {
        let tag: StringDeserializer<Error> = core::mem::take(&mut self.tag).into_deserializer();
        Ok((seed.deserialize(tag)?, self))
    }
}

impl<'de> VariantAccess<'de> for Tagged<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        IgnoredAny::deserialize(self.object).map(drop)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _seed: T) -> Result<T::Value, Error> {
        Err(Error::custom("a variant without names"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("a variant without names"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.object.deserialize_struct("", fields, visitor)
    }
}
