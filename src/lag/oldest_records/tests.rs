//! Logs with known times, watched by a monitor that comes late and misses collections, and groups that wait anywhere.

use super::*;
use crate::lag::{
    Arrival, ClusterSnapshot, History, HistoryLimits, OldestUnread,
    testing::{at, cluster},
};
use proptest::prelude::*;

const INTERVAL: Duration = Duration::from_secs(10);
const STANDSTILL: Duration = Duration::from_secs(30);

fn history() -> History {
    History::new(HistoryLimits {
        budget_bytes: 1 << 20,
        horizon: Duration::from_secs(6 * 3_600),
        spark_bucket: Duration::from_secs(60),
        window: Duration::from_secs(600),
    })
}

fn ms(seconds: i64) -> i64 {
    at(seconds).timestamp_millis()
}

/// One partition's log: when each record was appended, in seconds, and what it says of itself.
#[derive(Clone, Debug)]
struct Log {
    appended: Vec<i64>,
    stamps: Vec<Option<Stamp>>,
}

impl Log {
    fn end(&self, second: i64) -> u64 {
        self.appended.partition_point(|&appended| appended <= second) as u64
    }

    /// What a broker would answer.
    fn read(&self, wanted: RecordWanted) -> RecordFound {
        let end = wanted.need.end.get();
        let found = (wanted.from.get()..end).find_map(|offset| Some((offset, self.stamps[offset as usize]?)));
        match found {
            Some((offset, stamp)) => RecordFound::Record { offset: Offset::new(offset), stamp },
            None => RecordFound::Nothing { before: Offset::new(end) },
        }
    }
}

struct Watch {
    history: History,
    records: OldestRecords,
    asked: Vec<RecordWanted>,
}

impl Watch {
    fn new() -> Self {
        Self { history: history(), records: OldestRecords::new(INTERVAL), asked: Vec::new() }
    }

    fn observe(&mut self, snapshot: &ClusterSnapshot) -> Vec<RecordNeed> {
        let ahead = self.history.look_ahead(snapshot);
        let needs = needed_records(&ahead, INTERVAL, STANDSTILL);
        self.records.begin(&needs, &ahead);
        self.history.observe(snapshot);
        self.asked.clear();
        needs
    }

    /// Asks until there is nothing more to ask.
    fn collect(&mut self, snapshot: &ClusterSnapshot, answer: impl Fn(RecordWanted) -> Result<RecordFound, UnknownReason>) {
        let needs = self.observe(snapshot);
        loop {
            let wanted = self.records.next_round(&needs, usize::MAX);
            if wanted.is_empty() {
                break;
            }
            self.asked.extend(&wanted);
            assert!(self.asked.len() <= needs.len(), "a place is asked for once");
            for one in wanted {
                self.records.take(one, answer(one));
            }
        }
    }

    /// The age of the oldest unread record from `offset` on, as it is shown.
    fn age(&self, offset: u64, end: u64) -> OldestUnread {
        let slot = self.history.slot("t").unwrap();
        let moment = self.history.now().unwrap();
        let ends = self.history.partition(slot, 0).unwrap().ends();
        let offset = Offset::new(offset);
        let arrival = Arrival::of(offset, ends, moment.ends);
        let place = RecordPlace { slot, partition: 0, offset };
        if self.records.is_empty_from(place, Offset::new(end)) {
            return OldestUnread::None;
        }
        if arrival.is_known_within(INTERVAL) {
            return arrival.by_history(UnknownReason::HistoryTooShort);
        }
        match self.records.at(place, Offset::new(end)) {
            RecordKnown::At(stamp) => arrival.by_record(stamp, self.history.time(moment.ends), INTERVAL),
            RecordKnown::NotRead(reason) => arrival.by_history(reason),
            RecordKnown::Nothing => OldestUnread::None,
        }
    }
}

fn snapshot(second: i64, end: u64, committed: &[u64]) -> ClusterSnapshot {
    let names: Vec<String> = (0..committed.len()).map(|index| format!("g{index}")).collect();
    names.iter().zip(committed).fold(cluster(second).topic("t", 1, &[(0, end)]), |snapshot, (name, &committed)| {
        snapshot.group(name, &[("t", 0, committed.min(end))])
    })
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Create,
    Append,
    Future,
    Compacted,
}

fn logs() -> impl Strategy<Value = Log> {
    let kind =
        prop_oneof![6 => Just(Kind::Create), 3 => Just(Kind::Append), 1 => Just(Kind::Future), 2 => Just(Kind::Compacted)];
    prop::collection::vec((0..90_i64, kind), 1..80).prop_map(|steps| {
        let mut second = -3_000;
        let (mut appended, mut stamps) = (Vec::new(), Vec::new());
        for (pause, kind) in steps {
            second += pause;
            appended.push(second);
            stamps.push(match kind {
                Kind::Create => Some(Stamp::Created(ms(second))),
                Kind::Append => Some(Stamp::Appended(ms(second))),
                Kind::Future => Some(Stamp::Created(ms(second + 100_000))),
                Kind::Compacted => None,
            });
        }
        Log { appended, stamps }
    })
}

