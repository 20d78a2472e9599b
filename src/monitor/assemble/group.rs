//! One group: its rows, judged and summed.

use super::{
    Scene,
    facts::{self, PairFacts, TREND_SAMPLES},
    members, partition,
    rows::{self, Row},
};
use crate::lag::{
    Drain, GroupEvidence, GroupSnapshot, GroupTrack, History, Lag, Line, OldestUnread, Presence, Reading, Retention, Rewind,
    Status, TimeLag, TopicSlot, UnknownReason, Verdict, WorstPartition, advice, fit, judge, sentence, worst,
};
use crate::monitor::{
    memory::Memory,
    view::{GroupTopicView, GroupView, Note, PartitionView},
};
use chrono::{DateTime, Utc};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// One row on its way into the view.
struct Judged<'a> {
    row: Row<'a>,
    pair: PairFacts<'a>,
    verdict: Verdict,
    view: PartitionView,
    /// No member of a stable group subscribes to the topic: out of sums and verdicts.
    left_out: bool,
}

pub(super) fn assemble(
    scene: &Scene<'_>,
    group: &GroupSnapshot,
    listed: bool,
    history: &mut History,
    memory: &mut Memory,
    now: DateTime<Utc>,
) -> GroupView {
    let presence = members::presence(group);
    let remembered = memory.note_group(group, scene.now);
    let (nobody_since, rebalances_total) = (remembered.nobody_since, remembered.rebalances_total);
    note_lag(scene, group, history);
    let history = &*history;
    let track = history.group(&group.id);
    let mut judged = judge_rows(scene, group, presence, track, history);
    for one in &mut judged {
        let rise = one.row.pair.and_then(|pair| pair.last_rise());
        if presence == Presence::Nobody && rise.zip(nobody_since).is_some_and(|(rise, since)| rise > since) {
            one.view.notes.push(Note::Unmanaged);
        }
    }
    let counted: Vec<_> = judged.iter().filter(|one| !one.left_out).collect();
    let verdict = match (&group.committed, counted.is_empty()) {
        (Reading::Unknown(reason), true) => Verdict::unknown(*reason),
        _ => worst(counted.iter().map(|one| one.verdict)),
    };
    let lag = sum_lag(&counted);
    let unknown_partitions = counted.iter().filter(|one| hides_lag(one)).count();
    let line = track.and_then(|track| group_line(scene, track, history));
    let evidence = evidence(scene, group, &counted, verdict, lag, line, history);
    let (sentence, advice) = (sentence(&evidence), advice(&evidence));
    let (drain, runway, oldest) = (evidence.drain, runway(scene, &counted), time_lag(&counted));
    let (produced, consumed) = (evidence.produced_per_second, evidence.consumed_per_second);
    let notes = group_notes(&judged, presence, listed, unknown_partitions);
    let topics = topics(scene, group, track, judged);
    GroupView {
        cluster: scene.cluster.clone(),
        id: group.id.clone(),
        kind: group.kind,
        protocol: group.protocol.clone(),
        state: group.state,
        members: members::views(group),
        coordinator: group.coordinator,
        status: verdict.status,
        sentence,
        advice,
        notes,
        lag,
        unknown_partitions,
        time_lag: oldest,
        expired: topics.iter().filter(|topic| !topic.unsubscribed).map(|topic| topic.expired).sum(),
        produced_per_second: partition::speed(produced),
        consumed_per_second: partition::speed(consumed),
        trend_per_second: partition::speed(line.map(|line| line.per_second)),
        drain,
        retention_risk: worst_risk(topics.iter().filter(|topic| !topic.unsubscribed).map(|topic| topic.retention_risk)),
        runway,
        last_commit_at: topics.iter().flat_map(|topic| &topic.partitions).filter_map(|one| one.last_commit_at).max(),
        rebalances_total,
        read_at: track.and_then(|track| track.read_at).map(|at| at.min(now)),
        thresholds: scene.settings.thresholds.for_group(&group.id),
        topics,
        spark: track.map(|track| track.spark.points()).unwrap_or_default(),
    }
}

