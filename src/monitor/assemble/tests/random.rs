//! Whatever is read, the view agrees with itself, and one that is kept up with one that is made anew.

use super::*;

#[derive(Clone, Debug)]
struct Read {
    logs: Vec<Option<(u64, u64)>>,
    committed: Option<Vec<Option<u64>>>,
    owned: Option<Vec<i32>>,
    listed: bool,
}

fn reads() -> impl Strategy<Value = Vec<Read>> {
    let log = prop::option::weighted(0.9, (0..20_u64, 0..30_u64).prop_map(|(start, length)| (start, start + length)));
    let committed = prop::option::weighted(0.9, prop::collection::vec(prop::option::weighted(0.8, 0..60_u64), 3));
    let owned = prop::option::weighted(0.9, prop::collection::vec(0..3_i32, 0..3));
    let read = (prop::collection::vec(log, 3), committed, owned, prop::bool::weighted(0.9));
    let read = read.prop_map(|(logs, committed, owned, listed)| Read { logs, committed, owned, listed });
    prop::collection::vec(read, 1..25)
}

fn snapshot(seconds: i64, read: &Read) -> ClusterSnapshot {
    let mut snapshot = cluster(seconds).topic("orders", 1, &[(0, 0), (0, 0), (0, 0)]);
    for (partition, log) in snapshot.topics[0].partitions.iter_mut().zip(&read.logs) {
        partition.range = log.map_or(Reading::Unknown(UnknownReason::NoLeader), |(start, end)| known_log(start, end));
    }
    snapshot.listing_complete = read.listed;
    if !read.listed {
        return snapshot;
    }
    let known = read.committed.iter().flatten().zip(0..);
    let committed: Vec<_> = known.filter_map(|(offset, partition)| Some(("orders", partition, (*offset)?))).collect();
    snapshot = snapshot.group("g", &committed);
    if let Some(owned) = &read.owned {
        snapshot = snapshot.member("g", "a", "orders", owned);
    }
    let unknown = read.committed.is_none();
    snapshot.change_group("g", |group| {
        if unknown {
            group.committed = Reading::Unknown(UnknownReason::Timeout);
        }
    })
}

proptest! {
    #[test]
    fn whatever_is_read_the_view_agrees_with_itself(reads in reads(), step in 1..90_i64) {
        let mut watch = Watch::new();
        for (index, read) in (0..).zip(&reads) {
            watch.see(&snapshot(index * step, read));
            for group in &watch.last.as_ref().unwrap().groups {
                let pairs: Vec<_> = group.partitions().into_iter().map(|(_, pair)| pair).collect();
                let known: Vec<u64> = pairs.iter().filter_map(|pair| pair.lag.known()).collect();
                let is_empty = !pairs.is_empty() && group.unknown_partitions == 0;
                let is_quiet = pairs.iter().any(|pair| {
                    pair.status == Status::Unknown && pair.lag.reason() == Some(UnknownReason::NeverCommitted)
                });
                let sum = known.iter().copied().reduce(|a, b| a + b).or((is_empty && !is_quiet).then_some(0));
                prop_assert_eq!(group.lag.known(), sum, "the sum of what is known");
                let worst = pairs.iter().map(|pair| pair.status.badness()).max();
                prop_assert_eq!(group.status.badness(), worst.unwrap_or(0), "as bad as the worst partition");
                prop_assert!(!watch.sentence("g").is_empty() && watch.sentence("g").ends_with('.'), "{}", watch.sentence("g"));
                prop_assert!(pairs.windows(2).all(|two| two[0].partition < two[1].partition));
                for pair in pairs {
                    if let (Reading::Known(committed), Reading::Known(range)) = (pair.committed, pair.range) {
                        let whole = range.end.get().checked_sub(committed.get());
                        let unread = whole.map(|whole| whole.min(range.end.get() - range.start.get()));
                        prop_assert_eq!(pair.lag.known(), unread, "what lies between the place and the end");
                        let deleted = range.start.get().min(range.end.get()).saturating_sub(committed.get());
                        prop_assert_eq!(pair.expired, Reading::Known(deleted), "what was deleted unread stands apart");
                    } else {
                        prop_assert_eq!(pair.lag.known(), None, "unknown never becomes a number");
                        prop_assert_eq!(pair.time_lag.known(), None);
                    }
                    if read.committed.is_none() {
                        prop_assert_eq!(pair.status, Status::Unknown);
                    }
                }
            }
        }
    }

    /// Groups of which nothing changed are not looked at: nobody may see that.
    #[test]
    fn a_group_that_stands_is_shown_as_if_it_had_been_looked_at(
        reads in prop::collection::vec((0..6_usize, 1..25_i64), 1..12),
        kinds in reads(),
        step in 5..40_i64,
    ) {
        let (mut standing, mut looked_at) = (Watch::new(), Watch::new());
        let mut seconds = 0;
        for (kind, times) in reads {
            for _ in 0..times {
                let read = snapshot(seconds, &kinds[kind % kinds.len()]).topic("idle", 2, &[(0, 50)]).group("idle", &[("idle", 0, 20)]);
                standing.see(&read);
                looked_at.live.write().unwrap().snapshot = None;
                looked_at.see(&read);
                seconds += step;
                let now = read.ends_at;
                prop_assert_eq!(shown(&standing, now), shown(&looked_at, now));
            }
        }
        prop_assert_eq!(format!("{:?}", standing.entries), format!("{:?}", looked_at.entries));
    }
}

/// Everything that is shown, ages as they are at `now`.
fn shown(watch: &Watch, now: DateTime<Utc>) -> Vec<String> {
    let last = watch.last.as_ref().unwrap();
    let live = watch.live.read().unwrap();
    let group = |group: &Arc<GroupView>| {
        let topics: Vec<_> = group
            .topics
            .iter()
            .map(|topic| GroupTopicView {
                age: topic.time_lag().map(|time_lag| crate::monitor::view::Age::new(group.grown(time_lag, now))),
                risk: None,
                ..topic.clone()
            })
            .collect();
        let still = GroupView {
            time_lag: group.time_lag_at(now),
            time_lag_at_least: None,
            retention_risk: Reading::Unknown(UnknownReason::NotReadYet),
            runway: Reading::Unknown(UnknownReason::NotReadYet),
            as_of: now,
            spark: Default::default(),
            topics: topics.into(),
            summed: Default::default(),
            ..GroupView::clone(group)
        };
        let history = &live.history;
        let past = (history.group_series(&group.id, 50), history.pair_samples(&group.id, Duration::from_secs(600), 20));
        let rows: Vec<_> = group.partitions().into_iter().map(|(_, row)| row).collect();
        format!("{still:?} {rows:?} {:?} {past:?}", group.words())
    };
    last.groups.iter().map(group).chain([format!("{:?} {:?}", last.topics, last.partition_failures)]).collect()
}
