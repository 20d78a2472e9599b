//! One group: its rows, judged and summed.

use super::{
    Scene,
    evidence::{self, Verdicts},
    facts::{self, PairFacts},
    members::{self, Subscribed},
    partition,
    rows::{self, Row},
    sums, unread,
};
use crate::lag::{
    GroupKind, GroupSnapshot, GroupTrack, History, Lag, Presence, Reading, TopicSlot, UnknownReason, Verdict, advice, judge,
    sentence, worst,
};
use crate::monitor::{
    memory::Memory,
    view::{GroupTopicView, GroupView, Note, PartitionView},
};
use std::sync::Arc;

/// One row on its way into the view.
pub(super) struct Judged<'a> {
    pub row: Row<'a>,
    pub pair: PairFacts<'a>,
    pub verdict: Verdict,
    pub view: PartitionView,
    /// No member of a stable group subscribes to the topic: out of sums and verdicts.
    pub left_out: bool,
}

pub(super) fn assemble(
    scene: &Scene<'_>,
    group: &GroupSnapshot,
    listed: bool,
    history: &mut History,
    memory: &mut Memory,
) -> GroupView {
    let presence = members::presence(group);
    let remembered = memory.note_group(group, scene.now);
    let (nobody_since, rebalances_total) = (remembered.nobody_since, remembered.rebalances_total);
    note_lag(scene, group, history);
    let history = &*history;
    let track = history.group(&group.id);
    let mut judged = judge_rows(scene, group, presence, history);
    for one in &mut judged {
        let rise = one.row.pair.and_then(|pair| pair.last_rise());
        if rise.zip(nobody_since).is_some_and(|(rise, since)| rise > since) {
            one.view.notes.push(Note::Unmanaged);
        }
    }
    let counted: Vec<_> = judged.iter().filter(|one| !one.left_out).collect();
    let verdict = match (&group.committed, counted.is_empty()) {
        (Reading::Unknown(reason), true) => Verdict::unknown(*reason),
        _ => worst(counted.iter().map(|one| one.verdict)),
    };
    let line = track.and_then(|track| evidence::group_line(scene, track, history));
    let verdicts = Verdicts { verdict, lag: sums::lag(&counted), line };
    let evidence = evidence::evidence(scene, group, &counted, verdicts, history);
    let (sentence, advice) = (sentence(&evidence), advice(&evidence));
    let (drain, produced, consumed) = (evidence.drain, evidence.produced_per_second, evidence.consumed_per_second);
    let (runway, time_lag) = (sums::runway(scene, &counted), sums::time_lag(&counted));
    let time_lag_at_least = sums::oldest_unread(&counted).at_least();
    let unknown_partitions = counted.iter().filter(|one| sums::hides_lag(one)).count();
    let mut notes = group_notes(&judged, presence, listed, unknown_partitions);
    if group.kind == GroupKind::Share {
        notes.push(Note::ShareGroup);
        notes.sort_unstable();
    }
    let topics = topics(scene, group, track, judged);
    let subscribed = || topics.iter().filter(|topic| !topic.unsubscribed);
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
        lag: verdicts.lag,
        unknown_partitions,
        time_lag,
        time_lag_at_least,
        expired: subscribed().map(|topic| topic.expired).sum(),
        produced_per_second: partition::speed(produced),
        consumed_per_second: partition::speed(consumed),
        trend_per_second: partition::speed(line.map(|line| line.per_second)),
        drain,
        retention_risk: sums::worst_risk(subscribed().map(|topic| topic.retention_risk)),
        runway,
        last_commit_at: topics.iter().flat_map(|topic| &topic.partitions).filter_map(|one| one.last_commit_at).max(),
        rebalances_total,
        read_at: track.and_then(|track| track.read_at),
        thresholds: scene.settings.thresholds.for_group(&group.id),
        topics,
        spark: track.map(|track| track.spark.points()).unwrap_or_default(),
    }
}