/// The group's trend needs this collection's lag before the group is judged.
fn note_lag(scene: &Scene<'_>, group: &GroupSnapshot, history: &mut History) {
    let subscribed = members::subscribed(group);
    let mut lag: Option<u64> = None;
    let mut unsubscribed: Vec<TopicSlot> = Vec::new();
    for row in rows::rows(scene, group, history.group(&group.id)) {
        let Some(pair) = row.pair.filter(|pair| pair.was_read_at(scene.moment.committed)) else { continue };
        if is_left_out(scene, row.topic, subscribed.as_ref()) {
            if unsubscribed.last() != Some(&pair.slot()) {
                unsubscribed.push(pair.slot());
            }
            continue;
        }
        let committed = Reading::Known(crate::lag::Offset::new(pair.committed().latest().value()));
        let range = scene.snapshot.range(row.topic, row.partition);
        if let Reading::Known(unread) = crate::lag::measure_readings(committed, range).and_then(Lag::unread) {
            lag = Some(lag.unwrap_or(0).saturating_add(unread));
        }
    }
    history.note_lag(&group.id, lag, unsubscribed);
}

fn is_left_out(scene: &Scene<'_>, topic: u32, subscribed: Option<&HashSet<&str>>) -> bool {
    let name = scene.snapshot.topics.get(topic as usize).map(|topic| topic.name.as_ref());
    subscribed.zip(name).is_some_and(|(subscribed, name)| !subscribed.contains(name))
}

fn judge_rows<'a>(
    scene: &Scene<'a>,
    group: &'a GroupSnapshot,
    presence: Presence,
    track: Option<&'a GroupTrack>,
    history: &'a History,
) -> Vec<Judged<'a>> {
    let subscribed = members::subscribed(group);
    let rows = rows::rows(scene, group, track);
    let judge_one = |row: Row<'a>| {
        let pair = facts::facts(scene, group, &row, presence, history);
        let verdict = judge(&pair.facts, scene.settings.spans);
        let view = partition::assemble(scene, &row, &pair, verdict, history);
        Judged { left_out: is_left_out(scene, row.topic, subscribed.as_ref()), row, pair, verdict, view }
    };
    rows.into_iter().map(judge_one).collect()
}

/// Whether the sum of lag is too small because of this row: an owner's empty log hides nothing.
fn hides_lag(one: &Judged<'_>) -> bool {
    !one.view.lag.is_known() && one.verdict.status != Status::Ok
}

