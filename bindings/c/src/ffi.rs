//! What C calls. The header is made of this file, so its comments are for those who write C.
//!
//! Every `unsafe` block here does one of four things with a pointer of the caller: it looks at a handle, reads a text, writes a
//! result, or takes back what it gave. All rest on what the header demands: a pointer is NULL, or what an earlier call gave
//! and was not freed since; a text ends with a NUL; a place for a result can be written. What can be checked, NULL and UTF-8,
//! is. No reference outlives the call that made it. Handles are `Sync`, so calls at the same time are in order, and whoever frees a
//! handle must know that no other call has it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::ptr;
use std::time::Duration;

use crate::agent::Agent;
use crate::error::{self, Error, c_text};
use crate::event_queue::{Next, Wait};
use crate::identity::Identity;
use crate::outcome::{HvymTunnelResult, guarded};
use crate::relay::Relay;
use crate::running::Running;

/// Called with each event, a JSON object with its kind in the member "event", and for the last time with NULL. The text is gone
/// when the call returns. It must not throw, nor leave by longjmp.
pub type EventCallback = Option<unsafe extern "C" fn(event: *const c_char, user_data: *mut c_void)>;

/// What the caller gave along with a callback.
struct UserData(*mut c_void);

// SAFETY: it is never looked at here, and the header says on which thread the callback gets it.
unsafe impl Send for UserData {}

impl UserData {
    /// A method, so that a closure captures the whole and not the pointer.
    fn pointer(&self) -> *mut c_void {
        self.0
    }
}

/// The handle, which may be looked at until the call returns.
unsafe fn handle<'a, T>(pointer: *const T) -> Result<&'a T, Error> {
    // SAFETY: it is NULL, or was given by a call and not freed.
    unsafe { pointer.as_ref() }.ok_or_else(|| null("the handle"))
}

/// The text, which may be read until the call returns.
unsafe fn text<'a>(pointer: *const c_char, what: &str) -> Result<&'a str, Error> {
    if pointer.is_null() {
        return Err(null(what));
    }
    // SAFETY: it is not NULL, and ends with a NUL.
    error::utf8(unsafe { CStr::from_ptr(pointer) }, what)
}

/// Takes the place for a result, which is NULL from now on.
unsafe fn place<T>(out: *mut *mut T) -> Result<Place<T>, Error> {
    if out.is_null() {
        return Err(null("the place for the result"));
    }
    // SAFETY: it is not NULL, and can be written.
    unsafe { out.write(ptr::null_mut()) };
    Ok(Place(out))
}

/// A place for a result that can be written until the call returns.
struct Place<T>(*mut *mut T);

impl<T> Place<T> {
    fn put(self, value: T) {
        // SAFETY: `place` found that it can be written, and the call has not returned.
        unsafe { self.0.write(Box::into_raw(Box::new(value))) };
    }
}

impl Place<c_char> {
    fn put_text(self, text: CString) {
        // SAFETY: as above.
        unsafe { self.0.write(text.into_raw()) };
    }
}

/// Frees a handle; NULL is nothing.
unsafe fn free<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: a call gave it, made by `Box::into_raw`, and nobody uses it any more.
        let owned = unsafe { Box::from_raw(pointer) };
        let _panicked = catch_unwind(AssertUnwindSafe(|| drop(owned)));
    }
}

fn null(what: &str) -> Error {
    Error::invalid(format!("{what} is NULL"))
}

/// Calls `call` with a handle.
unsafe fn with<T>(pointer: *const T, call: impl FnOnce(&T) -> Result<(), Error>) -> HvymTunnelResult {
    // SAFETY: as the module says.
    guarded(|| call(unsafe { handle(pointer) }?).map(|()| HvymTunnelResult::Ok))
}

/// Puts the text that a handle has; `None`: it is not there yet.
unsafe fn put_text<T>(
    pointer: *const T,
    out: *mut *mut c_char,
    text: impl FnOnce(&T) -> Result<Option<String>, Error>,
) -> HvymTunnelResult {
    guarded(|| {
        // SAFETY: as the module says.
        let (out, handle) = unsafe { (place(out)?, handle(pointer)?) };
        let Some(text) = text(handle)? else { return Ok(HvymTunnelResult::NotYet) };
        out.put_text(c_text(text));
        Ok(HvymTunnelResult::Ok)
    })
}