/// The group's trend needs this collection's lag before the group is judged. It is unknown while a part of it is that was
/// known before: the sum of the rest would look like progress.
fn note_lag(scene: &Scene<'_>, group: &GroupSnapshot, history: &mut History) {
    let subscribed = members::subscribed(group);
    let mut lag: Option<u64> = None;
    let mut hidden = false;
    let mut unsubscribed: Vec<TopicSlot> = Vec::new();
    let track = history.group(&group.id);
    for pair in track.map_or(&[][..], |track| &track.pairs).iter().filter(|pair| pair.gone_since().is_none()) {
        let Some(topic) = scene.index_of(pair.slot()) else { continue };
        if is_left_out(scene, topic, &subscribed, track) {
            if unsubscribed.last() != Some(&pair.slot()) {
                unsubscribed.push(pair.slot());
            }
            continue;
        }
        let was_read = pair.was_read_at(scene.moment.committed);
        match unread::lag(scene, group, topic, pair).and_then(Lag::unread) {
            Reading::Known(unread) if was_read => lag = Some(lag.unwrap_or(0).saturating_add(unread)),
            // Such an offset is a finding of its own, and may stay for ever.
            Reading::Unknown(UnknownReason::BeyondEnd) if was_read => {}
            Reading::Known(_) | Reading::Unknown(_) => hidden = true,
        }
    }
    history.note_lag(&group.id, lag.filter(|_| !hidden), unsubscribed);
}

fn is_left_out(scene: &Scene<'_>, topic: u32, subscribed: &Subscribed<'_>, track: Option<&GroupTrack>) -> bool {
    match subscribed {
        Subscribed::Topics(names) => {
            scene.snapshot.topics.get(topic as usize).is_some_and(|topic| !names.contains(topic.name.as_ref()))
        }
        Subscribed::AsBefore => {
            let slot = scene.slots.get(topic as usize).copied().flatten();
            track.zip(slot).is_some_and(|(track, slot)| track.unsubscribed.contains(&slot))
        }
        Subscribed::NotTold => false,
    }
}

fn judge_rows<'a>(scene: &Scene<'a>, group: &'a GroupSnapshot, presence: Presence, history: &'a History) -> Vec<Judged<'a>> {
    let subscribed = members::subscribed(group);
    let track = history.group(&group.id);
    let rows = rows::rows(scene, group, track);
    let judge_one = |row: Row<'a>| {
        let pair = facts::facts(scene, group, &row, presence, history);
        let verdict = judge(&pair.facts, scene.settings.spans);
        let view = partition::assemble(scene, &row, &pair, verdict, history);
        Judged { left_out: is_left_out(scene, row.topic, &subscribed, track), row, pair, verdict, view }
    };
    rows.into_iter().map(judge_one).collect()
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
    let totals = track.zip(scene.slots.get(topic as usize).copied().flatten()).map(|(track, slot)| track.totals(slot));
    let all: Vec<_> = rows.iter().collect();
    // Not collected from the rows themselves: that would keep their allocation, which is several times as large.
    let mut views = Vec::with_capacity(rows.len());
    views.extend(rows.iter().map(|one| one.view.clone()));
    let unowned = rows.iter().filter(|one| one.row.pair.is_some() && one.row.owner.is_none()).count();
    GroupTopicView {
        topic: scene.snapshot.topics.get(topic as usize).map_or_else(|| Arc::from(""), |topic| topic.name.clone()),
        lag: sums::lag(&all),
        consumed_total: totals.map_or(0, |totals| totals.consumed),
        rewound_total: totals.map_or(0, |totals| totals.rewound),
        lost_total: totals.map_or(0, |totals| totals.lost),
        expired: rows.iter().map(|one| one.view.expired).sum(),
        drain: sums::drain(&all),
        retention_risk: sums::retention_risk(scene, &all),
        unassigned: group.members.as_ref().map(|_| unowned),
        unsubscribed: rows.first().is_some_and(|one| one.left_out),
        partitions: views,
    }
}