proptest! {
    #[test]
    fn every_age_is_within_one_interval_of_the_truth_and_every_bound_below_it(
        log in logs(),
        begin in -3_000..500_i64,
        missed in prop::collection::vec(prop::bool::weighted(0.2), 1..25),
        committed in prop::collection::vec(0..80_u64, 1..12),
    ) {
        let mut watch = Watch::new();
        for (step, missed) in (0..).zip(missed) {
            let second = begin + step * 10;
            if missed {
                watch.history.miss();
                continue;
            }
            let end = log.end(second);
            watch.collect(&snapshot(second, end, &committed), |wanted| Ok(log.read(wanted)));
            for offset in committed.iter().copied().filter(|&offset| offset < end) {
                let left = (offset..end).find(|&offset| log.stamps[offset as usize].is_some());
                match (watch.age(offset, end), left) {
                    (OldestUnread::None, left) => prop_assert_eq!(left, None, "there is something to read"),
                    // A record that compaction took has the time at which it came, or that of the next that is left.
                    (OldestUnread::Aged(age), left) => {
                        let came = |offset: u64| (second - log.appended[offset as usize]) as f64;
                        let (oldest, youngest) = (came(offset), came(left.unwrap_or(offset)));
                        let age = age.age.as_secs_f64();
                        prop_assert!(age <= oldest + 10.01 && age >= youngest - 10.01, "{age} s, not {oldest} to {youngest} s");
                    }
                    (OldestUnread::AtLeast(bound, _), _) => {
                        prop_assert!(bound.as_secs_f64() <= (second - log.appended[offset as usize]) as f64 + 0.01);
                    }
                    (OldestUnread::Unknown(reason), _) => prop_assert!(false, "{reason}"),
                }
            }
        }
    }
}

#[test]
fn a_thousand_groups_that_wait_in_one_burst_cost_two_records() {
    let log = Log { appended: vec![-5_000; 2_000], stamps: vec![Some(Stamp::Created(ms(-5_000))); 2_000] };
    let committed: Vec<u64> = (0..1_000).map(|group| group * 2 + 1).collect();
    let mut watch = Watch::new();
    watch.collect(&snapshot(0, 2_000, &committed), |wanted| Ok(log.read(wanted)));
    assert_eq!(watch.asked.len(), 2);
    for &offset in &committed {
        let OldestUnread::Aged(age) = watch.age(offset, 2_000) else { panic!("{offset} has no age") };
        assert_eq!(age.age, Duration::from_secs(5_000));
    }
    watch.collect(&snapshot(10, 2_000, &committed), |_| panic!("what is known is not asked for again"));
    assert_eq!(watch.records.totals().0, 2);
    // All but one go on: only what somebody waits at is kept.
    watch.collect(&snapshot(20, 2_000, &[1_999]), |_| panic!("it is known"));
    assert_eq!(watch.records.found.len(), 1);
}

#[test]
fn groups_that_stand_ask_nothing_while_others_go_on() {
    let mut watch = Watch::new();
    let committed = |step: u64| vec![1_000 + step, 3, 9_999];
    let found = |wanted: RecordWanted| RecordFound::Record { offset: wanted.from, stamp: Stamp::Appended(ms(-5_000)) };
    watch.collect(&snapshot(0, 10_000, &committed(0)), |wanted| Ok(found(wanted)));
    assert!(watch.records.may_stand());
    for step in 1..3_000_u64 {
        let snapshot = snapshot(step.cast_signed() * 10, 10_000, &committed(step));
        assert!(watch.records.may_stand(), "nothing was learnt, so that nothing is there to be forgotten");
        let ahead = watch.history.look_ahead(&snapshot);
        let needs = needed_records_of(&ahead, INTERVAL, STANDSTILL, |index| index == 0);
        assert_eq!(needs.len(), 1, "one group has moved");
        watch.records.begin_beside(&ahead);
        watch.history.observe(&snapshot);
        assert!(!watch.records.may_stand(), "what has moved has not asked yet");
        for wanted in watch.records.next_round(&needs, usize::MAX) {
            watch.records.take(wanted, Ok(found(wanted)));
        }
        assert_eq!(watch.records.next_round(&needs, usize::MAX), []);
        for offset in committed(step) {
            let OldestUnread::Aged(age) = watch.age(offset, 10_000) else { panic!("{offset} has no age in step {step}") };
            assert!((age.age.as_secs_f64() - (5_000.0 + step as f64 * 10.0)).abs() <= 10.01, "{age:?} in step {step}");
        }
    }
    assert_eq!(watch.records.totals().0, 2, "those between two of the same time are not read");
}

