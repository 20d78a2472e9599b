//! Days in the life of a group, collection by collection, as the view shows them.

mod ages;
mod offsets;
mod random;

use super::*;
use crate::lag::{
    CommittedOffset, GroupState, LogRange, Offset, RecordFound, RecordWanted, Spans, Stamp, Status, TimeLag, TimeLagSource,
    TopicPartition,
    testing::{at, cluster, known_log},
};
use crate::monitor::{
    alerts::EngineSettings,
    view::{Drain, LastKnown, Note, PartitionView, TimelineKind},
};
use proptest::prelude::*;
use std::{sync::RwLock, time::Duration};

mod kinds;

fn settings() -> Settings {
    Settings {
        interval: Duration::from_secs(10),
        spans: Spans { stalled_after: Duration::from_secs(60), window: Duration::from_secs(600) },
        history_bytes: 1 << 24,
        thresholds: Default::default(),
        alerts: EngineSettings::default(),
    }
}

/// A cluster that is watched.
struct Watch {
    live: Arc<RwLock<Live>>,
    settings: Arc<Settings>,
    details: Details,
    records: OldestRecords,
    entries: Vec<TimelineEntry>,
    last: Option<Assembled>,
}

impl Watch {
    fn new() -> Self {
        let settings = Arc::new(settings());
        let records = OldestRecords::new(settings.age_tolerance());
        let live = Arc::new(RwLock::new(Live::new(settings.history_limits(1), records.clone())));
        let details = Details(Arc::new(LiveDetails { live: Arc::clone(&live), settings: Arc::clone(&settings) }));
        Self { live, settings, details, records, entries: Vec::new(), last: None }
    }

    fn see(&mut self, snapshot: &ClusterSnapshot) -> &mut Self {
        self.see_asking(snapshot, |_| None)
    }

    /// The same where records are looked at: `answer` gives what is found, and `None` where nobody is asked.
    fn see_asking(
        &mut self,
        snapshot: &ClusterSnapshot,
        answer: impl Fn(RecordWanted) -> Option<Result<RecordFound, UnknownReason>>,
    ) -> &mut Self {
        let (cluster, now) = ("local".into(), snapshot.ends_at);
        let mut live = self.live.write().unwrap();
        let look = live.look_ahead(Arc::new(snapshot.clone()), &mut self.records, &self.settings, now);
        loop {
            let wanted = self.records.next_round(&look.needs, usize::MAX).into_iter();
            let answers: Vec<_> = wanted.filter_map(|wanted| Some((wanted, answer(wanted)?))).collect();
            if answers.is_empty() {
                break;
            }
            for (wanted, answer) in answers {
                self.records.take(wanted, answer);
            }
        }
        let topics = self.last.as_ref().map_or(&[][..], |last| &last.topics);
        let watched = Watched {
            cluster: &cluster,
            settings: &self.settings,
            details: &self.details,
            topics,
            transactions: &Default::default(),
        };
        let mut seen = assemble(&watched, &mut live, &self.records, now).unwrap();
        drop(live);
        self.entries.append(&mut seen.entries);
        self.last = Some(seen);
        self
    }

    fn group(&self, id: &str) -> &GroupView {
        let last = self.last.as_ref().unwrap();
        last.groups.iter().find(|group| group.id.as_ref() == id).unwrap()
    }

    fn partition(&self, group: &str, partition: i32) -> PartitionView {
        let partitions = self.group(group).partitions().into_iter();
        partitions.map(|(_, view)| view).find(|view| view.partition == partition).unwrap()
    }

    fn sentence(&self, group: &str) -> String {
        self.group(group).words().sentence
    }

    fn advice(&self, group: &str) -> Option<String> {
        self.group(group).words().advice
    }

    fn told(&self, kind: TimelineKind) -> Vec<&str> {
        self.entries.iter().filter(|entry| entry.kind == kind).map(|entry| entry.text.as_str()).collect()
    }
}

/// Every 10 s for `minutes`; `shape` gives (end, committed) after so many seconds. One member owns the partition.
fn watch_one(minutes: i64, shape: impl Fn(u64) -> (u64, u64)) -> Watch {
    let mut watch = Watch::new();
    for step in 0..=minutes * 6 {
        let seconds = step * 10;
        let (end, committed) = shape(seconds.unsigned_abs());
        let snapshot = cluster(seconds).topic("orders", 1, &[(0, end)]).group("g", &[("orders", 0, committed)]);
        watch.see(&snapshot.member("g", "worker-1", "orders", &[0]));
    }
    watch
}

