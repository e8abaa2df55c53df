//! The example of a signer, asked as the agent asks it.
#![cfg(unix)]

#[allow(dead_code)]
#[path = "../examples/signer.rs"]
mod signer;

use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use hvym_tunnel_core::stellar::{Address, Claims};
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_net::external_signer::{ExternalSigner, SignerError, SignerPlace};
use hvym_tunnel_net::signer::Signer;

static AGREES: AtomicBool = AtomicBool::new(true);

#[test]
fn the_example_signs_what_its_owner_agrees_to() {
    let path = std::env::temp_dir().join(format!("hvym-tunnel-signer-{}", std::process::id()));
    let _before = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a folder takes a socket");
    let key = SigningKey::from_bytes(&[7; 32]);
    let address = Address::from_public_key(key.verifying_key().to_bytes());
    std::thread::spawn(move || signer::serve(&listener, &key, |_| AGREES.load(Ordering::SeqCst)));

    let connect = || ExternalSigner::connect(SignerPlace::Socket(path.clone())).expect("it answers");
    assert_eq!((connect().address(), connect().delegate_for()), (address, Some(Duration::from_secs(86_400))));
    let input = Claims::new(address, address.to_string(), UnixTime::from_secs(1)).signing_input();
    let each_time = Signer::asked_each_time(connect());
    let signature = each_time.sign(&input).expect("its owner agrees");
    assert!(input.clone().into_token(signature).is_ok(), "another key signed");

    let once = Signer::external(connect(), Some("tunnel.example".to_owned())).expect("it delegates");
    let delegation = &once.delegation().expect("one").delegation;
    assert_eq!((once.address(), delegation.relay.as_deref()), (address, Some("tunnel.example")));
    assert_eq!(
        (delegation.key, delegation.until.as_secs() - delegation.from.as_secs()),
        (once.key_address(), 86_400)
    );

    AGREES.store(false, Ordering::SeqCst);
    let refused = Err(SignerError::Refused("the owner said no".to_owned()));
    assert_eq!(each_time.sign(&input), refused);
    assert_eq!(Signer::external(connect(), None).map(drop), refused.map(drop));
    std::fs::remove_file(path).expect("it was ours");
}
