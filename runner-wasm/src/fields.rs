//! Header fields on their way between JavaScript and the core.
//!
//! JavaScript's `Headers` holds "byte strings": text in which every character stands for one byte.

use bytes::Bytes;
use hvym_http1::{Headers, Payload};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;

/// The fields of a flat list: name, value, name, value.
pub(crate) fn from_list(list: &[String]) -> Headers {
    let pairs = list.chunks_exact(2).map(|pair| (pair[0].clone(), to_bytes(&pair[1])));
    pairs.collect()
}

/// The flat list of `headers`.
pub(crate) fn to_list(headers: &Headers) -> Array {
    let list = Array::new();
    for (name, value) in headers.iter() {
        list.push(&name.into());
        list.push(&from_bytes(value).into());
    }
    list
}

/// `bytes` as a byte string.
pub(crate) fn from_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn to_bytes(text: &str) -> Bytes {
    // What is above a byte cannot stand in a `Headers`; a plain object's is refused as a malformed value.
    text.chars().map(|c| u8::try_from(c).unwrap_or(0)).collect()
}

/// What JavaScript says of a body: its length, 0 for none, nothing for one that comes as it comes.
pub(crate) fn payload(length: Option<f64>) -> Payload {
    match length {
        None => Payload::Streamed,
        Some(length) if length > 0.0 => Payload::Sized(length as u64),
        Some(_) => Payload::Absent,
    }
}

/// Bytes as JavaScript takes them, or `undefined` at the end.
pub(crate) fn chunk(data: Option<Bytes>) -> JsValue {
    data.map_or(JsValue::UNDEFINED, |data| Uint8Array::from(&data[..]).into())
}
