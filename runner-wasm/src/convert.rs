//! Conversions of header fields, body lengths and bytes between JavaScript and the core.
//!
//! JavaScript's `Headers` holds byte strings (Web IDL `ByteString`): text in which each character stands for one byte.

use bytes::Bytes;
use hvym_http1::{Headers, Payload};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;

/// Header fields from a flat list: name, value, name, value. A name without a value is ignored.
pub(crate) fn headers_from_flat(list: &[String]) -> Headers {
    let pairs = list.chunks_exact(2).map(|pair| (pair[0].clone(), bytes_of(&pair[1])));
    pairs.collect()
}

/// Header fields as a flat list: name, value, name, value.
pub(crate) fn headers_to_flat(headers: &Headers) -> Array {
    let list = Array::new();
    for (name, value) in headers.iter() {
        list.push(&name.into());
        list.push(&byte_string(value).into());
    }
    list
}

fn byte_string(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn bytes_of(text: &str) -> Bytes {
    // `Headers` holds no character above U+00FF. One from another source becomes NUL, which no field value may contain,
    // so that encoding the head fails.
    text.chars().map(|c| u8::try_from(c).unwrap_or(0)).collect()
}

/// The framing that JavaScript asks for: `length` in bytes, 0 for no body, `None` for a body of unknown length.
pub(crate) fn payload(length: Option<f64>) -> Payload {
    match length {
        None => Payload::Streamed,
        Some(length) if length > 0.0 => Payload::Sized(length as u64),
        Some(_) => Payload::Absent,
    }
}

/// A `Uint8Array`, or `undefined` at the end of a stream.
pub(crate) fn chunk(data: Option<Bytes>) -> JsValue {
    data.map_or(JsValue::UNDEFINED, |data| Uint8Array::from(&data[..]).into())
}

/// A string, or `undefined`.
pub(crate) fn optional(text: Option<&str>) -> JsValue {
    text.map_or(JsValue::UNDEFINED, JsValue::from_str)
}
