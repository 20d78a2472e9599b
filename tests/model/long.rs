//! Larger bounds: `make test-long` runs them.

use crate::protocol::{Bounds, Effect};
use crate::{bounds, explore, most};

#[test]
fn the_rules_hold_when_three_workers_give_back_and_take_over() {
    explore("outside, a lapse and a return", bounds(Effect::Outside, most(3, 1, 0, 1, 0)));
}

#[test]
fn the_rules_hold_when_leases_lapse_about_a_failover() {
    explore("outside, a lapse and a failover", Bounds { workers: 2, ..bounds(Effect::Outside, most(2, 1, 1, 0, 0)) });
}

#[test]
fn the_rules_hold_when_work_is_given_back_about_a_failover() {
    explore("outside, a failover and a return", Bounds { workers: 2, ..bounds(Effect::Outside, most(2, 0, 1, 1, 0)) });
}
