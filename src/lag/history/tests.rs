use super::*;
use crate::lag::{
    Lag, Offset, OldestUnread, TimeLagSource, UnknownReason, oldest_unread,
    testing::{at, cluster},
};
use proptest::prelude::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn history() -> History {
    with_budget(1 << 30)
}

fn with_budget(budget_bytes: u64) -> History {
    History::new(HistoryLimits {
        budget_bytes,
        horizon: 6 * HOUR,
        spark_bucket: Duration::from_secs(60),
        window: Duration::from_secs(600),
    })
}

fn pair<'a>(history: &'a History, group: &str, topic: &str, partition: i32) -> &'a PairTrack {
    history.group(group).unwrap().pair(history.slot(topic).unwrap(), partition).unwrap()
}

fn totals(history: &History, group: &str, topic: &str) -> TopicTotals {
    history.group(group).unwrap().totals(history.slot(topic).unwrap())
}

#[test]
fn progress_is_counted_forwards_and_backwards_apart() {
    let mut history = history();
    for (seconds, committed) in [(0, 100), (10, 150), (20, 120), (30, 160)] {
        history.observe(&cluster(seconds).topic("orders", 1, &[(0, 200)]).group("g", &[("orders", 0, committed)]));
    }
    let totals = totals(&history, "g", "orders");
    assert_eq!((totals.consumed, totals.rewound), (90, 30));
}

#[test]
fn a_rewind_lasts_until_the_former_place_is_reached() {
    let mut history = history();
    let mut rewinds = Vec::new();
    for (seconds, committed) in [(0, 100), (10, 40), (20, 99), (30, 100)] {
        let changes =
            history.observe(&cluster(seconds).topic("orders", 1, &[(0, 200)]).group("g", &[("orders", 0, committed)]));
        rewinds.push((changes.len(), pair(&history, "g", "orders", 0).rewind(history.tick(at(seconds)))));
    }
    let seen: Vec<_> = rewinds.iter().map(|(changes, rewind)| (*changes, rewind.map(|r| (r.ago.as_secs(), r.by)))).collect();
    assert_eq!(seen, [(0, None), (1, Some((0, 60))), (0, Some((10, 60))), (0, None)]);
}

#[test]
fn nothing_was_delivered_below_the_lowest_offset_of_a_span_that_the_history_covers() {
    let mut history = history();
    let undelivered = |history: &History, seconds| {
        let all = history.undelivered_for("g", Duration::from_secs(seconds));
        all.iter().map(|(topic, partition, offset)| (topic.to_string(), *partition, offset.get())).collect::<Vec<_>>()
    };
    assert_eq!(undelivered(&history, 0), [], "nothing was seen yet");
    for (seconds, committed) in [(0, 100), (10, 150), (20, 120), (30, 160)] {
        history.observe(&cluster(seconds).topic("orders", 1, &[(0, 200)]).group("g", &[("orders", 0, committed)]));
    }
    assert_eq!(undelivered(&history, 20), [("orders".to_owned(), 0, 120)], "it went back since");
    assert_eq!(undelivered(&history, 30), [("orders".to_owned(), 0, 100)]);
    assert_eq!(undelivered(&history, 31), [], "the history is not that old");
}

#[test]
fn records_deleted_unread_are_counted_once_and_not_those_from_before_we_watched() {
    let mut history = history();
    for (seconds, start, committed) in
        [(0, 30, 10), (10, 30, 10), (20, 50, 10), (30, 50, 10), (40, 50, 60), (50, 70, 60), (60, 70, 60)]
    {
        history.observe(&cluster(seconds).topic("orders", 1, &[(start, 200)]).group("g", &[("orders", 0, committed)]));
    }
    assert_eq!(totals(&history, "g", "orders").lost, 20 + 10);
}

