//! What a person's wallet signs to sign in: a text with a time and a code, which was made here and is taken once.
//!
//! Nothing is kept of a text that nobody signs, so whoever asks for many costs nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use hvym_tunnel_core::stellar::delegation::SignatureForm;
use hvym_tunnel_core::stellar::{Address, Signature};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_net::clock::seed;
use ring::digest::{SHA256, digest};
use ring::hmac;
use thiserror::Error;

/// How long a person may take to look at the text and to sign it.
const LIFETIME: Duration = Duration::from_secs(5 * 60);
/// Random bytes of a code.
const NONCE_BYTES: usize = 16;
/// Characters of a text that is looked at. One has 250 and the domain.
const MAX_CHARACTERS: usize = 1024;
/// Codes that were used within [`LIFETIME`], about 100 bytes each. Operators sign in beyond it: there are few.
const MAX_USED: usize = 10_000;

/// What is wrong with a signed text.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum ChallengeError {
    #[error("this text was not made here, or not for this relay")]
    Foreign,
    #[error("the text is too old: ask for another")]
    Old,
    #[error("this signature was used already")]
    Used,
    #[error("the signature is not one of that address")]
    Forged,
    #[error("too many sign in: try again in some minutes")]
    Busy,
}

/// A text that was made here and is signed, which nobody has taken yet.
pub(crate) struct SignedChallenge {
    nonce: String,
    /// When it is too old.
    end: u64,
}

/// Makes texts, and remembers which were taken.
pub(crate) struct Challenges {
    key: hmac::Key,
    /// The codes, with the end of their time.
    used: Mutex<BTreeMap<String, u64>>,
}

impl Default for Challenges {
    /// With a key that nobody knows.
    fn default() -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &seed()), used: Mutex::default() }
    }
}

impl Challenges {
    /// A text to be signed for the console at `url` of the relay `relay`.
    pub(crate) fn text(&self, url: &str, relay: &Address, now: UnixTime) -> String {
        let nonce = Base64UrlUnpadded::encode_string(&seed()[..NONCE_BYTES]);
        self.text_of(url, relay, now.as_secs(), &nonce)
    }

    fn text_of(&self, url: &str, relay: &Address, time: u64, nonce: &str) -> String {
        let start = format!(
            "Sign in to the console of a relay.\n\nConsole: {url}\nRelay: {relay}\nTime: {time}\nCode: {nonce}."
        );
        let tag = hmac::sign(&self.key, start.as_bytes());
        start + &Base64UrlUnpadded::encode_string(&tag.as_ref()[..NONCE_BYTES])
    }

    /// Whether `text` was made here a moment ago and `by` has signed it, as wallets do (SEP-53).
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn check(
        &self,
        (url, relay): (&str, &Address),
        text: &str,
        by: Address,
        signature: &[u8],
        now: UnixTime,
    ) -> Result<SignedChallenge, ChallengeError> {
        let (time, nonce) = parts(text).ok_or(ChallengeError::Foreign)?;
        let own = self.text_of(url, relay, time, nonce);
        // Both are hashed, so that the time does not tell how much of the code is right.
        if digest(&SHA256, own.as_bytes()).as_ref() != digest(&SHA256, text.as_bytes()).as_ref() {
            return Err(ChallengeError::Foreign);
        }
        let end = time.saturating_add(LIFETIME.as_secs());
        if !(time..end).contains(&now.as_secs()) {
            return Err(ChallengeError::Old);
        }
        let signature = signature.try_into().map(Signature).map_err(|_| ChallengeError::Forged)?;
        if !SignatureForm::Sep53.is_signed(by, text, &signature) {
            return Err(ChallengeError::Forged);
        }
        Ok(SignedChallenge { nonce: nonce.to_owned(), end })
    }

    /// Takes a signed text, once; for an operator whatever others do.
    ///
    /// # Errors
    /// [`ChallengeError::Used`], [`ChallengeError::Busy`]
    pub(crate) fn take(
        &self,
        signed: SignedChallenge,
        is_operator: bool,
        now: UnixTime,
    ) -> Result<(), ChallengeError> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, end| *end > now.as_secs());
        if used.contains_key(&signed.nonce) {
            return Err(ChallengeError::Used);
        }
        if used.len() >= MAX_USED && !is_operator {
            return Err(ChallengeError::Busy);
        }
        used.insert(signed.nonce, signed.end);
        Ok(())
    }
}