#[test]
fn a_group_that_reads_what_comes_keeps_up() {
    let watch = watch_one(5, |s| (1_000 + s * 10, 990 + s * 10));
    let group = watch.group("g");
    assert_eq!(group.status, Status::Ok);
    assert_eq!(group.lag, Reading::Known(10));
    assert_eq!(watch.sentence("g"), "Reads 10 messages/s and is 0.9 s behind.");
    assert_eq!((group.consumed_per_second, group.produced_per_second), (Reading::Known(10.0), Reading::Known(10.0)));
    assert_eq!(group.drain, Drain::In(Duration::from_secs(1)));
    assert_eq!(group.time_lag.known().unwrap().source, TimeLagSource::History);
    assert!(group.retention_risk.known().unwrap() < 0.001);
    assert_eq!(watch.advice("g"), None);
    assert_eq!(group.topics[0].consumed_total, 3_000);
    assert_eq!(watch.last.as_ref().unwrap().topics[0].produced_total, 3_000);
    assert_eq!(watch.partition("g", 0).owner.as_deref(), Some("worker-1"));
    assert_eq!(watch.partition("g", 0).at_risk, Reading::Known(100));
}

#[test]
fn a_group_that_stands_still_with_members_is_stalled_with_exact_evidence() {
    let watch = watch_one(5, |s| (1_000 + s, 1_000 + s.min(60)));
    let group = watch.group("g");
    assert_eq!(group.status, Status::Stalled);
    assert_eq!(watch.sentence("g"), "Partition 0 has not moved for 4 min while 240 messages arrived.");
    assert!(
        watch.advice("g").as_ref().unwrap().contains("worker-1 does with the record orders/0@1060"),
        "{:?}",
        watch.advice("g")
    );
    assert_eq!(group.drain, Drain::Never);
    assert_eq!(group.last_commit_at, Some(at(60)));
    let told = watch.told(TimelineKind::Status);
    assert_eq!(told, ["g stopped moving. Partition 0 has not moved for 1 min 10 s while 70 messages arrived."]);
}

#[test]
fn a_group_that_commits_every_ten_minutes_is_not_left_by_everybody_until_it_stops() {
    let mut watch = Watch::new();
    let mut status_at = |seconds: u64, committed: u64| {
        let snapshot = cluster(seconds.cast_signed()).topic("orders", 1, &[(0, 1_000 + seconds)]);
        watch.see(&snapshot.group("flink", &[("orders", 0, committed)]));
        watch.group("flink").status
    };
    for seconds in (0..7_200).step_by(10) {
        let status = status_at(seconds, 1_000 + seconds / 600 * 600);
        assert!(seconds < 600 || status == Status::Ok, "{seconds} s: {status:?}");
    }
    // The last commit was at 6,600 s.
    let mut gone = (7_200..9_000).step_by(10).skip_while(|&seconds| status_at(seconds, 7_600) != Status::NoMembers);
    assert_eq!(gone.next(), Some(7_810), "after twice its usual wait");
}

#[test]
fn a_group_that_reads_less_than_comes_falls_behind() {
    let watch = watch_one(10, |s| (1_000 + s * 20, 900 + s * 10));
    let group = watch.group("g");
    assert_eq!(group.status, Status::FallingBehind);
    assert!(
        watch.sentence("g").starts_with("+10 messages/s for 10 min; the oldest unread message is deleted in 54 min"),
        "{}",
        watch.sentence("g")
    );
    assert!((group.trend_per_second.known().unwrap() - 10.0).abs() < 0.1);
    assert_eq!(group.drain, Drain::Never);
}

#[test]
fn a_group_that_reads_off_its_backlog_catches_up() {
    let watch = watch_one(5, |s| (10_000 + s, 1_000 + s * 11));
    let group = watch.group("g");
    assert_eq!(group.status, Status::CatchingUp);
    assert_eq!(watch.sentence("g"), "6,000 messages left, done in about 10 min at the present speed.");
    assert_eq!(group.time_lag, Reading::Unknown(UnknownReason::HistoryTooShort), "the backlog is older than the history");
    assert_eq!(group.runway.known(), None);
}

#[test]
fn a_backlog_is_not_judged_before_it_was_watched_for_long_enough() {
    let watch = watch_one(0, |_| (100, 40));
    let group = watch.group("g");
    assert_eq!((group.status, group.lag), (Status::Unknown, Reading::Known(60)));
    assert_eq!(watch.sentence("g"), "60 messages left; watched for 0.0 s, a verdict takes 1 min.");
    assert!(watch.entries.is_empty());
}

