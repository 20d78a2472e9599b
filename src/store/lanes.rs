//! The lanes of this process: each carries one call at a time, numbered, so that a call whose reply was lost can be repeated.
//!
//! Names are random for each life of a process. A lane whose last call is in doubt is never used again. Knows no Redis.

use super::calls::LaneCall;
use super::ids::{LaneName, LaneNumber};
use super::layout::Prefix;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Lanes of one shard that are kept for later; more calls at once get lanes that are used once.
const KEPT_MAX: usize = 64;
/// Lanes that stock was to be taken of and that nobody has been answered about yet; those beyond are not counted.
const OWED_MAX: usize = 4 * KEPT_MAX;
/// A silence after which the store may have forgotten the lane: it keeps one for an hour.
const SILENCE_MAX: Duration = Duration::from_secs(50 * 60);

#[derive(Debug, Default)]
pub(super) struct Lanes {
    shards: Mutex<HashMap<String, ShardLanes>>,
}

#[derive(Debug, Default)]
struct ShardLanes {
    incarnation: String,
    /// Lanes without a call under way, the one used last at the end.
    free: Vec<Lane>,
    /// Calls taken back by the store that nobody has written into the books yet.
    lost: u64,
    /// Lanes that are not used any more, and of which the store has not been asked yet what it knows.
    owed: Vec<Lane>,
    /// Rises when stock is taken: a lane from before is not put back.
    life: u64,
}

#[derive(Clone, Copy, Debug)]
struct Lane {
    name: LaneName,
    /// Number of the last call that was answered.
    answered: u64,
    used: Instant,
}

/// A lane with a call under way. Dropped without a word it is not used again: the outcome of its call is not known.
#[derive(Debug)]
pub(super) struct Slot {
    shard: String,
    lane: Lane,
    life: u64,
}

/// What is known of the calls that a shard has answered.
#[derive(Debug, Default)]
pub(super) struct Stock {
    pub lost_calls: u64,
    /// Free lanes, with the last call of each that was answered.
    pub lanes: Vec<LaneCall>,
}

impl Slot {
    /// The call that is to be made.
    pub fn call(&self) -> LaneCall {
        LaneCall { name: self.lane.name, number: LaneNumber::new(self.lane.answered + 1) }
    }
}

impl Lanes {
    fn shards(&self) -> MutexGuard<'_, HashMap<String, ShardLanes>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lane for one call. Those of another incarnation of the ledger are forgotten.
    pub fn take(&self, shard: &Prefix, incarnation: &str) -> Slot {
        let (shard, now) = (shard.as_str().to_owned(), Instant::now());
        let mut shards = self.shards();
        let lanes = shards.entry(shard.clone()).or_default();
        if lanes.incarnation != incarnation {
            *lanes = ShardLanes { incarnation: incarnation.to_owned(), life: lanes.life + 1, ..ShardLanes::default() };
        }
        lanes.free.retain(|lane| now.duration_since(lane.used) < SILENCE_MAX);
        let new = || Lane { name: LaneName::new(rand::random()), answered: 0, used: now };
        let lane = lanes.free.pop().unwrap_or_else(new);
        Slot { shard, lane, life: lanes.life }
    }

    /// The call was answered, and its number is used up.
    pub fn answered(&self, slot: Slot) {
        self.put_back(Slot { lane: Lane { answered: slot.lane.answered + 1, ..slot.lane }, ..slot });
    }

    /// The call was refused as a whole: its number is still free.
    pub fn refused(&self, slot: Slot) {
        self.put_back(slot);
    }

    fn put_back(&self, slot: Slot) {
        let Slot { shard, lane, life } = slot;
        if let Some(lanes) = self.shards().get_mut(&shard).filter(|lanes| lanes.life == life)
            && lanes.free.len() < KEPT_MAX
        {
            lanes.free.push(Lane { used: Instant::now(), ..lane });
        }
    }

    /// The store knows no call of the lane after number `last`.
    pub fn lost(&self, slot: Slot, last: u64) {
        if let Some(lanes) = self.shards().get_mut(&slot.shard) {
            lanes.lost += slot.lane.answered.saturating_sub(last);
        }
    }