/// Puts the handle that `start` makes of two arguments.
unsafe fn start<T>(
    out: *mut *mut T,
    identity: *const Identity,
    settings: *const c_char,
    start: impl FnOnce(&Identity, &str) -> Result<T, Error>,
) -> HvymTunnelResult {
    guarded(|| {
        // SAFETY: as the module says.
        let (out, identity, settings) =
            unsafe { (place(out)?, handle(identity)?, text(settings, "the text of settings")?) };
        out.put(start(identity, settings)?);
        Ok(HvymTunnelResult::Ok)
    })
}

unsafe fn next_event<T: Running>(
    pointer: *const T,
    seconds: f64,
    event: *mut *mut c_char,
) -> HvymTunnelResult {
    guarded(|| {
        // SAFETY: as the module says.
        let (out, running) = unsafe { (place(event)?, handle(pointer)?) };
        Ok(match running.events().next(running.runtime(), Wait::from_seconds(seconds)?) {
            Next::Event(event) => {
                out.put_text(event);
                HvymTunnelResult::Ok
            }
            Next::NotYet => HvymTunnelResult::NotYet,
            Next::Ended => HvymTunnelResult::Ended,
        })
    })
}

unsafe fn event_fd<T: Running>(pointer: *const T) -> c_int {
    // SAFETY: as the module says.
    match unsafe { handle(pointer) } {
        #[cfg(unix)]
        Ok(running) => running.events().descriptor(),
        _ => -1,
    }
}

unsafe fn on_event<T: Running>(
    pointer: *const T,
    callback: EventCallback,
    user_data: *mut c_void,
) -> HvymTunnelResult {
    let call = |running: &T| {
        let callback = callback.ok_or_else(|| null("the callback"))?;
        let user_data = UserData(user_data);
        running.events().call(move |event| {
            let event = event.map_or(ptr::null(), CStr::as_ptr);
            // SAFETY: it is a function of the caller, who vouches for what it does with what it gave along.
            unsafe { callback(event, user_data.pointer()) };
        })
    };
    // SAFETY: as the module says.
    unsafe { with(pointer, call) }
}

unsafe fn drain<T: Running>(pointer: *const T, seconds: f64) -> HvymTunnelResult {
    let deadline = Duration::try_from_secs_f64(seconds).map_err(Error::invalid);
    // SAFETY: as the module says.
    unsafe { with(pointer, |running| deadline.map(|deadline| running.drain(deadline))) }
}

unsafe fn stop<T: Running>(pointer: *const T) -> HvymTunnelResult {
    let stop = |running: &T| {
        running.stop();
        Ok(())
    };
    // SAFETY: as the module says.
    unsafe { with(pointer, stop) }
}

unsafe fn wait<T: Running>(pointer: *const T, seconds: f64) -> HvymTunnelResult {
    guarded(|| {
        // SAFETY: as the module says.
        let running = unsafe { handle(pointer) }?;
        Ok(match running.closed(Wait::from_seconds(seconds)?)? {
            true => HvymTunnelResult::Ok,
            false => HvymTunnelResult::NotYet,
        })
    })
}

/// The version of the library. Not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn hvym_tunnel_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}

/// The last error of this thread as a word that programs may rely on, as "settings" or "unreachable"; empty before the first.
/// Good until the next call of this thread, and not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn hvym_tunnel_error_code() -> *const c_char {
    error::last_code()
}

/// The last error of this thread as a sentence for people, which holds no secret; empty before the first. Good until the next
/// call of this thread, and not to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn hvym_tunnel_error_message() -> *const c_char {
    error::last_message()
}

/// Frees a text that a call put into a place for a result. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_string_free(string: *mut c_char) {
    if !string.is_null() {
        // SAFETY: a call gave it, made by `CString::into_raw`, and nobody uses it any more.
        drop(unsafe { CString::from_raw(string) });
    }
}