fn sum_lag(counted: &[&Judged<'_>]) -> Reading<u64> {
    let known = counted.iter().filter_map(|one| one.view.lag.known()).reduce(u64::saturating_add);
    let reason = counted.iter().find_map(|one| one.view.lag.reason()).unwrap_or(UnknownReason::NeverCommitted);
    known.map_or(Reading::Unknown(reason), Reading::Known)
}

/// The oldest unread record of all rows whose lag is known.
fn time_lag(counted: &[&Judged<'_>]) -> Reading<TimeLag> {
    counted
        .iter()
        .filter(|one| one.view.lag.is_known())
        .map(|one| one.view.time_lag)
        .reduce(partition::older)
        .unwrap_or(Reading::Unknown(UnknownReason::NeverCommitted))
}

fn oldest_unread(counted: &[&Judged<'_>]) -> OldestUnread {
    let mut oldest = OldestUnread::None;
    let mut age = Duration::ZERO;
    for one in counted {
        match one.pair.facts.oldest_unread {
            OldestUnread::AtLeast(bound) => {
                age = age.max(bound);
                oldest = OldestUnread::AtLeast(age);
            }
            OldestUnread::Aged(time_lag) if time_lag.age > age => {
                age = time_lag.age;
                oldest = match oldest {
                    OldestUnread::AtLeast(_) => OldestUnread::AtLeast(age),
                    OldestUnread::None | OldestUnread::Aged(_) | OldestUnread::Unknown(_) => OldestUnread::Aged(time_lag),
                };
            }
            OldestUnread::None | OldestUnread::Aged(_) | OldestUnread::Unknown(_) => {}
        }
    }
    oldest
}

fn retention_of(scene: &Scene<'_>, topic: u32) -> Reading<Retention> {
    let topic = scene.snapshot.topics.get(topic as usize);
    topic.map_or(Reading::Unknown(UnknownReason::NotReadYet), |topic| topic.retention)
}

fn runway(scene: &Scene<'_>, counted: &[&Judged<'_>]) -> Reading<Duration> {
    let each = counted
        .iter()
        .filter(|one| one.view.lag.is_known())
        .map(|one| partition::runway(one.view.time_lag, retention_of(scene, one.row.topic)));
    extreme(each, |one, other| other < one)
}

fn worst_risk(risks: impl Iterator<Item = Reading<f64>>) -> Reading<f64> {
    extreme(risks, |one, other| other > one)
}

/// The extreme of what is known. Topics that never delete do not count; any other unknown one makes it unknown.
fn extreme<T: Copy>(values: impl Iterator<Item = Reading<T>>, replaces: impl Fn(T, T) -> bool) -> Reading<T> {
    let mut result = Reading::Unknown(UnknownReason::NeverDeleted);
    for value in values {
        result = match (result, value) {
            (Reading::Unknown(UnknownReason::NeverDeleted), value) => value,
            (result, Reading::Unknown(UnknownReason::NeverDeleted)) => result,
            (Reading::Known(one), Reading::Known(other)) => Reading::Known(if replaces(one, other) { other } else { one }),
            (Reading::Unknown(reason), _) | (_, Reading::Unknown(reason)) => Reading::Unknown(reason),
        };
    }
    result
}

/// The line through the group's lag over the window.
fn group_line(scene: &Scene<'_>, track: &GroupTrack, history: &History) -> Option<Line> {
    let runs = track.lag.as_ref()?;
    let moments = history.moments_since(scene.now.minus(scene.settings.spans.window), TREND_SAMPLES);
    let sample = |moment: &crate::lag::Moment| Some((moment.committed.seconds(), runs.at(moment.committed)?));
    fit(&moments.iter().filter_map(sample).collect::<Vec<_>>())
}

/// The row that speaks for the group: of those with its verdict, where it is worst.
fn spokesman<'a, 'b>(counted: &[&'b Judged<'a>], verdict: Verdict) -> Option<&'b Judged<'a>> {
    let alike = counted.iter().copied().filter(|one| one.verdict.status == verdict.status);
    let stands = |one: &Judged<'_>| {
        matches!(verdict.status, Status::Stalled | Status::NoMembers).then_some(one.pair.facts.unchanged_for)
    };
    alike.max_by_key(|one| {
        (stands(one), one.view.lag.known(), one.pair.facts.retained.known(), std::cmp::Reverse(one.row.partition))
    })
}

fn evidence<'a>(
    scene: &Scene<'a>,
    group: &GroupSnapshot,
    counted: &[&'a Judged<'a>],
    verdict: Verdict,
    lag: Reading<u64>,
    line: Option<Line>,
    history: &History,
) -> GroupEvidence<'a> {
    let rising = |line: Option<Line>| line.filter(|line| line.per_second > 0.0);
    let spokesman = spokesman(counted, verdict);
    let growth = match (verdict.status, rising(line), spokesman) {
        (Status::FallingBehind, None, Some(one)) => {
            rising(facts::pair_line(scene, &one.row, one.pair.log, history, scene.settings.spans))
        }
        (_, line, _) => line,
    };
    let sum = |speed: fn(&PartitionView) -> Reading<f64>| {
        counted.iter().filter_map(|one| speed(&one.view).known()).reduce(|sum, one| sum + one)
    };
    GroupEvidence {
        verdict,
        spans: scene.settings.spans,
        worst: spokesman.map(|one| worst_partition(scene, one)),
        alike: counted.iter().filter(|one| one.verdict.status == verdict.status).count(),
        partitions: counted.len(),
        topics: topic_names(scene, counted),
        members: group.members.as_ref().known().map(Vec::len),
        lag,
        oldest_unread: oldest_unread(counted),
        produced_per_second: sum(|view| view.produced_per_second),
        consumed_per_second: sum(|view| view.consumed_per_second),
        growth,
        drain: Drain::slowest(
            counted.iter().filter(|one| hides_lag(one) || one.view.lag.is_known()).map(|one| one.view.drain),
        ),
        runway: runway(scene, counted).known(),
        rewind: counted.iter().filter_map(|one| one.pair.facts.rewind).reduce(join_rewinds),
    }
}

fn join_rewinds(one: Rewind, other: Rewind) -> Rewind {
    Rewind { ago: one.ago.min(other.ago), by: one.by + other.by, remaining: one.remaining + other.remaining }
}