#[test]
fn a_group_without_members_is_called_so_and_commits_without_members_are_unmanaged() {
    let mut watch = Watch::new();
    for step in 0..30_i64 {
        let seconds = step * 10;
        let moved = 100 + step.unsigned_abs();
        let snapshot = cluster(seconds).topic("orders", 1, &[(0, 1_000)]);
        watch.see(&snapshot.group("flink", &[("orders", 0, moved)]).group("left", &[("orders", 0, 91)]));
    }
    assert_eq!(watch.group("left").status, Status::NoMembers);
    assert_eq!(watch.sentence("left"), "Nobody is reading orders; 909 messages wait, the oldest for more than 4 min 50 s.");
    assert_eq!(watch.group("flink").status, Status::CatchingUp);
    assert_eq!(watch.group("flink").notes, [Note::Unmanaged]);
}

#[test]
fn what_a_failed_reading_hides_is_unknown_and_named_beside_the_sum() {
    let mut watch = Watch::new();
    let read = |seconds| cluster(seconds).topic("orders", 1, &[(0, 100), (0, 100)]);
    let committed = [("orders", 0, 90), ("orders", 1, 90)];
    watch.see(&read(0).group("g", &committed));
    assert_eq!(watch.group("g").lag, Reading::Known(20));
    watch.see(&read(10).without_log(1, UnknownReason::NoLeader).group("g", &committed));
    let group = watch.group("g");
    assert_eq!((group.lag, group.unknown_partitions), (Reading::Known(10), 1));
    assert!(group.notes.contains(&Note::Partial));
    assert_eq!(watch.partition("g", 1).lag, Reading::Unknown(UnknownReason::NoLeader));
    assert_eq!(watch.partition("g", 1).status, Status::Unknown);
    assert_eq!(watch.partition("g", 1).drain, Drain::Unknown);
    let last = watch.last.as_ref().unwrap();
    assert_eq!(last.topics[0].retained_messages, Reading::Unknown(UnknownReason::NoLeader));
    assert_eq!(last.partition_failures["no_leader"], 1);
}

#[test]
fn a_part_that_became_unknown_is_no_progress_in_the_group_s_trend() {
    let mut watch = Watch::new();
    let read = |seconds| cluster(seconds).topic("orders", 1, &[(0, 1_000_000), (0, 100)]);
    let committed = [("orders", 0, 0), ("orders", 1, 100)];
    watch.see(&read(0).group("g", &committed));
    watch.see(&read(10).without_log(0, UnknownReason::NoLeader).group("g", &committed));
    let lag =
        |watch: &Watch| watch.live.read().unwrap().history.settled("g").unwrap().lag.as_ref().unwrap().latest().value();
    assert_eq!(lag(&watch), 1_000_000);
    watch.see(&read(20).group("g", &committed[1..]).change_group("g", |group| {
        group.unreadable.insert(TopicPartition { topic: "orders".into(), partition: 0 }, UnknownReason::Timeout);
    }));
    assert_eq!(lag(&watch), 1_000_000);
    assert_eq!(watch.live.read().unwrap().history.group_series("g", 10).unwrap().last().unwrap().lag, None);
}

#[test]
fn a_group_whose_offsets_cannot_be_read_stays_with_its_age_and_no_number() {
    let mut watch = Watch::new();
    let read = |seconds| cluster(seconds).topic("orders", 1, &[(0, 100)]).group("g", &[("orders", 0, 90)]);
    watch.see(&read(0));
    watch.see(&read(10).change_group("g", |group| group.committed = Reading::Unknown(UnknownReason::Timeout)));
    let group = watch.group("g");
    assert_eq!((group.status, group.lag), (Status::Unknown, Reading::Unknown(UnknownReason::Timeout)));
    assert_eq!(watch.sentence("g"), "Cannot tell: the broker did not answer in time.");
    assert_eq!(group.read_at, Some(at(0)));
    assert_eq!(watch.partition("g", 0).committed, Reading::Unknown(UnknownReason::Timeout));
    assert_eq!(group.spark.points().last(), Some(&Some(10.0)), "the last known value of the bucket");
    watch.see(&read(20));
    assert_eq!(watch.group("g").lag, Reading::Known(10));
}

