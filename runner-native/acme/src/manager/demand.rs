//! What handshakes want of the manager: the certificate of a host, and to be told when its order has ended.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use rustls::sign::CertifiedKey;
use smol::channel::{Receiver, Sender, bounded};

use crate::table::CertificateTable;

/// Demands that are not looked at yet. The manager looks at once; beyond this a handshake fails.
pub(super) const MAX_DEMANDS: usize = 256;
/// Handshakes that wait for one certificate. Browsers try again.
const MAX_WAITING: usize = 256;

/// A wish of somebody.
pub(super) enum Demand {
    /// The certificate of this host; the sender is dropped when it is there or will not be soon.
    Host(String, Sender<Infallible>),
    /// What failed is tried again.
    Retry,
}

/// The certificates in use. Clones share them.
#[derive(Clone, Debug)]
pub struct Certificates {
    domain: Arc<str>,
    table: Arc<CertificateTable>,
    demands: Sender<Demand>,
}

impl Certificates {
    pub(super) fn new(domain: String, table: Arc<CertificateTable>, demands: Sender<Demand>) -> Self {
        Self { domain: domain.into(), table, demands }
    }

    /// The certificate for `host`, lower case; for nobody in particular that of the domain.
    pub fn certificate(&self, host: Option<&str>) -> Option<Arc<CertifiedKey>> {
        self.table.certificate(host.unwrap_or(&self.domain))
    }

    /// The certificate that answers the challenge for `host`, to be shown to nobody but who speaks
    /// [`ACME_TLS_ALPN`](crate::ACME_TLS_ALPN).
    pub fn challenge(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        self.table.challenge(host)
    }

    /// Orders a certificate for `host`, lower case, if there is none and the host is in use. `None`: there is nothing to wait for.
    pub fn order(&self, host: &str) -> Option<OrderWait> {
        if self.table.certificate(host).is_some() {
            return None;
        }
        let (sender, receiver) = bounded(1);
        self.demands.try_send(Demand::Host(host.to_owned(), sender)).ok()?;
        Some(OrderWait(receiver))
    }

    /// Orders at once what failed before and waits, within the budgets.
    pub fn retry(&self) {
        // Full: so many demands are looked at right now that the operator can ask again.
        let _sent = self.demands.try_send(Demand::Retry);
    }
}

/// An order that was begun, or joined.
pub struct OrderWait(Receiver<Infallible>);

impl OrderWait {
    /// Waits until it has ended, one way or the other. Some seconds, if the certificate authority is in good health.
    pub async fn ended(self) {
        let _closed = self.0.recv().await;
    }
}

/// Who waits for which certificate.
#[derive(Default)]
pub(super) struct Waiters(BTreeMap<String, Vec<Sender<Infallible>>>);

impl Waiters {
    pub(super) fn insert(&mut self, name: String, waiter: Sender<Infallible>) {
        let waiters = self.0.entry(name).or_default();
        // Those that gave up have dropped their end.
        waiters.retain(|waiter| !waiter.is_closed());
        if waiters.len() < MAX_WAITING {
            waiters.push(waiter);
        }
    }

    /// The order has ended.
    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_bounded_number_waits_for_one_certificate_until_its_order_has_ended() {
        let mut waiters = Waiters::default();
        let wait = |waiters: &mut Waiters| {
            let (sender, receiver) = bounded(1);
            waiters.insert("a".to_owned(), sender);
            OrderWait(receiver)
        };
        let mut waiting: Vec<OrderWait> = (0..MAX_WAITING).map(|_| wait(&mut waiters)).collect();
        assert!(wait(&mut waiters).ended().now_or_never().is_some());
        drop(waiting.pop());
        let last = wait(&mut waiters);
        assert!(pin_ended(&last).is_none());
        waiters.remove("a");
        assert!(waiting.iter().chain([&last]).all(|wait| pin_ended(wait).is_some()));
    }

    fn pin_ended(wait: &OrderWait) -> Option<()> {
        OrderWait(wait.0.clone()).ended().now_or_never()
    }

    #[test]
    fn a_demand_is_made_for_what_is_not_there_and_the_queue_is_bounded() {
        let (sender, receiver) = bounded(MAX_DEMANDS);
        let certificates = Certificates::new("t.test".to_owned(), Arc::default(), sender);
        let waits: Vec<_> = (0..MAX_DEMANDS).filter_map(|_| certificates.order("x.t.test")).collect();
        assert_eq!(waits.len(), MAX_DEMANDS);
        assert!(certificates.order("x.t.test").is_none());
        certificates.retry();
        assert_eq!(receiver.len(), MAX_DEMANDS);
        drop(receiver);
        assert!(certificates.order("x.t.test").is_none());
    }
}
