//! The limits of a config: below, at and above each of them.

use hvym_yamux::{MuxConfig, MuxConfigError, RateLimit, Role};
use hvym_yamux_testing::rig::{Rig, WINDOW};

const MIB: usize = 1024 * 1024;

fn check(change: impl FnOnce(&mut MuxConfig)) -> Result<(), MuxConfigError> {
    MuxConfig::default().with(change).check()
}

#[test]
fn a_batch_is_at_least_4096_bytes() {
    assert_eq!(check(|config| config.batch = 4095), Err(MuxConfigError::Batch));
    assert_eq!(check(|config| config.batch = 4096), Ok(()));
    assert_eq!(check(|config| config.batch = 4097), Ok(()));
}

#[test]
fn a_window_is_at_least_the_one_that_every_stream_begins_with() {
    assert_eq!(check(|config| config.max_stream_window = 262_143), Err(MuxConfigError::Window));
    assert_eq!(check(|config| config.max_stream_window = 262_144), Ok(()));
    assert_eq!(check(|config| config.max_stream_window = 262_145), Ok(()));
}

#[test]
fn a_group_may_hold_at_least_what_one_stream_may() {
    let window = MuxConfig::default().max_stream_window as usize;
    assert_eq!(check(|config| config.max_group_unread = window - 1), Err(MuxConfigError::GroupUnread));
    assert_eq!(check(|config| config.max_group_unread = window), Ok(()));
    assert_eq!(check(|config| config.max_group_unread = window + 1), Ok(()));
}

#[test]
fn the_unsent_bytes_of_a_stream_are_at_least_1024_and_at_most_those_of_the_session() {
    assert_eq!(check(|config| config.max_stream_unsent = 1023), Err(MuxConfigError::Unsent));
    assert_eq!(check(|config| config.max_stream_unsent = 1024), Ok(()));
    let of_session = MuxConfig::default().max_unsent;
    assert_eq!(check(|config| config.max_stream_unsent = of_session - 1), Ok(()));
    assert_eq!(check(|config| config.max_stream_unsent = of_session), Ok(()));
    assert_eq!(check(|config| config.max_stream_unsent = of_session + 1), Err(MuxConfigError::Unsent));
}

#[test]
fn a_config_that_fails_its_check_works_with_the_nearest_values() {
    let mut rig = Rig::agent_but(|config| {
        config.batch = 0;
        config.max_stream_window = 0;
        config.max_stream_unsent = 0;
        config.max_unsent = 0;
    });
    let id = rig.open();
    assert_eq!(rig.mux.writable(id), 1024);
    assert_eq!(rig.write_some(id, &[0; 2000]), 1024);
    let batch = rig.mux.poll_transmit().expect("there is data");
    assert_eq!(batch.len(), 12 + 1024);
    assert_eq!(rig.mux.poll_transmit(), None);
    let streams: Vec<_> = (0..10).map(|_| rig.open()).collect();
    for id in streams {
        rig.write_some(id, &[0; 2000]);
    }
    assert!(rig.mux.poll_transmit().expect("there is data").len() <= 4096);
}

#[test]
fn each_profile_differs_from_the_default_where_its_use_does() {
    let default = MuxConfig::default();
    assert_eq!(default.reset_limit, Some(RateLimit::new(512, 100)));
    assert_eq!(default.refusal_limit, Some(256));
    assert_eq!(default.discarded_limit, Some(RateLimit::new(67_108_864, 4_194_304)));
    let trusting = |config: &mut MuxConfig| {
        config.reset_limit = None;
        config.refusal_limit = None;
        config.discarded_limit = None;
    };
    let acceptor = MuxConfig::default().with(trusting).with(|config| config.max_inbound_streams = 1024);
    assert_eq!(MuxConfig::acceptor(), acceptor);
    let opener = MuxConfig::default().with(|config| {
        config.max_inbound_streams = 16;
        config.accept_backlog = 16;
        config.max_outbound_streams = 1024;
        config.max_unread = 33_554_432;
        config.max_group_unread = 33_554_432;
        config.reset_limit = Some(RateLimit::new(8192, 2000));
        config.refusal_limit = None;
        config.discarded_limit = None;
        config.always_copy = true;
        config.stream_stall_timeout = Some(std::time::Duration::from_secs(300));
    });
    assert_eq!(MuxConfig::opener(), opener);
    let low_memory = MuxConfig::default().with(trusting).with(|config| {
        config.max_inbound_streams = 64;
        config.accept_backlog = 64;
        config.max_stream_window = 1_048_576;
        config.window_growth_budget = 4_194_304;
        config.max_unread = 16_777_216;
        config.max_unsent = 2_097_152;
    });
    assert_eq!(MuxConfig::low_memory(), low_memory);
    for config in [MuxConfig::default(), MuxConfig::acceptor(), MuxConfig::opener(), MuxConfig::low_memory()]
    {
        assert_eq!(config.check(), Ok(()));
    }
}

#[test]
fn the_memory_bound_is_what_windows_copies_and_queues_add_up_to() {
    let config = MuxConfig::default().with(|config| {
        config.max_inbound_streams = 2;
        config.max_outbound_streams = 1;
        config.window_growth_budget = 1000;
        config.max_unsent = 70_000;
        config.opening_reserve = 100;
        config.batch = 5000;
    });
    let unread = 3 * WINDOW + 1000;
    let rest = 2 * 70_100 + 3 * 2048 + 2 * 5000 + 262_144;
    assert_eq!(config.memory_bound(), 4 * unread + unread / 4 + rest);
    let copying = config.clone().with(|config| config.always_copy = true);
    assert_eq!(copying.memory_bound(), unread + unread / 4 + rest);
    let capped = copying.with(|config| config.max_unread = 100_000);
    assert_eq!(capped.memory_bound(), 100_000 + 25_000 + rest);
    assert!(MuxConfig::opener().memory_bound() < 64 * MIB);
}

#[test]
fn the_limit_of_resets_grows_with_the_number_of_streams_that_may_be_open() {
    use hvym_yamux_testing::rig::{RST, SYN, window};
    for (streams, allowed) in [(1, 512), (256, 512), (512, 1024), (1024, 2048)] {
        let config = MuxConfig::default().with(|config| config.max_inbound_streams = streams);
        let mut rig = Rig::with(Role::Client, config);
        let resets = |n: u32| [window(SYN, 2 * n, 0), window(RST, 2 * n, 0)].concat();
        for n in 1..=allowed {
            rig.take(&resets(n));
            rig.events();
        }
        assert!(rig.feed(&resets(allowed + 1)).is_err(), "{streams} streams");
    }
}