/// The time and the random part of the code.
fn parts(text: &str) -> Option<(u64, &str)> {
    if text.len() > MAX_CHARACTERS {
        return None;
    }
    let (rest, code) = text.rsplit_once("\nCode: ")?;
    let (_, time) = rest.rsplit_once("\nTime: ")?;
    Some((time.parse().ok()?, code.split_once('.')?.0))
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    const URL: &str = "https://tunnel.example/console/";
    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    struct Wallet(Ed25519KeyPair);

    impl Wallet {
        fn new(seed: u8) -> Self {
            Self(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed of 32 bytes"))
        }

        fn address(&self) -> Address {
            Address::from_public_key(self.0.public_key().as_ref().try_into().expect("32 bytes"))
        }

        fn sign(&self, text: &str) -> Vec<u8> {
            let hash = digest(&SHA256, format!("Stellar Signed Message:\n{text}").as_bytes());
            self.0.sign(hash.as_ref()).as_ref().to_vec()
        }
    }

    #[test]
    fn a_text_is_taken_once_in_its_time_with_the_signature_of_its_signer() {
        let (challenges, relay) = (Challenges::default(), Address::from_public_key([9; 32]));
        let (wallet, other) = (Wallet::new(1), Wallet::new(2));
        let text = challenges.text(URL, &relay, NOW);
        let check = |text: &str, by: &Wallet, signature: Vec<u8>, at: u64| {
            let now = UnixTime::from_secs(NOW.as_secs() + at);
            let signed = challenges.check((URL, &relay), text, by.address(), &signature, now)?;
            challenges.take(signed, false, now)
        };
        assert_eq!(check(&text, &wallet, other.sign(&text), 0), Err(ChallengeError::Forged));
        let end = LIFETIME.as_secs();
        assert_eq!(check(&text, &wallet, wallet.sign(&text), end), Err(ChallengeError::Old));
        assert_eq!(check(&text, &wallet, wallet.sign(&text), end - 1), Ok(()));
        assert_eq!(check(&text, &wallet, wallet.sign(&text), 0), Err(ChallengeError::Used));
    }

    #[test]
    fn so_many_codes_are_remembered_and_operators_sign_in_all_the_same() {
        let challenges = Challenges::default();
        let take = |nonce: usize, is_operator, now| {
            let signed = SignedChallenge { nonce: nonce.to_string(), end: NOW.as_secs() + 1 };
            challenges.take(signed, is_operator, now)
        };
        assert!((0..MAX_USED).all(|nonce| take(nonce, false, NOW) == Ok(())));
        assert_eq!(take(MAX_USED, false, NOW), Err(ChallengeError::Busy));
        assert_eq!((take(0, true, NOW), take(MAX_USED, true, NOW)), (Err(ChallengeError::Used), Ok(())));
        let later = UnixTime::from_secs(NOW.as_secs() + 1);
        assert_eq!(take(MAX_USED + 1, false, later), Ok(()), "they are forgotten");
    }

    #[test]
    fn a_text_of_another_relay_or_with_another_time_is_not_taken() {
        let (challenges, relay) = (Challenges::default(), Address::from_public_key([9; 32]));
        let wallet = Wallet::new(1);
        let ours = challenges.text(URL, &relay, NOW);
        let later = ours.replace("Time: 1800000000", "Time: 1800000200");
        assert_ne!(later, ours);
        for text in [
            Challenges::default().text(URL, &relay, NOW),
            challenges.text("https://evil.example/console/", &relay, NOW),
            challenges.text(URL, &wallet.address(), NOW),
            later,
            format!("{ours}A"),
            format!("x{ours}"),
            String::new(),
            "\nTime: 1\nCode: .".to_owned(),
            ours.repeat(9),
        ] {
            let checked = challenges.check((URL, &relay), &text, wallet.address(), &wallet.sign(&text), NOW);
            assert_eq!(checked.err(), Some(ChallengeError::Foreign), "{text}");
        }
    }
}