    /// Gives what is known, and lets no lane of the shard be used again. It is given again until it is [booked](Self::booked).
    pub fn stock(&self, shard: &Prefix) -> Stock {
        let (mut shards, now) = (self.shards(), Instant::now());
        let Some(lanes) = shards.get_mut(shard.as_str()) else { return Stock::default() };
        lanes.life += 1;
        let free = std::mem::take(&mut lanes.free);
        lanes.owed.extend(free);
        lanes.owed.retain(|lane| now.duration_since(lane.used) < SILENCE_MAX);
        lanes.owed.truncate(OWED_MAX);
        let answered = |lane: &Lane| LaneCall { name: lane.name, number: LaneNumber::new(lane.answered) };
        Stock { lost_calls: lanes.lost, lanes: lanes.owed.iter().map(answered).collect() }
    }

    /// The stock stands in the books of the shard.
    pub fn booked(&self, shard: &Prefix, stock: &Stock) {
        if let Some(lanes) = self.shards().get_mut(shard.as_str()) {
            lanes.lost = lanes.lost.saturating_sub(stock.lost_calls);
            lanes.owed.retain(|lane| !stock.lanes.iter().any(|booked| booked.name == lane.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{LedgerName, Namespace, ShardNumber};

    fn shard(number: u32) -> Prefix {
        Prefix::new(&LedgerName::new(Namespace::new("shop").unwrap(), "orders"), ShardNumber::new(number))
    }

    fn number(slot: &Slot) -> u64 {
        slot.call().number.get()
    }

    #[test]
    fn a_lane_carries_one_call_at_a_time_and_numbers_them() {
        let lanes = Lanes::default();
        let (first, second) = (lanes.take(&shard(0), "a"), lanes.take(&shard(0), "a"));
        assert_ne!(first.call().name, second.call().name);
        let name = first.call().name;
        lanes.answered(first);
        let again = lanes.take(&shard(0), "a");
        assert_eq!((again.call().name, number(&again)), (name, 2));
        lanes.refused(again);
        assert_eq!(number(&lanes.take(&shard(0), "a")), 2, "a refused call uses no number");
        assert_eq!(number(&lanes.take(&shard(1), "a")), 1, "each shard has its own");
        drop(second);
        assert_eq!(number(&lanes.take(&shard(0), "a")), 1, "a lane in doubt is not used again");
    }

    #[test]
    fn lanes_of_another_incarnation_are_forgotten() {
        let lanes = Lanes::default();
        let slot = lanes.take(&shard(0), "a");
        let under_way = lanes.take(&shard(0), "a");
        lanes.answered(slot);
        assert_eq!(number(&lanes.take(&shard(0), "b")), 1);
        lanes.answered(under_way);
        assert_eq!(number(&lanes.take(&shard(0), "b")), 1, "it ended after the change");
    }

    #[test]
    fn taking_stock_gives_what_was_answered_and_lost_and_begins_anew() {
        let lanes = Lanes::default();
        (0..3).for_each(|_| lanes.answered(lanes.take(&shard(0), "a")));
        let under_way = lanes.take(&shard(0), "a");
        lanes.lost(under_way, 1);
        (0..2).for_each(|_| lanes.answered(lanes.take(&shard(0), "a")));
        let under_way = lanes.take(&shard(0), "a");
        lanes.answered(lanes.take(&shard(0), "a"));
        for _ in 0..2 {
            let stock = lanes.stock(&shard(0));
            assert_eq!((stock.lost_calls, stock.lanes.iter().map(|lane| lane.number.get()).collect()), (2, vec![1]));
        }
        lanes.answered(under_way);
        let stock = lanes.stock(&shard(0));
        lanes.answered(lanes.take(&shard(0), "a"));
        lanes.booked(&shard(0), &stock);
        assert_eq!(number(&lanes.take(&shard(0), "a")), 2, "the new one goes on");
        let stock = lanes.stock(&shard(0));
        assert_eq!((stock.lost_calls, stock.lanes.len()), (0, 0));
    }

    #[test]
    fn no_more_lanes_are_kept_than_the_bound() {
        let lanes = Lanes::default();
        let slots: Vec<Slot> = (0..KEPT_MAX + 9).map(|_| lanes.take(&shard(0), "a")).collect();
        slots.into_iter().for_each(|slot| lanes.answered(slot));
        assert_eq!(lanes.stock(&shard(0)).lanes.len(), KEPT_MAX);
    }
}
