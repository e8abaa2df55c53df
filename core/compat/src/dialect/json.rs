//! JSON helpers of all dialects: header fields to and from a JSON object.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use hvym_http1::Headers;
use hvym_tunnel_core::message::Message;

/// The most members of an object of fields; more than any head may have, so that the head's own limit decides.
const MAX_FIELDS: usize = 256;
/// The field whose values cannot be joined.
const SET_COOKIE: &str = "set-cookie";

/// The members that tell the kind of a message, if `text` is an object. Without the check serde would also accept a
/// list of the members' values.
pub(super) fn envelope<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Option<T> {
    let is_object = text.trim_ascii_start().first() == Some(&b'{');
    if is_object { serde_json::from_slice(text).ok() } else { None }
}

/// The whole message; the error is for a person.
pub(super) fn parsed<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|e| e.to_string())
}

/// A JSON object of strings that keeps its order and repeated names.
#[derive(Debug, Default)]
pub(super) struct Fields(pub(super) Vec<(String, String)>);

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldsVisitor { lists_cookies: false })
    }
}

/// The same, with the values of `Set-Cookie` in a list, as programs on Node have them.
#[derive(Debug, Default)]
pub(super) struct CookieListFields(pub(super) Fields);

impl Serialize for CookieListFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (cookies, others): (Vec<_>, Vec<_>) =
            self.0.0.iter().partition(|(name, _)| name.eq_ignore_ascii_case(SET_COOKIE));
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in others {
            map.serialize_entry(name, value)?;
        }
        if !cookies.is_empty() {
            let values: Vec<&str> = cookies.iter().map(|(_, value)| value.as_str()).collect();
            map.serialize_entry(SET_COOKIE, &values)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for CookieListFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldsVisitor { lists_cookies: true }).map(CookieListFields)
    }
}

struct FieldsVisitor {
    /// Whether the values of `Set-Cookie` may be a list.
    lists_cookies: bool,
}

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_unit<E>(self) -> Result<Fields, E> {
        Ok(Fields::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if fields.len() == MAX_FIELDS {
                return Err(A::Error::custom("too many header fields"));
            }
            match map.next_value::<Value>()? {
                Value::String(text) => fields.push((name, text)),
                Value::Array(values) if self.lists_cookies && name.eq_ignore_ascii_case(SET_COOKIE) => {
                    if fields.len() + values.len() > MAX_FIELDS {
                        return Err(A::Error::custom("too many header fields"));
                    }
                    for value in values {
                        let Value::String(text) = value else {
                            return Err(A::Error::custom("a cookie that is no text"));
                        };
                        fields.push((name.clone(), text));
                    }
                }
                _ => return Err(A::Error::custom("a header field that is no text")),
            }
        }
        Ok(Fields(fields))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Fields, A::Error> {
        match list.next_element::<IgnoredAny>()? {
            None => Ok(Fields::default()),
            Some(_) => Err(A::Error::custom("header fields in a list")),
        }
    }
}

impl Fields {
    /// A single field.
    pub(super) fn one(name: &str, value: &str) -> Self {
        Fields(Vec::from([(name.to_owned(), value.to_owned())]))
    }

    /// These fields as an object. JSON programs read an object as a map, so fields of one name become one, by the
    /// rule for their kind (RFC 9110 section 5.3; RFC 9113 section 8.2.3 for cookies). `Set-Cookie` cannot be joined:
    /// each is written in another case, which those programs keep apart and HTTP does not.
    pub(super) fn from_headers(headers: &Headers) -> Self {
        let mut fields: Vec<(String, String)> = Vec::with_capacity(headers.len());
        let mut cookies = 0u32;
        for (name, value) in headers.iter() {
            let mut name = name.to_ascii_lowercase();
            let value = latin1(value);
            if name == SET_COOKIE {
                name = respelled(&name, cookies);
                cookies = cookies.wrapping_add(1);
            } else if let Some((_, known)) = fields.iter_mut().find(|(known, _)| *known == name) {
                known.push_str(if name == "cookie" { "; " } else { ", " });
                known.push_str(&value);
                continue;
            }
            fields.push((name, value));
        }
        Fields(fields)
    }