#[test]
fn places_where_nobody_waits_any_more_are_forgotten_when_they_are_many() {
    let mut watch = Watch::new();
    let found =
        |wanted: RecordWanted| RecordFound::Record { offset: wanted.from, stamp: Stamp::Appended(wanted.from.get() as i64) };
    let (mut most, mut forgotten) = (0, 0);
    for step in 0..4_000_u64 {
        let snapshot = snapshot(step.cast_signed() * 10, 10_000, &[step]);
        let stands = watch.records.may_stand();
        let ahead = watch.history.look_ahead(&snapshot);
        let needs = needed_records(&ahead, INTERVAL, STANDSTILL);
        match stands {
            true => watch.records.begin_beside(&ahead),
            false => watch.records.begin(&needs, &ahead),
        }
        forgotten += usize::from(!stands);
        watch.history.observe(&snapshot);
        for wanted in watch.records.next_round(&needs, usize::MAX) {
            watch.records.take(wanted, Ok(found(wanted)));
        }
        assert_eq!(watch.records.next_round(&needs, usize::MAX), []);
        most = most.max(watch.records.found.len());
    }
    assert!(forgotten > 1 && most <= 4 * LEARNT_MOST, "{most} were kept of one group, forgotten {forgotten} times");
}

#[test]
fn nothing_is_needed_while_the_history_tells() {
    let mut watch = Watch::new();
    watch.observe(&snapshot(0, 100, &[]));
    for step in 1..6_u64 {
        let end = 100 + step * 1_000;
        let needs = watch.observe(&snapshot(step.cast_signed() * 10, end, &[150, end - 50, end]));
        assert_eq!(needs, [], "in collection {step}");
    }
}

#[test]
fn a_lag_that_stands_still_is_looked_at_once_and_again_when_more_comes() {
    let mut watch = Watch::new();
    let nothing = |wanted: RecordWanted| Ok(RecordFound::Nothing { before: wanted.need.end });
    watch.collect(&snapshot(0, 100, &[100]), nothing);
    for second in [10, 20, 30] {
        watch.collect(&snapshot(second, 101, &[100]), nothing);
        assert_eq!(watch.asked.len(), usize::from(second == 30), "at {second} s");
    }
    assert_eq!(watch.age(100, 101), OldestUnread::None);
    watch.collect(&snapshot(40, 101, &[100]), nothing);
    assert_eq!(watch.asked.len(), 0);
    watch.collect(&snapshot(50, 103, &[100]), |wanted| {
        assert_eq!(wanted.from, Offset::new(101), "what is known to hold nothing is not read again");
        Ok(RecordFound::Record { offset: Offset::new(102), stamp: Stamp::Created(ms(45)) })
    });
    assert_eq!(watch.asked.len(), 1);
    assert!(matches!(watch.age(100, 103), OldestUnread::Aged(_)));
}

#[test]
fn a_right_that_is_missing_is_asked_for_once_a_minute_and_is_the_reason() {
    let mut watch = Watch::new();
    let mut rounds = Vec::new();
    for second in (0..=70).step_by(10) {
        watch.collect(&snapshot(second, 1_000, &[5, 500]), |_| Err(UnknownReason::NotAuthorized));
        rounds.push(!watch.asked.is_empty());
    }
    assert_eq!(rounds, [true, false, false, false, false, false, true, false]);
    let bound = Duration::from_secs(70);
    assert_eq!(watch.age(5, 1_000), OldestUnread::AtLeast(bound, UnknownReason::NotAuthorized));
    watch.collect(&snapshot(130, 1_000, &[5]), |wanted| {
        Ok(RecordFound::Record { offset: wanted.from, stamp: Stamp::Created(ms(-70)) })
    });
    assert!(matches!(watch.age(5, 1_000), OldestUnread::Aged(_)));
}

#[test]
fn what_the_budget_leaves_out_is_next_and_nobody_waits_for_ever() {
    let mut watch = Watch::new();
    let partitions: Vec<(u64, u64)> = vec![(0, 1_000); 10];
    let offsets: Vec<(&str, i32, u64)> = (0..10).map(|partition| ("t", partition, 7)).collect();
    for collection in 0..4 {
        let snapshot = cluster(collection * 10).topic("t", 1, &partitions).group("g", &offsets);
        let needs = watch.observe(&snapshot);
        let wanted = watch.records.next_round(&needs, 3);
        assert_eq!(wanted.len(), if collection < 3 { 3 } else { 1 }, "in collection {collection}");
        for one in wanted {
            watch.records.take(one, Ok(RecordFound::Record { offset: one.from, stamp: Stamp::Created(ms(-70)) }));
        }
        let left = watch.records.at(needs[9].place, needs[9].end);
        let expected = RecordKnown::NotRead(UnknownReason::OverBudget);
        assert_eq!(left == expected, collection < 3, "in collection {collection}");
    }
    assert_eq!(watch.records.totals().0, 10);
}
