//! The services that the page offers, and who waits for the relay's answer to each.

use std::cell::RefCell;
use std::mem;

use futures_channel::oneshot;
use hvym_tunnel_core::access::Access;
use hvym_tunnel_core::dialect::StreamHeader;
use hvym_tunnel_core::stellar::Address;
use hvym_tunnel_core::time::UnixTime;
use js_sys::Function;
use wasm_bindgen::JsValue;

/// The service's public URL, which a private one does not have; or why it was refused.
pub(crate) type BindResult = Result<Option<String>, JsValue>;

/// One offered service.
struct Offered {
    name: String,
    access: Access,
    /// `exchange => Promise<void>`.
    handler: Function,
}

/// The table of offered services. A page has few, so that a list does.
#[derive(Default)]
pub(crate) struct Services {
    offered: RefCell<Vec<Offered>>,
    pending: RefCell<Vec<(String, oneshot::Sender<BindResult>)>>,
}

impl Services {
    /// Adds a service, or replaces the one of this name. The receiver gets the result of its bind; it is cancelled when
    /// the service is withdrawn before.
    pub(crate) fn add(
        &self,
        name: String,
        access: Access,
        handler: Function,
    ) -> oneshot::Receiver<BindResult> {
        let (sender, receiver) = oneshot::channel();
        self.withdraw(&name);
        self.offered.borrow_mut().push(Offered { name: name.clone(), access, handler });
        self.pending.borrow_mut().push((name, sender));
        receiver
    }

    /// Removes a service. Who waits for its bind goes on waiting.
    pub(crate) fn withdraw(&self, name: &str) {
        self.offered.borrow_mut().retain(|offered| offered.name != name);
    }

    /// Cancels the waits for a bind.
    pub(crate) fn cancel(&self, name: &str) {
        drop(self.take_pending(name));
    }

    /// Passes the result of a bind to all who wait for it. Returns whether anybody did.
    pub(crate) fn resolve(&self, name: &str, result: &BindResult) -> bool {
        let pending = self.take_pending(name);
        let is_awaited = !pending.is_empty();
        for sender in pending {
            // The receiver may have been dropped.
            let _dropped = sender.send(result.clone());
        }
        is_awaited
    }

    /// The handler of the service that a stream is for, if its peer may use it: a visitor, an identity, `owner`, whose services
    /// these are, or somebody who acts by a delegation of it.
    pub(crate) fn handler(&self, header: &StreamHeader, owner: Address, now: UnixTime) -> Option<Function> {
        let offered = self.offered.borrow();
        let found = offered.iter().find(|offered| offered.name == header.service)?;
        let is_let_in =
            found.access.admits(header.from) || header.is_from(owner) || header.is_delegated_by(owner, now);
        is_let_in.then(|| found.handler.clone())
    }

    /// Removes all services, and rejects all waits with `error`.
    pub(crate) fn clear(&self, error: &JsValue) {
        self.offered.borrow_mut().clear();
        for (_, sender) in mem::take(&mut *self.pending.borrow_mut()) {
            // The receiver may have been dropped.
            let _dropped = sender.send(Err(error.clone()));
        }
    }

    fn take_pending(&self, name: &str) -> Vec<oneshot::Sender<BindResult>> {
        let mut pending = self.pending.borrow_mut();
        let (taken, kept) = mem::take(&mut *pending).into_iter().partition(|(known, _)| known == name);
        *pending = kept;
        let taken: Vec<(String, oneshot::Sender<BindResult>)> = taken;
        taken.into_iter().map(|(_, sender)| sender).collect()
    }
}
