//! The browser's clocks, timers and entropy, in the core's types.

use std::time::Duration;

use hvym_tunnel_core::rng::Seed;
use hvym_tunnel_core::time::{Instant, UnixTime, Wall};
use wasm_bindgen::prelude::*;
use web_sys::{Crypto, Performance};

/// The longest delay of `setTimeout`, a signed 32-bit number of milliseconds.
const MAX_DELAY: Duration = Duration::from_millis(i32::MAX as u64);

#[wasm_bindgen]
extern "C" {
    // Globals without `window`, so that they are found in workers too.
    #[wasm_bindgen(thread_local_v2, js_name = performance)]
    static PERFORMANCE: Performance;
    #[wasm_bindgen(thread_local_v2, js_name = crypto)]
    static CRYPTO: Crypto;
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &JsValue, milliseconds: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(id: &JsValue);
}

/// The page's monotonic time. Some systems stop it during sleep; `Runner::wake` then checks the link.
pub(crate) fn now() -> Instant {
    // A float saturates when it becomes an integer: after 500 000 years of microseconds.
    Instant::from_micros((PERFORMANCE.with(Performance::now) * 1000.0) as u64)
}

/// The wall clock and the monotonic time at which it was read.
pub(crate) fn wall() -> Wall {
    Wall { unix: UnixTime::from_secs((js_sys::Date::now() / 1000.0) as u64), at: now() }
}

/// 32 bytes of the browser's entropy.
///
/// # Errors
/// The browser's exception if it has none.
pub(crate) fn seed() -> Result<Seed, JsValue> {
    let mut seed = [0; 32];
    CRYPTO.with(|crypto| crypto.get_random_values_with_u8_array(&mut seed))?;
    Ok(seed)
}

/// What timers call. The garbage collector frees it and no timer does: a call by a runtime that has cleared the timer too late does
/// nothing, where one of a freed function would end a program.
pub(crate) struct TimerCallback(JsValue);

impl TimerCallback {
    /// Calls `run`.
    pub(crate) fn new(run: impl Fn() + 'static) -> Self {
        Self(Closure::<dyn Fn()>::new(run).into_js_value())
    }
}

/// A one-shot timer, cleared when it is dropped.
pub(crate) struct Timer {
    id: JsValue,
}

impl Timer {
    /// Calls `callback` no earlier than after `delay`; up to minutes later while the page is in the background.
    pub(crate) fn after(delay: Duration, callback: &TimerCallback) -> Self {
        // Rounded up, because a timer that fires before the deadline would have to be armed again.
        let milliseconds = (delay.min(MAX_DELAY).as_secs_f64() * 1000.0).ceil();
        Self { id: set_timeout(&callback.0, milliseconds) }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        clear_timeout(&self.id);
    }
}