#[test]
fn a_group_that_no_listing_names_stays_unknown_until_two_complete_ones_left_it_out() {
    let mut watch = Watch::new();
    let logs = |seconds| cluster(seconds).topic("orders", 1, &[(0, 100)]);
    watch.see(&logs(0).group("g", &[("orders", 0, 90)]));
    let mut partial = logs(10);
    partial.listing_complete = false;
    watch.see(&partial);
    let group = watch.group("g");
    assert_eq!(group.notes, [Note::MembersUnknown, Note::Partial, Note::Unlisted]);
    assert_eq!((group.status, group.lag.known()), (Status::Unknown, None));
    assert_eq!(group.members, Reading::Unknown(UnknownReason::Unreachable));
    watch.see(&logs(20));
    let group = watch.group("g");
    assert_eq!((group.status, group.lag), (Status::Unknown, Reading::Unknown(UnknownReason::LeftOut)), "it may come back");
    assert_eq!(watch.told(TimelineKind::Members), Vec::<&str>::new());
    watch.see(&logs(30));
    assert!(watch.last.as_ref().unwrap().groups.is_empty());
    assert_eq!(watch.told(TimelineKind::Members), ["g was deleted."]);
}

#[test]
fn a_topic_that_nobody_subscribes_to_is_shown_and_left_out() {
    let mut watch = Watch::new();
    let logs = cluster(0).topic("old", 1, &[(0, 500)]).topic("orders", 2, &[(0, 100)]);
    let group = logs.group("g", &[("old", 0, 0), ("orders", 0, 90)]);
    watch.see(&group.member("g", "w", "orders", &[0]));
    let group = watch.group("g");
    assert_eq!(group.lag, Reading::Known(10));
    assert_eq!(group.topics.iter().map(|topic| topic.unsubscribed).collect::<Vec<_>>(), [true, false]);
    assert_eq!(group.topics[0].lag(), Reading::Known(500));
    assert_eq!(group.notes, [Note::Unsubscribed]);
    assert_eq!(watch.live.read().unwrap().history.group_series("g", 10).unwrap()[0].lag, Some(10));
}

#[test]
fn a_topic_that_was_left_out_stays_so_when_the_group_is_empty_and_what_it_read_counts() {
    let mut watch = Watch::new();
    let read = |seconds| {
        let logs = cluster(seconds).topic("old", 1, &[(0, 500)]).topic("orders", 2, &[(0, 100)]);
        logs.group("g", &[("old", 0, 0), ("orders", 0, 100)])
    };
    watch.see(&read(0).member("g", "w", "orders", &[0]));
    for seconds in [10, 40, 80] {
        watch.see(&read(seconds));
        let group = watch.group("g");
        assert_eq!((group.status, group.lag), (Status::Ok, Reading::Known(0)), "after {seconds} s");
        assert_eq!(group.notes, [Note::Unsubscribed]);
    }
    let logs = cluster(90).topic("old", 1, &[(0, 500)]).topic("orders", 2, &[(0, 130)]);
    watch.see(&logs.group("g", &[("old", 0, 0), ("orders", 0, 100)]));
    assert_eq!(watch.group("g").lag, Reading::Known(30));
    watch.see(&read(100).member("g", "w", "orders", &[0]).member("g", "v", "old", &[0]));
    assert_eq!(watch.group("g").lag, Reading::Known(500), "until somebody subscribes to it");
}

#[test]
fn a_topic_that_is_filtered_out_is_no_part_of_a_group_whose_member_owns_it() {
    let mut watch = Watch::new();
    let logs = cluster(0).topic("orders", 1, &[(0, 100)]).group("g", &[("orders", 0, 90)]);
    watch.see(&logs.member("g", "w", "orders", &[0]).member("g", "v", "filtered-out", &[0, 1]));
    let group = watch.group("g");
    assert_eq!(group.topics.iter().map(|topic| &*topic.topic).collect::<Vec<_>>(), ["orders"]);
    assert_eq!((group.lag, group.unknown_partitions, group.partition_count()), (Reading::Known(10), 0, 1));
    assert_eq!(group.members.as_ref().known().map(Vec::len), Some(2));
    assert_eq!(group.notes, []);
}