fn topic_names<'a>(scene: &Scene<'a>, counted: &[&Judged<'_>]) -> crate::lag::TopicNames<'a> {
    let mut indices: Vec<_> = counted.iter().map(|one| one.row.topic).collect();
    indices.dedup();
    let name = |index: Option<&u32>| scene.snapshot.topics.get(*index? as usize).map(|topic| topic.name.as_ref());
    crate::lag::TopicNames { first: name(indices.first()), second: name(indices.get(1)), count: indices.len() }
}

fn worst_partition<'a>(scene: &Scene<'a>, one: &'a Judged<'a>) -> WorstPartition<'a> {
    let came = one.pair.log.zip(one.row.pair).and_then(|(log, pair)| {
        let end_then = log.ends().at(pair.unchanged_since().max(log.ends().oldest().first))?;
        // Only a number where the history reaches back to the last commit.
        (log.ends().oldest().first <= pair.unchanged_since().next())
            .then(|| log.ends().latest().value().saturating_sub(end_then.round() as u64))
    });
    WorstPartition {
        topic: scene.snapshot.topics.get(one.row.topic as usize).map_or("", |topic| topic.name.as_ref()),
        partition: one.row.partition,
        owner: one.row.owner.map(AsRef::as_ref),
        facts: &one.pair.facts,
        committed: one.pair.committed.known().map(crate::lag::Offset::get),
        arrived: came,
        open_transaction: one
            .pair
            .log
            .and_then(|log| log.open_transaction_age(scene.now))
            .filter(|_| partition::waits_for_transaction(one.pair.committed, one.pair.range)),
    }
}

fn group_notes(judged: &[Judged<'_>], presence: Presence, listed: bool, unknown_partitions: usize) -> Vec<Note> {
    let mut notes: Vec<_> =
        judged.iter().filter(|one| !one.left_out).flat_map(|one| one.view.notes.iter().copied()).collect();
    if judged.iter().any(|one| one.left_out) {
        notes.push(Note::Unsubscribed);
    }
    if presence == Presence::NotReadable {
        notes.push(Note::MembersUnknown);
    }
    if unknown_partitions > 0 {
        notes.push(Note::Partial);
    }
    if !listed {
        notes.push(Note::Unlisted);
    }
    notes.sort_unstable();
    notes.dedup();
    notes
}

/// Splits the rows, which are sorted by topic, into the group's topics.
fn topics(
    scene: &Scene<'_>,
    group: &GroupSnapshot,
    track: Option<&GroupTrack>,
    judged: Vec<Judged<'_>>,
) -> Vec<GroupTopicView> {
    let mut topics = Vec::new();
    let mut rows = judged.into_iter().peekable();
    while let Some(first) = rows.next() {
        let topic = first.row.topic;
        let mut of_topic = vec![first];
        while let Some(next) = rows.next_if(|next| next.row.topic == topic) {
            of_topic.push(next);
        }
        topics.push(group_topic(scene, group, track, topic, of_topic));
    }
    topics
}

fn group_topic(
    scene: &Scene<'_>,
    group: &GroupSnapshot,
    track: Option<&GroupTrack>,
    topic: u32,
    rows: Vec<Judged<'_>>,
) -> GroupTopicView {
    let retention = retention_of(scene, topic);
    let totals = track.zip(scene.slots.get(topic as usize).copied().flatten()).map(|(track, slot)| track.totals(slot));
    let all: Vec<_> = rows.iter().collect();
    let with_lag = || all.iter().filter(|one| one.view.lag.is_known());
    let unowned = rows.iter().filter(|one| one.row.pair.is_some() && one.row.owner.is_none()).count();
    GroupTopicView {
        topic: scene.snapshot.topics.get(topic as usize).map_or_else(|| Arc::from(""), |topic| topic.name.clone()),
        lag: sum_lag(&all),
        consumed_total: totals.map_or(0, |totals| totals.consumed),
        rewound_total: totals.map_or(0, |totals| totals.rewound),
        lost_total: totals.map_or(0, |totals| totals.lost),
        expired: rows.iter().map(|one| one.view.expired).sum(),
        drain: Drain::slowest(all.iter().filter(|one| hides_lag(one) || one.view.lag.is_known()).map(|one| one.view.drain)),
        retention_risk: worst_risk(with_lag().map(|one| partition::retention_risk(one.view.time_lag, retention))),
        unassigned: group.members.as_ref().map(|_| unowned),
        unsubscribed: rows.first().is_some_and(|one| one.left_out),
        partitions: rows.into_iter().map(|one| one.view).collect(),
    }
}
