//! Wrong keys of the operator: whoever guesses is slowed, and the operator reads of it.

use hvym_tunnel_tests::guests::relay_with;

use super::asking::ask;

const CONFIG: &str = "[tunely]\nadmin_key = \"the-operators-own-key\"\n";

#[test]
fn thousands_of_guesses_of_the_operators_key_are_slowed_to_a_crawl() {
    let mut relay = relay_with(CONFIG, &[]);
    let (mut looked_at, mut refused) = (0, 0);
    for number in 0..2000 {
        let header = if number % 2 == 0 { "X-Api-Key: guess" } else { "Authorization: Bearer guess" };
        let target = if number % 3 == 0 { "/api/tunnels/app" } else { "/api/stats" };
        let (head, _) = ask(&relay, "GET", target, &[header], "");
        match head.status() {
            401 => looked_at += 1,
            429 => {
                refused += 1;
                assert!(
                    head.field("retry-after")
                        .is_some_and(|wait| wait.parse::<u64>().is_ok_and(|wait| wait > 0))
                );
            }
            other => panic!("{other}"),
        }
    }
    // Those without a delay, and one for each delay that has passed meanwhile: 1, 2, 4, 8, .. seconds.
    assert!(looked_at < 30 && refused > 1900, "{looked_at} and {refused}");
    let (head, _) = ask(&relay, "GET", "/health", &[], "");
    assert_eq!(head.status(), 200, "what needs no key is answered");
    let event = relay.program.event("audit");
    assert_eq!((&event["action"], &event["peer"]), (&"wrong_key".into(), &"127.0.0.1".into()));
}
