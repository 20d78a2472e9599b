//! What speaks for a group's verdict: its worst row, its trend, its speeds.

use super::{
    Scene,
    facts::{self, TREND_SAMPLES},
    group::Judged,
    partition, sums,
};
use crate::lag::{
    GroupEvidence, GroupSnapshot, GroupTrack, History, Lag, Line, Moment, Offset, Reading, Rewind, Status, TopicNames,
    UnknownReason, Verdict, WorstPartition, fit, measure_readings,
};
use crate::monitor::view::PartitionView;
use std::cmp::Reverse;

/// The group as a whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdicts {
    pub verdict: Verdict,
    pub lag: Reading<u64>,
    pub line: Option<Line>,
}

/// The line through the group's lag over the window.
pub(super) fn group_line(scene: &Scene<'_>, track: &GroupTrack, history: &History) -> Option<Line> {
    let runs = track.lag.as_ref()?;
    let moments = history.moments_since(scene.now.minus(scene.settings.spans.window), TREND_SAMPLES);
    let sample = |moment: &Moment| Some((moment.committed.seconds(), runs.at(moment.committed)?));
    fit(&moments.iter().filter_map(sample).collect::<Vec<_>>())
}

/// The row that speaks for the group: of those with its verdict, where it is worst.
fn spokesman<'a, 'b>(counted: &[&'b Judged<'a>], verdict: Verdict) -> Option<&'b Judged<'a>> {
    let alike = counted.iter().copied().filter(|one| one.verdict.status == verdict.status);
    let stands = |one: &Judged<'_>| {
        matches!(verdict.status, Status::Stalled | Status::NoMembers).then_some(one.pair.facts.unchanged_for)
    };
    alike.max_by_key(|one| (stands(one), one.view.lag.known(), one.pair.facts.retained.known(), Reverse(one.row.partition)))
}

pub(super) fn evidence<'a>(
    scene: &Scene<'a>,
    group: &GroupSnapshot,
    counted: &[&'a Judged<'a>],
    verdicts: Verdicts,
    history: &History,
) -> GroupEvidence<'a> {
    let Verdicts { verdict, lag, line } = verdicts;
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
        kind: group.kind,
        verdict,
        spans: scene.settings.spans,
        worst: spokesman.map(|one| worst_partition(scene, one)),
        alike: counted.iter().filter(|one| one.verdict.status == verdict.status).count(),
        partitions: counted.len(),
        topics: topic_names(scene, counted),
        members: group.members.as_ref().known().map(Vec::len),
        lag,
        oldest_unread: sums::oldest_unread(counted),
        produced_per_second: sum(|view| view.produced_per_second),
        consumed_per_second: sum(|view| view.consumed_per_second),
        speeds_over: scene.settings.rate_span(),
        committed_ago: counted.iter().filter_map(|one| one.pair.facts.rose_ago).min(),
        growth,
        drain: sums::drain(counted),
        runway: sums::runway(scene, counted).known(),
        rewind: counted.iter().filter_map(|one| one.pair.facts.rewind).reduce(join_rewinds),
    }
}

fn join_rewinds(one: Rewind, other: Rewind) -> Rewind {
    Rewind {
        ago: one.ago.min(other.ago),
        by: one.by.saturating_add(other.by),
        remaining: one.remaining.saturating_add(other.remaining),
    }
}

fn topic_names<'a>(scene: &Scene<'a>, counted: &[&Judged<'_>]) -> TopicNames<'a> {
    let mut indices: Vec<_> = counted.iter().map(|one| one.row.topic).collect();
    indices.dedup();
    let name = |index: Option<&u32>| scene.snapshot.topics.get(*index? as usize).map(|topic| topic.name.as_ref());
    TopicNames { first: name(indices.first()), second: name(indices.get(1)), count: indices.len() }
}

/// What lies between the start offset of a share group and the end: part of it may have been acknowledged.
fn most_unread(one: &Judged<'_>) -> Option<u64> {
    let counted = measure_readings(one.pair.committed, one.pair.range).and_then(Lag::unread).known();
    counted.filter(|_| one.pair.facts.lag.reason() == Some(UnknownReason::NotReported))
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
        committed: one.pair.committed.known().map(Offset::get),
        at_most: most_unread(one),
        arrived: came,
        open_transaction: one
            .pair
            .log
            .and_then(|log| log.open_transaction_age(scene.now))
            .filter(|_| partition::waits_for_transaction(one.pair.committed, one.pair.range)),
    }
}
