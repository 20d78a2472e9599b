//! Who dies when and where, drawn from a seed: the same for every way. Pure.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde::{Deserialize, Serialize};

/// Where in its work on a record, or on a batch, a worker dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// Before the call outside. Who commits first has committed the offset by then.
    BeforeWork,
    /// After the call outside and before anything is committed for it. Who commits first has nothing left to commit.
    AfterWork,
    /// All work on the batch is done and all is committed but the offset. Who commits records and offset in one has committed
    /// neither; who commits the offset first has committed it long ago.
    BeforeOffset,
}

impl Place {
    pub const ALL: [Self; 3] = [Self::BeforeWork, Self::AfterWork, Self::BeforeOffset];

    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeWork => "before the work",
            Self::AfterWork => "after the work, before the commit",
            Self::BeforeOffset => "after the work on a batch, before its offset",
        }
    }
}

/// The end of one life of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Death {
    /// At which record that this life works on, from 1 on.
    pub at_record: u64,
    pub place: Place,
}

/// What a schedule is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub orders: u64,
    pub workers: u32,
    /// None, or one of each place at least.
    pub kills: u32,
    /// Records whose offset is committed at once.
    pub batch: u32,
    pub seed: u64,
}

/// A run in which the deaths could not all happen, or would show nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("must be 0, or 3 at least: one at each place")]
    TooFewKills,
    #[error("must be {least} at least for {kills} kills of {workers} workers with batches of {batch}")]
    TooFewOrders { least: u64, kills: u32, workers: u32, batch: u32 },
}

/// The deaths of each worker, one a life, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub by_worker: Vec<Vec<Death>>,
}

impl Plan {
    /// Deaths of the worker that dies most often.
    fn deaths_of_one(&self) -> u64 {
        u64::from(self.kills.div_ceil(self.workers.max(1)))
    }

    /// Records that a life of that worker works on at most. A partition may get few records by chance, and a worker that
    /// commits first loses up to a batch with each death: all deaths happen within half of the average partition.
    fn longest_life(&self) -> u64 {
        let half = self.orders / (2 * u64::from(self.workers.max(1)));
        (half / self.deaths_of_one().max(1)).saturating_sub(u64::from(self.batch))
    }

    /// # Errors
    /// The deaths cannot all happen.
    pub fn draw(&self) -> Result<Schedule, ScheduleError> {
        if (1..Place::ALL.len() as u32).contains(&self.kills) {
            return Err(ScheduleError::TooFewKills);
        }
        let (kills, workers, batch) = (self.kills, self.workers.max(1), self.batch.max(1));
        let least = 2 * u64::from(workers) * self.deaths_of_one().max(1) * (u64::from(batch) + 1);
        if self.orders < least {
            return Err(ScheduleError::TooFewOrders { least, kills, workers, batch });
        }
        let mut chance = StdRng::seed_from_u64(self.seed);
        let mut places: Vec<Place> = Place::ALL.into_iter().cycle().take(kills as usize).collect();
        places.shuffle(&mut chance);
        let mut by_worker = vec![Vec::new(); workers as usize];
        for (number, place) in places.into_iter().enumerate() {
            let at_record = chance.random_range(1..=self.longest_life());
            by_worker[number % workers as usize].push(Death { at_record, place });
        }
        Ok(Schedule { by_worker })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAN: Plan = Plan { orders: 1_000, workers: 2, kills: 6, batch: 10, seed: 1 };

    #[test]
    fn a_seed_draws_the_same_deaths_again_and_another_one_others() {
        let drawn = PLAN.draw().unwrap();
        assert_eq!(PLAN.draw().unwrap(), drawn);
        assert_ne!(Plan { seed: 2, ..PLAN }.draw().unwrap(), drawn);
    }

    #[test]
    fn a_run_that_would_show_nothing_is_refused_with_the_rule() {
        for kills in [1, 2] {
            assert_eq!(Plan { kills, ..PLAN }.draw(), Err(ScheduleError::TooFewKills));
        }
        assert_eq!(Plan { kills: 0, ..PLAN }.draw().unwrap().by_worker, [[], []]);
        let few = Plan { orders: 131, ..PLAN }.draw().unwrap_err();
        assert_eq!(few, ScheduleError::TooFewOrders { least: 132, kills: 6, workers: 2, batch: 10 });
        assert!(Plan { orders: 132, ..PLAN }.draw().is_ok());
    }

    proptest! {
        #[test]
        fn each_place_is_met_and_all_deaths_fit_into_half_a_partition(
            workers in 1..6_u32, kills in 3..20_u32, batch in 1..40_u32, more in 0..2_000_u64, seed in any::<u64>()
        ) {
            let plan = Plan { orders: 0, workers, kills, batch, seed };
            let Err(ScheduleError::TooFewOrders { least, .. }) = plan.draw() else { panic!("no orders are enough") };
            let plan = Plan { orders: least + more, ..plan };
            let drawn = plan.draw().unwrap().by_worker;
            let deaths: Vec<Death> = drawn.iter().flatten().copied().collect();
            prop_assert_eq!(deaths.len(), kills as usize);
            for place in Place::ALL {
                prop_assert!(deaths.iter().any(|death| death.place == place));
            }
            for deaths in &drawn {
                let needed: u64 = deaths.iter().map(|death| death.at_record + u64::from(batch)).sum();
                prop_assert!(needed <= plan.orders / (2 * u64::from(workers)));
                prop_assert!(deaths.iter().all(|death| death.at_record >= 1));
            }
        }
    }
}