#[test]
fn markers_that_are_deleted_are_no_lost_records() {
    let mut history = history();
    let mut see = |seconds, start, end, committed, empty_up_to: Option<u64>| {
        history.observe(&cluster(seconds).topic("orders", 1, &[(start, end)]).group("g", &[("orders", 0, committed)]));
        if let Some(up_to) = empty_up_to {
            history.note_empty("g", (history.slot("orders").unwrap(), 0), Offset::new(up_to));
        }
        totals(&history, "g", "orders").lost
    };
    assert_eq!(see(0, 50, 101, 100, Some(101)), 0, "the marker of the last transaction is left");
    assert_eq!(see(10, 101, 101, 100, None), 0, "it was deleted");
    assert_eq!(see(30, 106, 110, 100, None), 5, "records after it were deleted as well");
    assert_eq!(see(40, 106, 110, 40, None), 5, "moved back: what was deleted is counted once");
}

#[test]
fn a_log_that_holds_markers_only_counts_as_read_to_its_end() {
    let mut history = history();
    history.observe(&cluster(0).topic("orders", 1, &[(0, 101)]).group("g", &[("orders", 0, 100)]));
    let slot = history.slot("orders").unwrap();
    let zero_ago = |history: &History| {
        let now = history.now().unwrap().committed;
        history.group("g").unwrap().pair(slot, 0).unwrap().zero_ago(now)
    };
    assert_eq!(zero_ago(&history), None, "nobody has looked yet");
    history.note_empty("g", (slot, 0), Offset::new(101));
    assert_eq!(zero_ago(&history), Some(Duration::ZERO));
}

#[test]
fn a_topic_that_is_made_again_starts_with_an_empty_history() {
    let mut history = history();
    history.observe(&cluster(0).topic("orders", 1, &[(0, 100)]).group("g", &[("orders", 0, 50)]));
    history.observe(&cluster(10).topic("orders", 1, &[(0, 110)]).group("g", &[("orders", 0, 60)]));
    let changes = history.observe(&cluster(20).topic("orders", 2, &[(0, 5)]).group("g", &[("orders", 0, 5)]));
    assert_eq!(changes, [Change::TopicMadeAgain { topic: "orders".into() }]);
    assert_eq!(totals(&history, "g", "orders").consumed, 0);
    assert!(!pair(&history, "g", "orders", 0).committed().has_changed());
    assert_eq!(history.group("g").unwrap().pairs.len(), 1, "the pair of the former topic is gone");
    assert_eq!(history.topic(history.slot("orders").unwrap()).unwrap().produced_total(), 0);
}

#[test]
fn a_log_that_was_cut_is_not_a_rewind_of_the_group() {
    let mut history = history();
    history.observe(&cluster(0).topic("orders", 1, &[(0, 100)]).group("g", &[("orders", 0, 100)]));
    let changes = history.observe(&cluster(10).topic("orders", 1, &[(0, 80)]).group("g", &[("orders", 0, 80)]));
    assert_eq!(changes, []);
    assert_eq!(totals(&history, "g", "orders").rewound, 0);
}

#[test]
fn a_group_is_gone_only_after_two_complete_listings_in_a_row() {
    let mut history = history();
    let listing = |seconds, complete| {
        let mut snapshot = cluster(seconds).topic("orders", 1, &[(0, 100)]);
        snapshot.listing_complete = complete;
        snapshot
    };
    let with_g = |seconds, committed| listing(seconds, true).group("g", &[("orders", 0, committed)]);
    history.observe(&with_g(0, 50));
    assert_eq!(history.observe(&listing(10, true)), [], "one listing may be short");
    assert_eq!(history.observe(&with_g(20, 60)), []);
    assert_eq!(totals(&history, "g", "orders").consumed, 10, "its counters go on");
    assert_eq!(history.observe(&listing(30, false)), []);
    assert_eq!(history.observe(&listing(40, true)), [], "the first one that was complete");
    assert_eq!(history.observe(&listing(50, false)), []);
    assert!(history.group("g").is_some());
    assert_eq!(history.observe(&listing(60, true)), [Change::GroupGone { group: "g".into() }]);
    assert!(history.group("g").is_none());
}

