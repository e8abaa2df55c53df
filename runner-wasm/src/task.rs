//! Work that goes on by itself, and promises of it.
//!
//! Both box what they run: the browser's queue of work is then compiled once, and not for each kind of work.

use std::pin::Pin;

use js_sys::Promise;
use wasm_bindgen::JsValue;

/// Runs `work` in the turns that follow.
pub(crate) fn spawn(work: impl Future<Output = ()> + 'static) {
    let work: Pin<Box<dyn Future<Output = ()>>> = Box::pin(work);
    wasm_bindgen_futures::spawn_local(work);
}

/// A promise of what `work` comes to.
pub(crate) fn promise(work: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> Promise {
    let work: Pin<Box<dyn Future<Output = Result<JsValue, JsValue>>>> = Box::pin(work);
    wasm_bindgen_futures::future_to_promise(work)
}

/// The same for work that comes to nothing.
pub(crate) fn promise_done(work: impl Future<Output = Result<(), JsValue>> + 'static) -> Promise {
    promise(async move { work.await.map(|()| JsValue::UNDEFINED) })
}