/// A new key pair from the system's randomness.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_identity_generate(identity: *mut *mut Identity) -> HvymTunnelResult {
    guarded(|| {
        // SAFETY: as the module says.
        let out = unsafe { place(identity) }?;
        out.put(Identity::generate()?);
        Ok(HvymTunnelResult::Ok)
    })
}

/// The key pair of a secret seed, "S...".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_identity_from_secret(
    secret: *const c_char,
    identity: *mut *mut Identity,
) -> HvymTunnelResult {
    guarded(|| {
        // SAFETY: as the module says.
        let (out, secret) = unsafe { (place(identity)?, text(secret, "the secret")?) };
        out.put(Identity::from_secret(secret)?);
        Ok(HvymTunnelResult::Ok)
    })
}

/// The key pair in a file that only its owner may read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_identity_load(
    path: *const c_char,
    identity: *mut *mut Identity,
) -> HvymTunnelResult {
    guarded(|| {
        // SAFETY: as the module says.
        let (out, path) = unsafe { (place(identity)?, text(path, "the path")?) };
        out.put(Identity::load(Path::new(path))?);
        Ok(HvymTunnelResult::Ok)
    })
}

/// Writes the secret to a file that only its owner may read; with replace, in place of the one that is there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_identity_save(
    identity: *const Identity,
    path: *const c_char,
    replace: bool,
) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { with(identity, |identity| identity.save(Path::new(text(path, "the path")?), replace)) }
}

/// The public half, "G...", to be freed by hvym_tunnel_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_identity_address(
    identity: *const Identity,
    address: *mut *mut c_char,
) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { put_text(identity, address, |identity| Ok(Some(identity.key.address().to_string()))) }
}

/// Frees a key pair. Agents and relays that were started with it go on. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_identity_free(identity: *mut Identity) {
    // SAFETY: as the module says.
    unsafe { free(identity) };
}

/// Starts an agent, which dials at once and whenever its link is lost.
///
/// The settings are a JSON object: "link" (of which "relay" is needed), "services" (each with "name" and "target"), and where wanted
/// "names" and "login" ("system", "token", "force"). The members of each group are those of the Rust library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_agent_start(
    identity: *const Identity,
    settings: *const c_char,
    agent: *mut *mut Agent,
) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { start(agent, identity, settings, Agent::start) }
}

/// Where a service is reached, to be freed by hvym_tunnel_string_free; the first service if its name is NULL.
/// HVYM_TUNNEL_RESULT_NOT_YET before the relay has taken it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_agent_url(
    agent: *const Agent,
    service: *const c_char,
    url: *mut *mut c_char,
) -> HvymTunnelResult {
    let find = |agent: &Agent| {
        // SAFETY: as the module says.
        let name = (!service.is_null()).then(|| unsafe { text(service, "the name") }).transpose()?;
        agent.url(name)
    };
    // SAFETY: as the module says.
    unsafe { put_text(agent, url, find) }
}

/// How things stand, as a JSON object, to be freed by hvym_tunnel_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_agent_status(
    agent: *const Agent,
    status: *mut *mut c_char,
) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { put_text(agent, status, |agent| Ok(Some(agent.status()))) }
}

/// Offers one more service, a JSON object with "name" and "target"; with replace, in place of the one of its name. The event
/// "service_bound" says where it is reached.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_agent_bind(
    agent: *const Agent,
    service: *const c_char,
    replace: bool,
) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { with(agent, |agent| agent.bind(text(service, "the service")?, replace)) }
}

/// Withdraws a service; what is under way finishes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_agent_unbind(
    agent: *const Agent,
    name: *const c_char,
) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { with(agent, |agent| agent.unbind(text(name, "the name")?)) }
}

/// The next event, to be freed by hvym_tunnel_string_free: waits for at most this many seconds, not at all with 0, and as long as
/// it takes if they are negative. Each event goes to one reader, and to no other. HVYM_TUNNEL_RESULT_ENDED after the last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_agent_next_event(
    agent: *const Agent,
    seconds: f64,
    event: *mut *mut c_char,
) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { next_event(agent, seconds, event) }
}