#[test]
fn groups_that_no_complete_listing_decides_about_are_bounded_in_number_and_age() {
    let mut history = history();
    let listing = |seconds| {
        let mut snapshot = cluster(seconds).topic("orders", 1, &[(0, 100)]);
        snapshot.listing_complete = false;
        snapshot
    };
    for step in 0..300_i64 {
        let ten = (0..10).map(|index| format!("g{:04}", step * 10 + index));
        history.observe(&ten.fold(listing(step), |snapshot, id| snapshot.group(&id, &[])));
    }
    assert_eq!(history.groups.len(), 1_010, "a thousand and those of the last listing");
    assert!(history.group("g2500").is_some() && history.group("g1000").is_none(), "the oldest went");
    history.observe(&listing(299 + 24 * 3_600));
    assert_eq!(history.groups.len(), 10, "a day after the others were missed first");
    history.observe(&listing(299 + 48 * 3_600));
    assert_eq!(history.groups.len(), 0);
}

#[test]
fn offsets_are_gone_only_after_a_reading_that_did_not_fail() {
    let mut history = history();
    let log = |seconds| cluster(seconds).topic("orders", 1, &[(0, 100)]);
    history.observe(&log(0).group("g", &[("orders", 0, 50)]));
    let failed = log(10).group("g", &[]).change_group("g", |g| g.committed = Reading::Unknown(UnknownReason::Timeout));
    assert_eq!(history.observe(&failed), []);
    let orders_0 = TopicPartition { topic: "orders".into(), partition: 0 };
    let one_by_one = log(20).group("g", &[]).change_group("g", |group| {
        group.unreadable.insert(orders_0.clone(), UnknownReason::Timeout);
    });
    assert_eq!(history.observe(&one_by_one), []);
    let changes = history.observe(&log(30).group("g", &[]));
    assert_eq!(changes, [Change::OffsetsGone { group: "g".into(), at: orders_0 }]);
    assert!(pair(&history, "g", "orders", 0).gone_since().is_some());
    assert_eq!(history.observe(&log(40).group("g", &[])), [], "said once");
    history.observe(&log(50).group("g", &[("orders", 0, 7)]));
    assert!(pair(&history, "g", "orders", 0).gone_since().is_none(), "they are back");
    history.observe(&log(60).group("g", &[]));
    history.observe(&log(60 + 24 * 3_600).group("g", &[]));
    assert!(history.group("g").unwrap().pairs.is_empty(), "forgotten after a day");
}

#[test]
fn a_topic_that_is_gone_takes_its_pairs_along() {
    let mut history = history();
    history.observe(
        &cluster(0)
            .topic("orders", 1, &[(0, 1)])
            .topic("payments", 2, &[(0, 1)])
            .group("g", &[("orders", 0, 1), ("payments", 0, 1)]),
    );
    let changes = history.observe(&cluster(10).topic("payments", 2, &[(0, 1)]).group("g", &[("payments", 0, 1)]));
    assert_eq!(changes, [Change::TopicGone { topic: "orders".into() }]);
    assert_eq!(history.group("g").unwrap().pairs.len(), 1);
    assert_eq!(pair(&history, "g", "payments", 0).committed().latest().value(), 1);
}

#[test]
fn the_age_of_an_unread_record_comes_from_the_ends() {
    let mut history = history();
    for (seconds, end) in [(0, 100), (10, 100), (20, 200)] {
        history.observe(&cluster(seconds).topic("orders", 1, &[(0, end)]).group("g", &[("orders", 0, 150)]));
    }
    let slot = history.slot("orders").unwrap();
    let ends = history.partition(slot, 0).unwrap().ends();
    let OldestUnread::Aged(time_lag) = oldest_unread(Offset::new(150), ends, history.tick(at(60))) else {
        panic!("the history covers it")
    };
    assert_eq!(time_lag.source, TimeLagSource::History);
    assert_eq!(time_lag.age, Duration::from_millis(44_950));
}

