//! Two honest sessions and a pipe, any interleaving: what the model says must happen, and nothing else.
use hvym_tunnel_tests::{
    ops::Ops,
    raw::{cases, raw},
    run::run,
};
use proptest::prelude::*;
proptest! {
    #![proptest_config(cases(256))]
    #[test]
    fn two_honest_sessions_keep_every_rule(raw in raw(200)) {
        run(&Ops::from_bytes(&raw.0)).map_err(TestCaseError::fail)?;
    }
}
