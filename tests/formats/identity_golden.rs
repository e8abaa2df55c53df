//! Keys, signatures and login tokens of fixed seeds, as stellar-sdk makes them. The same file is read by the tests of the Python
//! package, and by those of the browser package in Chromium and in Node.js.

use std::time::Duration;

use hvym_tunnel_core::stellar::Claims;
use hvym_tunnel_core::time::UnixTime;
use hvym_tunnel_tests::Key;
use hvym_tunnel_tests::golden::{golden, hex, list, text};

#[test]
fn a_seed_gives_the_same_key_signature_and_token_as_in_other_programs() {
    for vector in list(&golden("identity/vectors.json"), "vectors") {
        let key = Key::from_seed(hex(vector, "seed_hex"));
        assert_eq!(key.address().to_string(), text(vector, "address"));
        assert_eq!(key.secret().trim(), text(vector, "secret"));
        let message: [u8; 64] = hex(vector, "message_hex");
        assert_eq!(key.sign_bytes(&message).0, hex::<64>(vector, "signature_hex"));
        let number = |member: &str| vector[member].as_u64().expect("a number");
        let services = list_of_texts(&vector["services"]);
        let claims =
            Claims::new(key.address(), text(vector, "audience"), UnixTime::from_secs(number("issued_at")));
        let input = claims
            .with_services(services)
            .with_lifetime(Some(Duration::from_secs(number("lifetime"))))
            .with_challenge(text(vector, "challenge"))
            .signing_input();
        assert_eq!(input.as_bytes(), text(vector, "signing_input").as_bytes());
        let signature = key.sign(&input);
        assert_eq!(input.into_token(signature).expect("its own key").as_str(), text(vector, "token"));
    }
}

fn list_of_texts(list: &serde_json::Value) -> Vec<String> {
    serde_json::from_value(list.clone()).expect("a list of texts")
}