#[test]
fn rebalances_rewinds_and_lost_members_are_told_once() {
    let mut watch = Watch::new();
    let logs = |seconds, committed| {
        cluster(seconds).topic("orders", 1, &[(0, 100), (0, 0)]).group("g", &[("orders", 0, committed)])
    };
    watch.see(&logs(0, 90).member("g", "a", "orders", &[0]).member("g", "b", "orders", &[1]));
    watch.see(&logs(10, 90).member("g", "b", "orders", &[1]).member("g", "a", "orders", &[0]));
    assert!(watch.entries.is_empty(), "the order of members says nothing: {:?}", watch.entries);
    watch.see(&logs(20, 90).member("g", "a", "orders", &[0, 1]));
    watch.see(&logs(30, 50).member("g", "a", "orders", &[0, 1]));
    watch.see(&logs(40, 50));
    watch.see(&logs(50, 50));
    assert_eq!(watch.told(TimelineKind::Rebalance), ["g rebalanced, 2 → 1 member."]);
    assert_eq!(watch.told(TimelineKind::Rewind), ["g was moved back by 40 messages in 1 partition."]);
    assert_eq!(watch.told(TimelineKind::Members), ["g lost its last member."]);
    let group = watch.group("g");
    assert_eq!((group.rebalances_total, group.topics[0].rewound_total()), (2, 40));
    assert_eq!(group.status, Status::Unknown, "watched for less than S");
}

#[test]
fn a_rebalance_that_is_seen_half_way_counts_once() {
    let mut watch = Watch::new();
    let read = |seconds, owned: [&[i32]; 2]| {
        let logs = cluster(seconds).topic("orders", 1, &[(0, 100), (0, 0)]).group("g", &[("orders", 0, 90)]);
        logs.member("g", "a", "orders", owned[0]).member("g", "b", "orders", owned[1])
    };
    watch.see(&read(0, [&[0], &[1]]));
    watch.see(&read(10, [&[], &[]]).change_group("g", |group| {
        group.state = Reading::Known(GroupState::CompletingRebalance);
    }));
    let group = watch.group("g");
    assert_eq!((group.topics[0].unassigned.known(), group.idle_members()), (None, None), "it is not done");
    watch.see(&read(20, [&[1], &[0]]));
    assert_eq!(watch.group("g").rebalances_total, 1);
    watch.see(&read(30, [&[0, 1], &[]]));
    assert_eq!((watch.group("g").topics[0].unassigned.known(), watch.group("g").idle_members()), (Some(0), Some(1)));
}

#[test]
fn members_that_cannot_be_read_are_no_rebalance_and_no_absence() {
    let mut watch = Watch::new();
    let read = |seconds| {
        let logs = cluster(seconds).topic("orders", 1, &[(0, 100)]);
        logs.group("g", &[("orders", 0, 90)]).member("g", "a", "orders", &[0])
    };
    watch.see(&read(0));
    for seconds in [10, 80] {
        watch.see(&read(seconds).change_group("g", |group| {
            group.members = Reading::Unknown(UnknownReason::NotAuthorized);
        }));
    }
    let group = watch.group("g");
    assert_eq!((group.status, group.rebalances_total), (Status::Stalled, 0));
    assert_eq!(group.notes, [Note::MembersUnknown]);
    assert_eq!(group.topics[0].unassigned, Reading::Unknown(UnknownReason::NotAuthorized));
    watch.see(&read(90));
    assert_eq!(watch.group("g").rebalances_total, 0);
}

#[test]
fn a_read_committed_group_that_waits_for_a_transaction_is_told_so() {
    let mut watch = Watch::new();
    for step in 0..12 {
        let mut snapshot = cluster(step * 10).topic("orders", 1, &[(0, 54)]);
        let held = LogRange { start: Offset::ZERO, end: Offset::new(54), last_stable: Some(Offset::new(44)) };
        snapshot.topics[0].partitions[0].range = Reading::Known(held);
        watch.see(&snapshot.group("g", &[("orders", 0, 44)]).member("g", "a", "orders", &[0]));
    }
    assert_eq!(watch.partition("g", 0).notes, [Note::OpenTransaction]);
    let advice = watch.advice("g").unwrap();
    assert!(advice.starts_with("A transaction has been open there for 1 min 50 s"), "{advice}");
    let topic = &watch.last.as_ref().unwrap().topics[0];
    assert_eq!(topic.partitions[0].open_transaction_age, Some(Duration::from_secs(110)));
}

#[test]
fn a_stalled_group_that_moves_again_is_told() {
    let watch = watch_one(8, |s| match s {
        0..=200 => (1_000, 500),
        _ => (1_000, 1_000),
    });
    assert_eq!(watch.group("g").status, Status::Ok);
    let told = watch.told(TimelineKind::Status);
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[1], "g keeps up again.");
}

#[test]
fn the_same_input_gives_the_same_view() {
    let shape = |s: u64| (1_000 + s * 7, 900 + s * 5 + s % 3);
    let (one, other) = (watch_one(12, shape), watch_one(12, shape));
    assert_eq!(format!("{:?}", one.last), format!("{:?}", other.last));
    assert_eq!(format!("{:?}", one.entries), format!("{:?}", other.entries));
}