#[test]
fn a_log_that_was_cut_keeps_the_ages_of_what_it_still_has() {
    let mut history = history();
    for (seconds, end) in [(0, 100), (10, 200), (20, 300), (30, 299), (40, 400)] {
        history.observe(&cluster(seconds).topic("orders", 1, &[(0, end)]));
    }
    let track = history.topic(history.slot("orders").unwrap()).unwrap();
    assert_eq!(track.produced_total(), 301);
    let age = |offset| oldest_unread(Offset::new(offset), track.partition(0).unwrap().ends(), history.tick(at(60)));
    let OldestUnread::Aged(time_lag) = age(149) else { panic!("it was written in the first ten seconds") };
    assert_eq!(time_lag.age, Duration::from_millis(55_050));
    assert_eq!(
        age(250),
        OldestUnread::AtLeast(Duration::from_secs(30), UnknownReason::HistoryTooShort),
        "it may be one that came after the cut"
    );
    history.observe(&cluster(70).topic("orders", 1, &[(0, 50)]));
    let ends = history.partition(history.slot("orders").unwrap(), 0).unwrap().ends();
    assert_eq!((ends.count(), ends.latest().value()), (1, 50), "nothing is left of what was known");
}

#[test]
fn time_passes_as_it_does_whatever_the_clock_is_set_to() {
    for set_by in [-3_600, 600 * 86_400] {
        let mut history = history();
        let read = |elapsed, time, committed| {
            let mut snapshot = cluster(time).topic("orders", 1, &[(0, 100)]).group("g", &[("orders", 0, committed)]);
            snapshot.elapsed = Duration::from_secs(elapsed);
            snapshot
        };
        history.observe(&read(1_000, 0, 40));
        history.observe(&read(1_010, 10, 50));
        history.observe(&read(1_100, 100 + set_by, 50));
        let seen = pair(&history, "g", "orders", 0);
        assert_eq!(seen.unchanged_for(history.tick(at(105 + set_by))), Duration::from_secs(95));
        assert_eq!(history.time(seen.unchanged_since()), at(10 + set_by), "by the clock of now");
        history.observe(&read(1_110, 110 + set_by, 60));
        assert_eq!(pair(&history, "g", "orders", 0).committed().latest().value(), 60, "what is read later is taken");
    }
}

#[test]
fn a_history_that_has_lasted_for_longer_than_its_ticks_begins_anew_and_goes_on() {
    let mut history = history();
    for (seconds, committed) in [(0, 50), (491 * 86_400, 60), (491 * 86_400 + 10, 70)] {
        history.observe(&cluster(seconds).topic("orders", 1, &[(0, 100)]).group("g", &[("orders", 0, committed)]));
    }
    let seen = pair(&history, "g", "orders", 0);
    assert_eq!((seen.committed().latest().value(), seen.committed().count()), (70, 2));
    assert_eq!(history.time(seen.unchanged_since()), at(491 * 86_400 + 10));
}

#[test]
fn a_chart_has_no_number_where_a_part_that_was_watched_could_not_be_read() {
    let mut history = history();
    let read = |seconds| cluster(seconds).topic("orders", 1, &[(0, 1_000), (0, 100), (0, 60)]);
    let two = [("orders", 0, 0), ("orders", 1, 100)];
    history.observe(&read(0).group("g", &two));
    history.observe(&read(10).without_log(0, UnknownReason::NoLeader).group("g", &two));
    let known = |history: &History| history.group_series("g", 10).unwrap().iter().map(|one| one.lag).collect::<Vec<_>>();
    assert_eq!(known(&history), [Some(1_000), None]);
    // A partition that is committed for the first time takes nothing from the time before.
    history.observe(&read(20).group("g", &[("orders", 0, 0), ("orders", 1, 100), ("orders", 2, 50)]));
    assert_eq!(known(&history), [Some(1_000), Some(1_000), Some(1_010)], "the log stood still");
    let gone = [("orders", 0, 0), ("orders", 1, 100)];
    history.observe(&read(30).group("g", &gone));
    assert_eq!(known(&history).last(), Some(&Some(1_000)), "what is gone is no hole");
}