/// A descriptor for poll and its kin: readable while there is an event, or none any more. Only to be waited for, never to be
/// read or closed; good until the agent is freed. -1 on systems without, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_agent_event_fd(agent: *const Agent) -> c_int {
    // SAFETY: as the module says.
    unsafe { event_fd(agent) }
}

/// Hands each event to a callback, in order, on a thread that calls nothing else. After the last event, or when the agent is freed, it
/// is called with NULL and then no more. The callback may free the agent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_agent_on_event(
    agent: *const Agent,
    callback: EventCallback,
    user_data: *mut c_void,
) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { on_event(agent, callback, user_data) }
}

/// Takes nothing new, and ends when no request runs any more, at the latest after this many seconds. Does not wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_agent_drain(agent: *const Agent, seconds: f64) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { drain(agent, seconds) }
}

/// Ends at once; requests are cut off. Does not wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_agent_stop(agent: *const Agent) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { stop(agent) }
}

/// Waits for the end, as hvym_tunnel_agent_next_event waits. HVYM_TUNNEL_RESULT_FAILED if it was not asked to end: the error says
/// why it did.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_agent_wait(agent: *const Agent, seconds: f64) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { wait(agent, seconds) }
}

/// Frees an agent, which ends at once: drain it and wait before, for requests to finish. Waits for its callback, unless the callback
/// calls it. NULL is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_agent_free(agent: *mut Agent) {
    // SAFETY: as the module says.
    unsafe { free(agent) };
}

/// Starts a relay, which listens at once. The options are a JSON object of the groups of the Rust library: "{}" is a relay for this
/// machine, {"ingress": {"listen": "127.0.0.1:0"}} one at a free port.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_relay_start(
    identity: *const Identity,
    options: *const c_char,
    relay: *mut *mut Relay,
) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { start(relay, identity, options, Relay::start) }
}

/// Where agents dial, to be freed by hvym_tunnel_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_relay_agent_url(
    relay: *const Relay,
    url: *mut *mut c_char,
) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { put_text(relay, url, |relay| Ok(Some(relay.agent_url()))) }
}

/// Where it is reached, and its counters, as a JSON object, to be freed by hvym_tunnel_string_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_relay_status(
    relay: *const Relay,
    status: *mut *mut c_char,
) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { put_text(relay, status, |relay| Ok(Some(relay.status()))) }
}

/// Takes over other options while it runs, as far as they can change then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_relay_apply(
    relay: *const Relay,
    options: *const c_char,
) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { with(relay, |relay| relay.apply(text(options, "the text of options")?)) }
}

/// As hvym_tunnel_agent_next_event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_relay_next_event(
    relay: *const Relay,
    seconds: f64,
    event: *mut *mut c_char,
) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { next_event(relay, seconds, event) }
}

/// As hvym_tunnel_agent_event_fd.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_relay_event_fd(relay: *const Relay) -> c_int {
    // SAFETY: as the module says.
    unsafe { event_fd(relay) }
}

/// As hvym_tunnel_agent_on_event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_relay_on_event(
    relay: *const Relay,
    callback: EventCallback,
    user_data: *mut c_void,
) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { on_event(relay, callback, user_data) }
}

/// As hvym_tunnel_agent_drain; agents are told to connect elsewhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_relay_drain(relay: *const Relay, seconds: f64) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { drain(relay, seconds) }
}

/// As hvym_tunnel_agent_stop.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_relay_stop(relay: *const Relay) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { stop(relay) }
}

/// Waits for the end, as hvym_tunnel_agent_next_event waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_relay_wait(relay: *const Relay, seconds: f64) -> HvymTunnelResult {
    // SAFETY: as the module says.
    unsafe { wait(relay, seconds) }
}

/// As hvym_tunnel_agent_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hvym_tunnel_relay_free(relay: *mut Relay) {
    // SAFETY: as the module says.
    unsafe { free(relay) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_may_be_used_by_several_threads() {
        fn is_sync<T: Send + Sync>() {}
        is_sync::<Agent>();
        is_sync::<Relay>();
        is_sync::<Identity>();
    }
}
