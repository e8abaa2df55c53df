//! The browser's clocks, timer and entropy, as the core wants them.

use std::time::Duration;

use hvym_tunnel_core::rng::Seed;
use hvym_tunnel_core::time::{Instant, UnixTime, Wall};
use wasm_bindgen::prelude::*;
use web_sys::{Crypto, Performance};

/// The longest a browser waits: the delay of `setTimeout` is a signed 32-bit number of milliseconds.
const MAX_DELAY: Duration = Duration::from_millis(i32::MAX as u64);

#[wasm_bindgen]
extern "C" {
    // Named without an object, so that they are found in windows and in workers alike.
    #[wasm_bindgen(thread_local_v2, js_name = performance)]
    static PERFORMANCE: Performance;
    #[wasm_bindgen(thread_local_v2, js_name = crypto)]
    static CRYPTO: Crypto;
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &JsValue, milliseconds: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(id: &JsValue);
}

/// The monotonic time of this page. A machine that sleeps may stop it; what a link missed then is found by `wake`.
pub(crate) fn now() -> Instant {
    // Floats become integers by saturation, and a page is not open for 500 000 years.
    Instant::from_micros((PERFORMANCE.with(Performance::now) * 1000.0) as u64)
}

/// The wall clock, now.
pub(crate) fn wall() -> Wall {
    Wall { unix: UnixTime::from_secs((js_sys::Date::now() / 1000.0) as u64), at: now() }
}

/// 32 bytes of the browser's entropy.
///
/// # Errors
/// The browser's, if it has none.
pub(crate) fn seed() -> Result<Seed, JsValue> {
    let mut seed = [0; 32];
    CRYPTO.with(|crypto| crypto.get_random_values_with_u8_array(&mut seed))?;
    Ok(seed)
}

/// One call at one time, unless it is dropped before.
pub(crate) struct Timer {
    id: JsValue,
    _callback: Closure<dyn FnMut()>,
}

impl Timer {
    /// Calls `then` at the earliest after `delay`, or much later while the page is in the background.
    pub(crate) fn after(delay: Duration, then: impl FnMut() + 'static) -> Self {
        let callback = Closure::<dyn FnMut()>::new(then);
        // Rounded up: a timer that fires too soon is set again, for nothing.
        let milliseconds = (delay.min(MAX_DELAY).as_secs_f64() * 1000.0).ceil();
        Self { id: set_timeout(callback.as_ref(), milliseconds), _callback: callback }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(&self.id);
    }
}