#[test]
fn an_open_transaction_ages_while_the_last_stable_offset_stands_before_the_end() {
    let mut history = history();
    let mut age = |seconds, last_stable: u64, end| {
        let mut snapshot = cluster(seconds).topic("orders", 1, &[(0, end)]);
        if let Reading::Known(range) = &mut snapshot.topics[0].partitions[0].range {
            range.last_stable = Some(Offset::new(last_stable));
        }
        history.observe(&snapshot);
        let log = history.partition(history.slot("orders").unwrap(), 0).unwrap();
        log.open_transaction_age(history.tick(at(seconds))).map(|age| age.as_secs())
    };
    assert_eq!(age(0, 44, 44), None);
    assert_eq!(age(10, 44, 50), Some(0));
    assert_eq!(age(20, 44, 54), Some(10));
    assert_eq!(age(30, 52, 60), Some(0), "another transaction");
    assert_eq!(age(40, 60, 60), None);
}

/// `pairs` groups read one partition each; every second one is never caught up. All commit at every collection.
fn watch_many(history: &mut History, pairs: usize, collections: u64) {
    let ends: Vec<(u64, u64)> = (0..pairs).map(|_| (0, 1_000_000)).collect();
    for step in 0..collections {
        let ends: Vec<_> = ends.iter().map(|&(start, end)| (start, end + step * 10)).collect();
        let mut snapshot = cluster(i64::try_from(step).unwrap() * 10).topic("orders", 1, &ends);
        for index in 0..pairs {
            let end = 1_000_000 + step * 10;
            let committed = if index % 2 == 0 { end } else { end - 500 - step };
            snapshot = snapshot.group(&format!("g{index}"), &[("orders", i32::try_from(index).unwrap(), committed)]);
        }
        history.observe(&snapshot);
    }
}

#[test]
fn the_budget_is_kept_and_caught_up_pairs_are_thinned_first() {
    let mut generous = history();
    watch_many(&mut generous, 20, 300);
    let budget = generous.bytes() * 3 / 4;
    let mut history = with_budget(budget);
    watch_many(&mut history, 20, 300);
    assert!(history.bytes() <= budget, "{} of {budget}", history.bytes());
    let caught_up = pair(&history, "g0", "orders", 0).committed().count();
    let behind = pair(&history, "g1", "orders", 1).committed().count();
    assert!(caught_up * 2 < behind, "{caught_up} runs of a pair that is caught up, {behind} of one that is behind");
    assert_eq!(history.covers(), Duration::from_secs(2_990));
}

#[test]
fn nothing_older_than_the_horizon_is_kept() {
    let mut history = history();
    watch_many(&mut history, 2, 3_000);
    assert!(pair(&history, "g1", "orders", 1).committed().count() <= 2_162);
    assert!(history.covers() <= 6 * HOUR + Duration::from_secs(20), "{:?}", history.covers());
}

#[test]
fn a_chart_sums_the_partitions_that_were_known_and_leaves_holes_where_none_was() {
    let mut history = history();
    let ends = |end| [(0, end), (0, end)];
    history.observe(&cluster(0).topic("o", 1, &ends(100)).group("g", &[("o", 0, 90), ("o", 1, 80)]));
    let failed = cluster(10).topic("o", 1, &ends(100)).group("g", &[]);
    history.observe(&failed.change_group("g", |group| group.committed = Reading::Unknown(UnknownReason::Timeout)));
    history.observe(&cluster(20).topic("o", 1, &ends(140)).group("g", &[("o", 0, 110), ("o", 1, 100)]));
    history.observe(&cluster(30).topic("o", 1, &ends(160)).group("g", &[("o", 0, 160), ("o", 1, 160)]));
    let series = history.group_series("g", 100).unwrap();
    assert_eq!(series.iter().map(|sample| sample.lag).collect::<Vec<_>>(), [Some(30), None, Some(70), Some(0)]);
    assert_eq!(series[3].consumed_per_second, Some(11.0));
    assert_eq!(series[3].produced_per_second, Some(4.0));
    assert_eq!(history.group_series("nobody", 100), None);
}

