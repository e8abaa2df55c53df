//! A function on the browser's microtask queue, queued at most once at a time.

use std::cell::Cell;
use std::rc::Rc;

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    // A global without `window`, so that it is found in workers too.
    #[wasm_bindgen(js_name = queueMicrotask)]
    fn queue_microtask(callback: &JsValue);
}

/// A function that runs after the current call from JavaScript, so that the writes of many calls are batched.
pub(crate) struct Microtask {
    is_queued: Rc<Cell<bool>>,
    callback: Closure<dyn Fn()>,
}

impl Microtask {
    /// Nothing is queued yet.
    pub(crate) fn new(run: impl Fn() + 'static) -> Self {
        let is_queued = Rc::new(Cell::new(false));
        let flag = Rc::clone(&is_queued);
        let callback = Closure::<dyn Fn()>::new(move || {
            flag.set(false);
            run();
        });
        Self { is_queued, callback }
    }

    /// Runs the function soon, unless it is about to run.
    pub(crate) fn queue(&self) {
        if !self.is_queued.replace(true) {
            queue_microtask(self.callback.as_ref());
        }
    }
}
