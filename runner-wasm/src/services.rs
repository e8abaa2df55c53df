//! The services that the page offers, and who waits for the relay's answer to each.

use std::cell::RefCell;
use std::mem;

use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::dialect::{Proto, StreamHeader};
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::UnixTime;
use js_sys::Function;
use wasm_bindgen::JsValue;

/// The service's public URL, which a private one does not have; or why it was refused.
pub(crate) type BindResult = Result<Option<String>, JsValue>;

/// One offered service.
struct Offered {
    name: String,
    proto: Proto,
    access: Access,
    /// `(stream, from) => void`.
    handler: Function,
}

/// Somebody who waits for the answer to a bind, and the functions that settle its promise.
struct Pending {
    name: String,
    resolve: Function,
    reject: Function,
}

/// The table of offered services. A page has few, so that a list does.
#[derive(Default)]
pub(crate) struct Services {
    offered: RefCell<Vec<Offered>>,
    pending: RefCell<Vec<Pending>>,
}

impl Services {
    /// Adds a service, or replaces the one of this name.
    pub(crate) fn add(&self, name: String, proto: Proto, access: Access, handler: Function) {
        self.withdraw(&name);
        self.offered.borrow_mut().push(Offered { name, proto, access, handler });
    }

    /// Has a promise settled by the answer to the bind of a service.
    pub(crate) fn wait(&self, name: String, resolve: Function, reject: Function) {
        self.pending.borrow_mut().push(Pending { name, resolve, reject });
    }

    /// Removes a service. Who waits for its bind goes on waiting.
    pub(crate) fn withdraw(&self, name: &str) {
        self.offered.borrow_mut().retain(|offered| offered.name != name);
    }

    /// Passes the result of a bind to all who wait for it. Returns whether anybody did.
    pub(crate) fn resolve(&self, name: &str, result: &BindResult) -> bool {
        let (taken, kept) = mem::take(&mut *self.pending.borrow_mut())
            .into_iter()
            .partition::<Vec<Pending>, _>(|pending| pending.name == name);
        *self.pending.borrow_mut() = kept;
        taken.iter().for_each(|pending| pending.settle(result));
        !taken.is_empty()
    }

    /// The handler of the service that a stream is for, and what the service's streams carry, if its peer may use it: a visitor,
    /// an identity, `owner`, whose services these are, or somebody who acts by a delegation of it.
    pub(crate) fn handler(
        &self,
        header: &StreamHeader,
        owner: Address,
        now: UnixTime,
    ) -> Option<(Function, Proto)> {
        let offered = self.offered.borrow();
        let found = offered.iter().find(|offered| offered.name == header.service)?;
        let is_let_in =
            found.access.admits(header.from) || header.is_from(owner) || header.is_delegated_by(owner, now);
        is_let_in.then(|| (found.handler.clone(), found.proto))
    }

    /// Removes all services, and rejects all waits with `error`.
    pub(crate) fn clear(&self, error: &JsValue) {
        self.offered.borrow_mut().clear();
        let refused = Err(error.clone());
        mem::take(&mut *self.pending.borrow_mut()).iter().for_each(|pending| pending.settle(&refused));
    }
}

impl Pending {
    fn settle(&self, result: &BindResult) {
        let (function, value) = match result {
            Ok(url) => (&self.resolve, url.as_deref().map_or(JsValue::UNDEFINED, JsValue::from_str)),
            Err(error) => (&self.reject, error.clone()),
        };
        // The functions of a promise do not throw.
        let _settled = function.call1(&JsValue::UNDEFINED, &value);
    }
}
