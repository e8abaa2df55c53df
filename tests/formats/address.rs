//! Addresses under every input: which texts are one, and what a person is told about those that are not.

use hvym_tunnel_core::stellar::strkey::{self, StrkeyKind};
use hvym_tunnel_core::stellar::{Address, AddressError};
use hvym_tunnel_tests::Key;
use proptest::prelude::*;
use serde_json::json;
use stellar_strkey::ed25519::{PrivateKey, PublicKey};

/// A recorded seed that guards nothing.
const SECRET: &str = "SAMIDYOVEEFRF4GNLGXSH4DRWZKDTM3HZ3PGEHBJHQSJWS4FZLBJGGK4";

fn address() -> Address {
    Key::from_seed([7; 32]).address()
}

#[test]
fn a_wrong_address_is_refused_with_what_is_wrong_about_it() {
    let good = address().to_string();
    let mistyped = good.replacen(|c| c != 'A' && c != 'G', "A", 1);
    for (text, error) in [
        (SECRET.to_owned(), AddressError::SecretSeed),
        (SECRET.to_lowercase(), AddressError::SecretSeed),
        (format!(" {SECRET}\n"), AddressError::SecretSeed),
        (SECRET[..55].to_owned(), AddressError::SecretSeed),
        (
            "MDQXJMTXMLVWU7HZE57MP2YOCZ2MJHADOJYCIVL5FJVRA3SXXDMWWAAAAAAAAAAAACJCG".to_owned(),
            AddressError::Muxed,
        ),
        ("CAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABSC4".to_owned(), AddressError::Kind),
        (String::new(), AddressError::Empty),
        (format!("{good} "), AddressError::WhiteSpace),
        (format!("{good}A"), AddressError::Length(57)),
        ("é".repeat(28), AddressError::Length(28)),
        (good.to_lowercase(), AddressError::LowerCase),
        (good.replacen(|c| c != 'G', "0", 1), AddressError::Character),
        (mistyped, AddressError::Checksum),
    ] {
        assert_eq!(text.parse::<Address>(), Err(error), "{text}");
    }
}

#[test]
fn an_address_is_a_text_in_json() {
    let address = address();
    assert_eq!(serde_json::to_value(address).expect("a text"), json!(address.to_string()));
    assert_eq!(serde_json::from_value::<Address>(json!(address.to_string())).expect("an address"), address);
    assert!(serde_json::from_value::<Address>(json!(vec![0; 32])).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_label_in_any_case_names_the_same_address(key: [u8; 32], upper: u64) {
        let address = Address::from_public_key(key);
        let mixed: String = address
            .label()
            .chars()
            .enumerate()
            .map(|(at, c)| if upper >> at & 1 == 1 { c.to_ascii_uppercase() } else { c })
            .collect();
        prop_assert_eq!(Address::from_label(&mixed), Ok(address));
        prop_assert_eq!(address.to_string().parse(), Ok(address));
        prop_assert_eq!(address.public_key(), &key);
        prop_assert!(address.label().len() <= 63);
    }

    #[test]
    fn one_mistyped_character_never_names_another_address(key: [u8; 32], at in 0_usize..56, to in "[A-Z2-7]") {
        let good = Address::from_public_key(key).to_string();
        let mut bad = good.clone();
        bad.replace_range(at..=at, &to);
        prop_assume!(bad != good);
        prop_assert!(bad.parse::<Address>().is_err());
        prop_assert!(Address::from_label(&bad.to_lowercase()).is_err());
    }

    #[test]
    fn any_text_is_an_address_or_an_error(text in prop_oneof![".{0,80}", "[GSMgs][A-Z2-7]{55}", "\\PC{50,70}"]) {
        if let Ok(address) = text.parse::<Address>() {
            prop_assert_eq!(address.to_string(), text.clone());
        }
        let _either = Address::from_label(&text);
    }
}

proptest! {
    #[test]
    fn strkeys_are_spelled_as_the_usual_library_spells_them(key: [u8; 32], at in 0_usize..56, with in "[A-Z2-7a-z0-9=]") {
        let account = String::from_utf8(strkey::encode(StrkeyKind::Account, &key).to_vec()).expect("ASCII");
        let seed = String::from_utf8(strkey::encode(StrkeyKind::Seed, &key).to_vec()).expect("ASCII");
        prop_assert!(account == PublicKey(key).to_string().as_str());
        prop_assert!(seed == PrivateKey(key).as_unredacted().to_string().as_str());
        prop_assert_eq!(strkey::decode(StrkeyKind::Account, account.as_bytes()), Some(key));
        prop_assert_eq!(strkey::decode(StrkeyKind::Seed, seed.as_bytes()), Some(key));
        prop_assert_eq!(strkey::decode(StrkeyKind::Seed, account.as_bytes()), None);
        let mut mistyped = account;
        mistyped.replace_range(at..=at, &with);
        let usual = PublicKey::from_string(&mistyped).ok().map(|key| key.0);
        prop_assert_eq!(strkey::decode(StrkeyKind::Account, mistyped.as_bytes()), usual);
    }
}
