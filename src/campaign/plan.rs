//! What is done in one run, and when: drawn from a seed. Pure.
//!
//! A plan has phases, each with traffic and faults, and a quiet end at which all must have come to rest. Every second phase only
//! puts records into the topics: there the ledger's counts must be equal to what was put. The same seed and the same shape give the
//! same plan; what the processes make of it depends on the machine.

use super::{
    dice::Dice,
    fault::{Fault, FaultKind},
};
use std::{fmt, time::Duration};

/// What a plan is drawn from, besides the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanShape {
    pub phases: usize,
    pub kinds: Vec<FaultKind>,
    /// One more step that breaks a promise by hand.
    pub planted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub seed: u64,
    pub phases: Vec<Phase>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Placed evenly over the phase's time.
    pub orders: usize,
    pub lasts: Duration,
    /// In the order of their times.
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// From 1 on, over all phases of the whole plan.
    pub number: usize,
    /// From the beginning of the phase.
    pub at: Duration,
    pub fault: Fault,
}

const ORDERS: (u64, u64) = (30, 60);
const LASTS_MS: (u64, u64) = (4_000, 7_000);
/// Steps of a phase with every kind of fault, and of one that only puts records.
const STEPS: (u64, u64) = (3, 6);
const INJECTIONS: (u64, u64) = (2, 4);
/// Of the times that it is drawn.
const FLUSHED_ONE_IN: u64 = 3;

impl Plan {
    pub fn draw(seed: u64, shape: &PlanShape) -> Self {
        let mut dice = Dice::new(seed);
        let injections: Vec<FaultKind> = shape.kinds.iter().copied().filter(|kind| kind.is_injection()).collect();
        let planted_in = shape.planted.then(|| usize::try_from(dice.next()).unwrap_or(0) % shape.phases.max(1));
        let mut flushed = false;
        let mut phases = Vec::new();
        for index in 0..shape.phases {
            let only_puts = index % 2 == 1 && !injections.is_empty();
            let (kinds, bounds) = if only_puts { (&injections, INJECTIONS) } else { (&shape.kinds, STEPS) };
            let lasts = Duration::from_millis(dice.between(LASTS_MS.0, LASTS_MS.1));
            let orders = usize::try_from(dice.between(ORDERS.0, ORDERS.1)).unwrap_or(0);
            let mut steps = Vec::new();
            for _ in 0..dice.between(bounds.0, bounds.1) {
                let Some(&kind) = dice.pick(kinds) else { break };
                // An emptied ledger ends what was promised to the orders under way: once a run, and seldom, is enough.
                if kind == FaultKind::Flushall && (!dice.one_in(FLUSHED_ONE_IN) || std::mem::replace(&mut flushed, true)) {
                    continue;
                }
                steps.push(step(&mut dice, kind, lasts));
            }
            if planted_in == Some(index) {
                steps.push(step(&mut dice, FaultKind::Forged, lasts));
            }
            steps.sort_by_key(|step| step.at);
            phases.push(Phase { orders, lasts, steps });
        }
        let steps = phases.iter_mut().flat_map(|phase| &mut phase.steps);
        steps.zip(1..).for_each(|(step, number)| step.number = number);
        Self { seed, phases }
    }

    /// The same with these steps alone; phases that are left without any go, the first one stays if all do.
    pub fn only(&self, numbers: &[usize]) -> Self {
        let mut phases = self.phases.clone();
        phases.iter_mut().for_each(|phase| phase.steps.retain(|step| numbers.contains(&step.number)));
        let empty = phases.iter().all(|phase| phase.steps.is_empty());
        let mut kept: Vec<Phase> = phases.iter().filter(|phase| !phase.steps.is_empty()).cloned().collect();
        if empty {
            kept.extend(phases.into_iter().take(1));
        }
        Self { seed: self.seed, phases: kept }
    }

    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.phases.iter().flat_map(|phase| &phase.steps)
    }

    pub fn numbers(&self) -> Vec<usize> {
        self.steps().map(|step| step.number).collect()
    }

    pub fn has(&self, kind: FaultKind) -> bool {
        self.steps().any(|step| step.fault.kind() == kind)
    }
}

impl Phase {
    /// Nothing in it disturbs anybody.
    pub fn only_puts(&self) -> bool {
        self.steps.iter().all(|step| step.fault.kind().is_injection())
    }
}

fn step(dice: &mut Dice, kind: FaultKind, lasts: Duration) -> Step {
    // Something must have been published before it can come again.
    let first = if kind.is_injection() { 1_500 } else { 300 };
    let last = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    let at = Duration::from_millis(dice.between(first, last.max(first)));
    Step { number: 0, at, fault: kind.draw(dice) }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, phase) in self.phases.iter().enumerate() {
            writeln!(f, "  phase {}: {} orders in {} ms", index + 1, phase.orders, phase.lasts.as_millis())?;
            for step in &phase.steps {
                writeln!(f, "  {:>5}  at {:>5} ms  {}", step.number, step.at.as_millis(), step.fault)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn shape() -> PlanShape {
        PlanShape { phases: 3, kinds: FaultKind::DRAWN.to_vec(), planted: false }
    }

    #[test]
    fn a_seed_gives_one_plan_and_another_seed_another() {
        assert_eq!(Plan::draw(5, &shape()), Plan::draw(5, &shape()));
        let different: BTreeSet<String> = (0..50).map(|seed| Plan::draw(seed, &shape()).to_string()).collect();
        assert_eq!(different.len(), 50);
    }

    #[test]
    fn plans_of_many_seeds_hold_every_kind_and_empty_the_ledger_once_at_most() {
        let plans: Vec<Plan> = (0..100).map(|seed| Plan::draw(seed, &shape())).collect();
        let drawn: BTreeSet<FaultKind> = plans.iter().flat_map(Plan::steps).map(|step| step.fault.kind()).collect();
        assert_eq!(drawn, FaultKind::DRAWN.into_iter().collect());
        for plan in &plans {
            let flushes = plan.steps().filter(|step| step.fault.kind() == FaultKind::Flushall).count();
            assert!(flushes <= 1 && plan.phases[1].only_puts(), "{plan}");
            assert_eq!(plan.numbers(), (1..=plan.steps().count()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn steps_that_are_left_out_take_empty_phases_with_them_and_keep_their_numbers() {
        let plan = Plan::draw(9, &PlanShape { planted: true, ..shape() });
        let planted = plan.steps().find(|step| step.fault == Fault::Forged).unwrap().clone();
        let small = plan.only(&[planted.number]);
        assert_eq!((small.phases.len(), small.numbers()), (1, vec![planted.number]));
        let none = plan.only(&[]);
        assert_eq!((none.phases.len(), none.numbers()), (1, vec![]));
        assert!(none.phases[0].only_puts());
    }
}
