//! The signatures that an agent's logins wait for: made at once, or by another program, which may ask a person.

use std::future::pending;
use std::pin::Pin;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hvym_tunnel_core::stellar::{Signature, SigningInput};
use hvym_tunnel_net::signer::Signer;

/// What was to be signed, and its signature; `None` is a no.
pub(crate) type Answer = (SigningInput, Option<Signature>);

/// A signer, and what it was asked.
pub(crate) struct Signatures {
    signer: Signer,
    /// What another program has not answered.
    open: FuturesUnordered<Pin<Box<dyn Future<Output = Answer> + Send>>>,
}

impl Signatures {
    pub(crate) fn new(signer: Signer) -> Self {
        Self { signer, open: FuturesUnordered::new() }
    }

    /// Has `input` signed: the answer, or `None` if it comes by [`Self::next`].
    pub(crate) fn ask(&mut self, input: SigningInput) -> Option<Answer> {
        if let Some(identity) = self.signer.identity() {
            let signature = identity.sign(&input);
            return Some((input, Some(signature)));
        }
        let signer = self.signer.clone();
        self.open.push(Box::pin(smol::unblock(move || {
            let signature = signer.sign(&input);
            let signature = signature.inspect_err(|error| tracing::warn!(%error, "the login is not signed"));
            (input, signature.ok())
        })));
        None
    }

    /// Whether another program has not answered.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.open.is_empty()
    }

    /// The next answer of another program. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Answer {
        match self.open.next().await {
            Some(answer) => answer,
            None => pending().await,
        }
    }
}
