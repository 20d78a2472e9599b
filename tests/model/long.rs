//! Larger bounds: `make test-long` runs them.

use crate::protocol::{Bounds, Effect};
use crate::{COPIED, bounds, explore, most};

#[test]
fn the_rules_hold_with_a_lapse_and_a_failover() {
    explore("long: outside, a lapse and a failover", bounds(Effect::Outside, most(2, 1, 1, 0, 0)));
    explore("long: in the store, a lapse and a failover", bounds(Effect::InStore, most(3, 1, 1, 0, 0)));
}

#[test]
fn the_rules_hold_over_two_failovers() {
    explore("long: two failovers", Bounds { workers: 2, ..bounds(Effect::Outside, most(2, 0, 2, 0, 0)) });
    explore(
        "long: waiting, two failovers",
        Bounds { waits: true, workers: 2, ..bounds(Effect::Outside, most(2, 0, 2, 0, 0)) },
    );
}

#[test]
fn the_rules_hold_when_three_workers_give_back_and_take_over() {
    explore("long: a lapse and a return", bounds(Effect::Outside, most(3, 1, 0, 1, 0)));
    explore("long: two lapses", bounds(Effect::InStore, most(3, 2, 0, 0, 0)));
}

#[test]
fn the_rules_hold_when_an_event_is_published_twice_and_a_failover_comes() {
    explore(
        "long: published twice, a failover",
        Bounds { workers: 2, records: COPIED, ..bounds(Effect::InStore, most(2, 1, 1, 0, 0)) },
    );
}

#[test]
fn the_rules_hold_when_two_replies_are_lost() {
    explore("long: two replies lost", Bounds { workers: 2, ..bounds(Effect::Outside, most(2, 1, 0, 0, 2)) });
}
