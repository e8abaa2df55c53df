//! Lists of agents: any text is read or refused with its place, and what is read is written as it was.

use hvym_tunnel_core::relay::AgentList;
use hvym_tunnel_tests::Key;
use proptest::prelude::*;

/// Lines that are nearly right, and anything at all.
fn line() -> impl Strategy<Value = String> {
    let option = prop_oneof![
        Just("tcp-ports=".to_owned()),
        Just("max-services=".to_owned()),
        Just("rate=".to_owned()),
        Just("names=".to_owned()),
        any::<String>(),
    ];
    let value = prop_oneof![
        any::<u32>().prop_map(|number| number.to_string()),
        Just("abc,def".to_owned()),
        any::<String>(),
    ];
    let options = prop::collection::vec((option, value).prop_map(|(option, value)| option + &value), 0..4);
    let address = prop_oneof![
        any::<u8>().prop_map(|seed| Key::from_seed([seed; 32]).address().to_string()),
        any::<String>(),
    ];
    (address, options, prop::sample::select(vec![" ", "\t", "  ", "\u{a0}", " # "]))
        .prop_map(|(address, options, space)| [&[address], options.as_slice()].concat().join(space))
}

proptest! {
    #[test]
    fn any_text_is_a_list_or_names_the_place_of_its_mistake(
        lines in prop::collection::vec(line(), 0..6),
    ) {
        let text = lines.join("\n");
        match text.parse::<AgentList>() {
            Ok(list) => {
                let written: Vec<String> = list.iter().map(ToString::to_string).collect();
                prop_assert_eq!(written.join("\n").parse::<AgentList>().ok(), Some(list));
            }
            Err(error) => {
                let line = text.lines().nth(error.line - 1);
                prop_assert!(line.is_some_and(|line| error.column <= line.chars().count() + 1), "{error}");
                prop_assert!(error.column > 0);
            }
        }
    }
}