#[test]
fn a_heat_row_has_one_value_per_bucket_of_time() {
    let mut history = history();
    for step in 0..10_u64 {
        let log = cluster(i64::try_from(step).unwrap() * 10).topic("o", 1, &[(0, 100 + step)]);
        history.observe(&log.group("g", &[("o", 0, 100)]));
    }
    let rows = history.pair_samples("g", Duration::from_secs(100), 5);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].lag, [Some(1), Some(3), Some(5), Some(7), Some(9)]);
    let rows = history.pair_samples("g", Duration::from_secs(200), 4);
    assert_eq!(rows[0].lag, [None, None, Some(4), Some(9)], "nothing is known of the time before the first reading");
}

#[test]
fn a_clock_that_goes_back_does_not_disturb_the_history() {
    let mut history = history();
    for (seconds, committed) in [(100, 1), (50, 2), (110, 3)] {
        history.observe(&cluster(seconds).topic("o", 1, &[(0, 10)]).group("g", &[("o", 0, committed)]));
    }
    assert_eq!(pair(&history, "g", "o", 0).committed().latest().value(), 3);
    assert_eq!(totals(&history, "g", "o").consumed, 2);
}

#[derive(Clone, Debug)]
struct Reads {
    start: u64,
    end: u64,
    committed: Option<u64>,
    readable: bool,
}

fn reads() -> impl Strategy<Value = Vec<Reads>> {
    let read = (0..30_u64, 0..60_u64, prop::option::weighted(0.8, 0..100_u64), prop::bool::weighted(0.9));
    let read =
        read.prop_map(|(start, length, committed, readable)| Reads { start, end: start + length, committed, readable });
    prop::collection::vec(read, 1..40)
}

proptest! {
    #[test]
    fn whatever_is_read_the_past_is_never_a_number_that_was_not_measured(reads in reads(), budget in prop_oneof![Just(0), Just(1 << 30)]) {
        let mut history = with_budget(budget);
        let mut now = 0;
        for read in &reads {
            now += 10;
            let committed: Vec<_> = read.committed.map(|offset| ("o", 0, offset)).into_iter().collect();
            let mut snapshot = cluster(now).topic("o", 1, &[(read.start, read.end)]).group("g", &committed);
            if !read.readable {
                snapshot = snapshot.without_log(0, UnknownReason::NoLeader);
            }
            history.observe(&snapshot);
        }
        let last = reads.last().unwrap();
        let newest = history.group_series("g", 1_000).unwrap().pop().unwrap();
        match (last.committed, last.readable) {
            (Some(committed), true) if committed <= last.end => {
                prop_assert_eq!(newest.lag, Some(last.end - committed.max(last.start)));
            }
            (Some(_), true) => prop_assert_eq!(newest.lag, None, "beyond the end"),
            (None, _) => prop_assert_eq!(newest.lag, None),
            // A log that was not readable this time: nothing newer than its last reading is made up.
            (Some(_), false) => prop_assert_eq!(newest.lag, None),
        }
        for sample in history.group_series("g", 1_000).unwrap() {
            prop_assert!(sample.consumed_per_second.is_none_or(|speed| speed >= 0.0 && speed.is_finite()));
        }
        let track = history.group("g").unwrap();
        for pair in &track.pairs {
            let now = history.tick(at(now));
            prop_assert!(pair.unchanged_for(now) <= pair.observed_for(now));
            if let (Some(log), Some(moment)) = (history.partition(pair.slot(), 0), history.now())
                && let Some(Lag::Behind { unread, .. }) = lag_at(pair, log, moment)
            {
                prop_assert!(unread <= 90);
            }
        }
    }
}
