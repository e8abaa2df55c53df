//! Random walks over several agents and one relay, and how often they reach what they are for.

use hvym_tunnel_core::rng::Rng;
use hvym_tunnel_tests::world::walk;

/// Walks of one run. `WALKS` overrides it.
const WALKS: u32 = 150;

#[test]
fn whatever_happens_to_several_agents_the_rules_hold_and_they_come_back() {
    let walks = std::env::var("WALKS").ok().and_then(|walks| walks.parse().ok()).unwrap_or(WALKS);
    let mut reached = [("", 0_u32); 10];
    for number in 0..walks {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&number.to_be_bytes());
        let data: [u8; 121] = Rng::new(seed).bytes();
        for (total, (name, count)) in reached.iter_mut().zip(walk(&data).all()) {
            *total = (name, total.1 + u32::from(count > 0));
        }
    }
    println!("of {walks} walks: {reached:?}");
    for (name, count) in reached {
        assert!(count * 5 >= walks, "only {count} of {walks} walks have {name}");
    }
}