    /// The object as header fields. Each character is one byte (Latin-1), as in the programs that make such objects.
    ///
    /// # Errors
    /// A value with a character above U+00FF.
    pub(super) fn into_headers(self) -> Result<Headers, String> {
        let mut headers = Headers::new();
        for (name, text) in self.0 {
            let value: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
            match value {
                Some(value) => headers.push(name, Bytes::from(value)),
                None => return Err("a header field with characters that HTTP cannot carry".to_owned()),
            }
        }
        Ok(headers)
    }
}

/// `value` as a text message.
pub(super) fn line(value: &impl Serialize) -> Option<Message> {
    let text: Vec<u8> = serde_json::to_vec(value).ok()?;
    Some(Message::Text(Bytes::from(text)))
}

/// `name` with its letters in upper case where `variant` has a bit.
fn respelled(name: &str, variant: u32) -> String {
    let mut bit = 0u32;
    name.chars()
        .map(|c| {
            if !c.is_ascii_lowercase() {
                return c;
            }
            bit += 1;
            if variant >> (bit - 1) & 1 == 1 { c.to_ascii_uppercase() } else { c }
        })
        .collect()
}

/// Each byte as the character of the same number (Latin-1), which is lossless.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_one_name_become_one_and_cookies_stay_apart() {
        let mut headers = Headers::new();
        for (name, value) in [
            ("A", "1"),
            ("Cookie", "x=1"),
            ("a", "2"),
            ("cookie", "y=2"),
            ("Set-Cookie", "p"),
            ("set-cookie", "q"),
        ] {
            headers.push(name, value);
        }
        let json = serde_json::to_string(&Fields::from_headers(&headers)).expect("texts");
        assert_eq!(json, r#"{"a":"1, 2","cookie":"x=1; y=2","set-cookie":"p","Set-cookie":"q"}"#);
    }

    #[test]
    fn cookies_are_a_list_where_programs_take_one_and_a_text_everywhere() {
        let mut headers = Headers::new();
        for (name, value) in [("Set-Cookie", "p"), ("A", "1"), ("set-cookie", "q")] {
            headers.push(name, value);
        }
        let json = serde_json::to_string(&CookieListFields(Fields::from_headers(&headers))).expect("texts");
        assert_eq!(json, r#"{"a":"1","set-cookie":["p","q"]}"#);
        let fields: CookieListFields = serde_json::from_str(&json).expect("a list of cookies");
        let headers = fields.0.into_headers().expect("ASCII");
        assert_eq!(headers.all("set-cookie").collect::<Vec<_>>(), [b"p", b"q"]);
        let one: CookieListFields = serde_json::from_str(r#"{"Set-Cookie":"p"}"#).expect("a text");
        assert_eq!(one.0.0.len(), 1);
        for bad in [r#"{"a":["b"]}"#, r#"{"set-cookie":[1]}"#, r#"{"set-cookie":[["a"]]}"#] {
            assert!(serde_json::from_str::<CookieListFields>(bad).is_err(), "{bad}");
        }
        for (count, fits) in [(255, true), (256, true), (257, false)] {
            let json = serde_json::json!({ "set-cookie": alloc::vec!["a"; count] }).to_string();
            assert_eq!(serde_json::from_str::<CookieListFields>(&json).is_ok(), fits, "{count}");
        }
    }

    #[test]
    fn what_is_no_object_of_texts_is_refused() {
        for bad in [r#"{"a":1}"#, r#"{"a":["b"]}"#, r#"{"a":null}"#, "[1]", "3", "\"x\""] {
            assert!(serde_json::from_str::<Fields>(bad).is_err(), "{bad}");
        }
        for none in ["null", "{}", "[]"] {
            assert!(serde_json::from_str::<Fields>(none).expect(none).0.is_empty());
        }
        let wide: Fields = serde_json::from_str(r#"{"a":"☃"}"#).expect("an object of texts");
        assert!(wide.into_headers().is_err());
    }
}
