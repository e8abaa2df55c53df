//! Spawned futures, and JavaScript promises of futures.
//!
//! Futures are boxed here, so that `wasm-bindgen-futures` is instantiated once and not for each of them.

use std::pin::Pin;

use js_sys::Promise;
use wasm_bindgen::JsValue;

/// Runs `work` on the microtask queue.
pub(crate) fn spawn(work: impl Future<Output = ()> + 'static) {
    let work: Pin<Box<dyn Future<Output = ()>>> = Box::pin(work);
    wasm_bindgen_futures::spawn_local(work);
}

/// A promise of the output of `work`.
pub(crate) fn promise(work: impl Future<Output = Result<JsValue, JsValue>> + 'static) -> Promise {
    let work: Pin<Box<dyn Future<Output = Result<JsValue, JsValue>>>> = Box::pin(work);
    wasm_bindgen_futures::future_to_promise(work)
}

/// A promise that resolves to `undefined` when `work` is done.
pub(crate) fn promise_void(work: impl Future<Output = Result<(), JsValue>> + 'static) -> Promise {
    promise(async move { work.await.map(|()| JsValue::UNDEFINED) })
}
