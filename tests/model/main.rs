//! The ledger's protocol, model-checked: every state within stated bounds is visited, and the defects of others are found.
//!
//! The store of the model is the product's own in-memory store, which the property test of the library holds to the scripts
//! that run in Redis; so are the rules for offsets and for reading again. `docs/model.md` says what is modelled and what is
//! not. A counterexample is a list of moves; it is printed.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod endings;
mod history;
mod long;
mod protocol;
mod rules;
mod world;

use protocol::{Bounds, Effect, Mutant, Protocol};
use rules::*;
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::BTreeSet;
use std::time::Instant;
use world::Spent;

const TWO: &[usize] = &[0, 1];
/// The first event is published twice.
const COPIED: &[usize] = &[0, 1, 0];

/// Moves of a counterexample that is looked for.
const LONGEST_WAY: usize = 16;

fn bounds(effect: Effect, most: Spent) -> Bounds {
    Bounds { workers: 3, records: TWO, effect, waits: false, most }
}

/// Visits every state; all rules hold and every example is found.
fn explore(what: &str, bounds: Bounds) {
    let begun = Instant::now();
    let found = Protocol::new(bounds.clone(), None).checker().threads(2).spawn_bfs().join();
    let (states, steps, depth) = (found.unique_state_count(), found.state_count(), found.max_depth());
    println!("{what}: {states} states, {steps} steps, longest path {depth}, {:.1?}; {bounds:?}", begun.elapsed());
    for rule in RULES {
        if let Some(path) = found.discovery(rule) {
            panic!("{what}: not so: {rule}\n{:#?}\n{:?}", path.clone().into_actions(), path.last_state());
        }
    }
    found.assert_properties();
}

/// Finds that a rule is broken when the protocol has this defect, by the shortest way.
fn catch(mutant: Mutant, rule: &'static str, bounds: Bounds) {
    let shortest = (2..LONGEST_WAY).find_map(|depth| {
        let only = HasDiscoveries::AllOf(BTreeSet::from([rule]));
        let checker = Protocol::new(bounds.clone(), Some(mutant)).checker().finish_when(only).target_max_depth(depth);
        checker.spawn_bfs().join().discovery(rule)
    });
    let path = shortest.unwrap_or_else(|| panic!("{mutant:?} is not found to break: {rule}"));
    println!("{mutant:?} breaks: {rule}\n  {:?}", path.into_actions());
}

const fn most(starts: u8, lapses: u8, failovers: u8, returns: u8, unheard: u8) -> Spent {
    Spent { starts, lapses, failovers, returns, unheard }
}

#[test]
fn the_rules_hold_when_leases_lapse_and_work_is_given_back() {
    explore("outside, a lapse", bounds(Effect::Outside, most(3, 1, 0, 0, 0)));
    explore("outside, a lapse and a return", Bounds { workers: 2, ..bounds(Effect::Outside, most(2, 1, 0, 1, 0)) });
    explore("in the store, a lapse", bounds(Effect::InStore, most(3, 1, 0, 0, 0)));
}

#[test]
fn the_rules_hold_when_a_failover_takes_back_what_was_answered() {
    explore("outside, a failover", bounds(Effect::Outside, most(2, 0, 1, 0, 0)));
    explore("in the store, a failover", bounds(Effect::InStore, most(2, 0, 1, 0, 0)));
}

#[test]
fn the_rules_hold_when_offsets_wait_for_the_replica() {
    explore("waiting, a failover", Bounds { waits: true, ..bounds(Effect::Outside, most(2, 0, 1, 0, 0)) });
    explore("in the store and waiting, a failover", Bounds { waits: true, ..bounds(Effect::InStore, most(2, 0, 1, 0, 0)) });
}

#[test]
fn the_rules_hold_when_replies_are_lost() {
    let two = |most| Bounds { workers: 2, ..bounds(Effect::Outside, most) };
    explore("a reply lost, a lapse", two(most(2, 1, 0, 0, 1)));
    explore("a reply lost, a failover", two(most(1, 0, 1, 0, 1)));
}

#[test]
fn the_rules_hold_when_an_event_is_published_twice() {
    explore(
        "published twice, a lapse",
        Bounds { workers: 2, records: COPIED, ..bounds(Effect::Outside, most(2, 1, 0, 0, 0)) },
    );
}

#[test]
fn a_completion_without_a_fence_is_caught() {
    catch(Mutant::UnfencedCompletion, STALE, bounds(Effect::Outside, most(2, 1, 0, 0, 0)));
    catch(Mutant::UnfencedCompletion, STALE, bounds(Effect::InStore, most(2, 1, 0, 0, 0)));
}

#[test]
fn a_mark_before_the_work_is_caught() {
    catch(Mutant::MarkBeforeWork, ENDS, bounds(Effect::Outside, most(1, 0, 0, 0, 0)));
}

#[test]
fn check_work_and_mark_is_caught() {
    catch(Mutant::CheckWorkMark, ALONE, bounds(Effect::Outside, most(2, 0, 0, 0, 0)));
}

#[test]
fn an_unconditional_takeover_is_caught() {
    catch(Mutant::UnconditionalTakeover, ALONE, bounds(Effect::Outside, most(3, 1, 0, 0, 0)));
}

#[test]
fn the_clocks_of_clients_are_caught() {
    catch(Mutant::ClientClocks, ALONE, bounds(Effect::Outside, most(2, 0, 0, 0, 0)));
}

#[test]
fn an_offset_before_the_work_is_caught() {
    catch(Mutant::OffsetBeforeWork, SETTLED, bounds(Effect::Outside, most(1, 0, 0, 0, 0)));
}

#[test]
fn an_offset_that_does_not_wait_is_caught() {
    let waiting = Bounds { waits: true, ..bounds(Effect::Outside, most(1, 0, 1, 0, 0)) };
    catch(Mutant::OffsetWithoutWaiting, SAFE, waiting);
}

#[test]
fn not_reading_again_after_a_failover_is_caught() {
    catch(Mutant::NewOwnerDoesNotGoBack, ENDS, bounds(Effect::Outside, most(1, 0, 1, 0, 0)));
    catch(Mutant::LivingOwnerDoesNotGoBack, SETTLED, bounds(Effect::Outside, most(1, 0, 1, 0, 0)));
}

#[test]
fn fences_that_follow_no_clock_are_caught() {
    catch(Mutant::FenceWithoutTime, FENCES, bounds(Effect::Outside, most(2, 0, 1, 0, 0)));
}

#[test]
fn calls_without_lanes_are_caught() {
    catch(Mutant::NoLanes, COUNTED, Bounds { workers: 2, ..bounds(Effect::Outside, most(2, 1, 0, 0, 1)) });
}
