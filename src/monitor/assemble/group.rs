//! One group: its rows, judged and summed.

use super::{
    Scene, Watched,
    evidence::{self, Verdicts},
    facts::{self, PairFacts},
    live::Standing,
    members::{self, Subscribed},
    partition,
    rows::{self, Row},
    sums, unread,
};
use crate::lag::{
    GroupEvidence, GroupKind, GroupSnapshot, GroupTrack, History, Lag, Line, Presence, Reading, Runs, Tick, TopicSlot,
    UnknownReason, Verdict, advice, judge, sentence, worst,
};
use crate::monitor::{
    memory::Memory,
    timeline,
    view::{
        Age, Count, DrainTime, GroupTopicView, GroupView, GroupWords, Note, PartitionView, Risk, TimelineEntry,
        TopicTroubles, counted_lag,
    },
};
use chrono::{DateTime, Utc};
use std::sync::{Arc, OnceLock};

/// One row on its way into the view.
pub(super) struct Judged<'a> {
    pub row: Row<'a>,
    pub pair: PairFacts<'a>,
    pub verdict: Verdict,
    pub view: PartitionView,
    /// No member of a stable group subscribes to the topic: out of sums and verdicts.
    pub left_out: bool,
}

/// What is remembered of the group.
#[derive(Clone, Copy)]
pub(super) struct Standpoint<'a> {
    pub history: &'a History,
    pub track: Option<&'a GroupTrack>,
    /// Since when nobody has been in it.
    pub nobody_since: Option<Tick>,
    /// Since when it has had members.
    pub somebody_since: Option<Tick>,
}

/// When and for what a group is looked at.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub watched: &'a Watched<'a>,
    pub now: DateTime<Utc>,
    /// Whether the listing named it.
    pub listed: bool,
}

/// Puts the view of a group together and tells what happened to it.
pub(super) fn look_at(
    scene: &Scene<'_>,
    group: &GroupSnapshot,
    at: At<'_>,
    history: &mut History,
    memory: &mut Memory,
    entries: &mut Vec<TimelineEntry>,
) -> Standing {
    history.settle(&group.id);
    let remembered = memory.note_group(group, scene.now);
    let (nobody_since, somebody_since) = (remembered.nobody_since, remembered.somebody_since);
    let rebalances_total = remembered.rebalances_total;
    note_lag(scene, group, history);
    let standpoint = Standpoint { history, track: history.group(&group.id), nobody_since, somebody_since };
    let judged = judge_rows(scene, group, standpoint);
    let counted: Vec<_> = judged.iter().filter(|one| !one.left_out).collect();
    let (evidence, line) = evidence_of(scene, group, &counted, standpoint);
    let mut view = view(scene, group, at, standpoint, (&judged, &counted), &evidence);
    view.trend_per_second = partition::speed(line.map(|line| line.per_second));
    view.rebalances_total = rebalances_total;
    entries.extend(timeline::of_group(memory, &view, at.now, || sentence(&evidence)));
    Standing {
        until: stands_until(scene, standpoint, &judged),
        topics: topic_indices(&judged),
        is_open: judged.iter().any(|one| one.pair.is_open),
        failures: failures(&judged),
        view: Arc::new(view),
    }
}

/// The verdict on a group in words.
pub(super) fn words(scene: &Scene<'_>, group: &GroupSnapshot, standpoint: Standpoint<'_>) -> GroupWords {
    let judged = judge_rows(scene, group, standpoint);
    let counted: Vec<_> = judged.iter().filter(|one| !one.left_out).collect();
    let (evidence, _) = evidence_of(scene, group, &counted, standpoint);
    GroupWords { sentence: sentence(&evidence), advice: advice(&evidence), last_known: sums::last_known(&counted) }
}

fn evidence_of<'a>(
    scene: &Scene<'a>,
    group: &GroupSnapshot,
    counted: &[&'a Judged<'a>],
    standpoint: Standpoint<'_>,
) -> (GroupEvidence<'a>, Option<Line>) {
    // Of a group whose offsets were never read not even the partitions are known.
    let (verdict, lag) = match (&group.committed, counted.is_empty()) {
        (Reading::Unknown(reason), true) => (Verdict::unknown(*reason), Reading::Unknown(*reason)),
        _ => (worst(counted.iter().map(|one| one.verdict)), sums::lag(counted)),
    };
    let line = standpoint.track.and_then(|track| evidence::group_line(scene, track, standpoint.history));
    let verdicts = Verdicts { verdict, lag, line };
    (evidence::evidence(scene, group, counted, verdicts, standpoint.history), line)
}

type AllAndCounted<'a> = (&'a [Judged<'a>], &'a [&'a Judged<'a>]);

fn view(
    scene: &Scene<'_>,
    group: &GroupSnapshot,
    at: At<'_>,
    standpoint: Standpoint<'_>,
    (judged, counted): AllAndCounted<'_>,
    evidence: &GroupEvidence<'_>,
) -> GroupView {
    let track = standpoint.track;
    let unknown_partitions = counted.iter().filter(|one| sums::hides_lag(one)).count();
    let mut notes = group_notes(judged, members::presence(group), at.listed, unknown_partitions);
    if group.kind == GroupKind::Share {
        notes.push(Note::ShareGroup);
        notes.sort_unstable();
    }
    let topics = topics(scene, group, track, judged);
    let subscribed = || topics.iter().filter(|topic| !topic.unsubscribed);
    GroupView {
        cluster: at.watched.cluster.clone(),
        id: group.id.clone(),
        kind: group.kind,
        protocol: group.protocol.as_str().into(),
        state: group.state,
        members: members::views(group),
        coordinator: group.coordinator,
        status: evidence.verdict.status,
        notes,
        lag: evidence.lag,
        unknown_partitions,
        time_lag: sums::time_lag(counted),
        time_lag_at_least: sums::oldest_unread(counted).at_least(),
        // Of a group whose offsets were never read no topic is known.
        expired: sums::expired(subscribed().map(GroupTopicView::expired))
            .filter(|_| group.committed.is_known() || !topics.is_empty()),
        produced_per_second: partition::speed(evidence.produced_per_second),
        consumed_per_second: partition::speed(evidence.consumed_per_second),
        trend_per_second: partition::speed(None),
        drain: evidence.drain,
        retention_risk: sums::retention_risk(scene, counted),
        runway: sums::runway(scene, counted),
        offsets_kept_until: offsets_kept_until(scene, group, standpoint),
        last_commit_at: judged.iter().filter_map(|one| one.view.last_commit_at).max(),
        rebalances_total: 0,
        read_at: (!group.committed.is_known()).then(|| Some(standpoint.history.time(track?.read_at()?))).flatten(),
        as_of: at.now,
        thresholds: scene.settings.thresholds.for_group(&group.id),
        topics,
        summed: OnceLock::new(),
        spark: track.map(|track| track.spark.clone()).unwrap_or_default(),
        details: at.watched.details.clone(),
    }
}

/// Until when the view stands if nothing moves: while something has moved within the spans that verdicts, speeds and
/// trends look at, time alone changes it; after that only what the history forgets.
fn stands_until(scene: &Scene<'_>, standpoint: Standpoint<'_>, judged: &[Judged<'_>]) -> Tick {
    let Standpoint { history, track, .. } = standpoint;
    let Scene { settings, now, .. } = *scene;
    let margin = settings.interval * 2;
    let longest = settings.spans.stalled_after.max(settings.spans.window).max(settings.rate_span()) + margin;
    let usual_wait = judged.iter().filter_map(|one| one.row.pair).map(|pair| pair.usual_wait()).max().unwrap_or_default();
    let is_recent = |at: Tick| now.since(at) <= longest.max(usual_wait * 4 + margin);
    // A bound of an age says nothing of how what rests on it grows.
    let is_bounded = judged.iter().any(|one| one.pair.facts.oldest_unread.at_least().is_some());
    let mut until = now.plus(if is_bounded { settings.spark_bucket() } else { settings.spans.window });
    let lag = track.and_then(|track| track.lag.as_ref());
    // It has changed, or is not known any more: the trend changes as long as samples of before are in the window.
    let is_unsteady = |lag: &Runs| {
        let (is_known, latest) = (lag.latest().last >= scene.moment.committed, lag.latest());
        (lag.has_changed() && is_recent(latest.first)) || (!is_known && is_recent(latest.last))
    };
    // A line takes three samples.
    let is_young = lag.is_some_and(|lag| history.moments_since(lag.oldest().first, 3).len() < 3);
    if is_young || history.collections() < 3 || lag.is_some_and(is_unsteady) {
        return now;
    }
    for one in judged {
        // What came and was not committed becomes a fault by time alone.
        if let Some(came) = one.pair.facts.came_ago
            && came <= settings.spans.stalled_after + margin
        {
            return now;
        }
        let changes = [one.row.pair.and_then(|pair| pair.last_change()), one.row.pair.and_then(|pair| pair.gone_since())];
        let runs = one.pair.log.into_iter().flat_map(|log| [log.ends(), log.starts()]);
        // A speed takes two readings.
        if runs.clone().any(|runs| runs.oldest().first == scene.moment.ends) {
            return now;
        }
        let moves = runs.filter(|runs| runs.has_changed()).map(|runs| runs.latest().first);
        if changes.into_iter().flatten().chain(moves).any(is_recent) {
            return now;
        }
        let begun = [one.row.pair.map(|pair| pair.first_seen()), one.pair.log.map(|log| log.ends().oldest().first)];
        for begun in begun.into_iter().flatten() {
            let watched_for = now.since(begun);
            if watched_for <= margin {
                return now;
            }
            for span in [settings.markers_after(), settings.spans.stalled_after] {
                if watched_for <= span {
                    until = until.min(begun.plus(span).next());
                } else if watched_for <= span + margin {
                    return now;
                }
            }
        }
    }
    until
}

fn topic_indices(judged: &[Judged<'_>]) -> Box<[u32]> {
    judged.chunk_by(|a, b| a.row.topic == b.row.topic).filter_map(|rows| Some(rows.first()?.row.topic)).collect()
}

fn failures(judged: &[Judged<'_>]) -> Vec<(&'static str, u64)> {
    let mut failures: Vec<(&'static str, u64)> = Vec::new();
    let reasons = judged.iter().filter_map(|one| one.view.committed.reason());
    for reason in reasons.filter(|&reason| reason != UnknownReason::NeverCommitted) {
        match failures.iter_mut().find(|(label, _)| *label == reason.label()) {
            Some((_, count)) => *count += 1,
            None => failures.push((reason.label(), 1)),
        }
    }
    failures
}

/// The group's trend needs this collection's lag before the group is judged. It is unknown while a part of it is that was
/// known before: the sum of the rest would look like progress.
fn note_lag(scene: &Scene<'_>, group: &GroupSnapshot, history: &mut History) {
    let subscribed = members::subscribed(group);
    let mut lag: Option<u64> = None;
    let mut hidden = false;
    let mut unsubscribed: Vec<TopicSlot> = Vec::new();
    let mut empty = Vec::new();
    let track = history.group(&group.id);
    for pair in track.map_or(&[][..], |track| &track.pairs).iter().filter(|pair| pair.gone_since().is_none()) {
        let Some(topic) = scene.index_of(pair.slot()) else { continue };
        if is_left_out(scene, topic, &subscribed, track) {
            if unsubscribed.last() != Some(&pair.slot()) {
                unsubscribed.push(pair.slot());
            }
            continue;
        }
        // What was deleted before it was looked at may have been records.
        let is_whole = scene
            .snapshot
            .range(topic, pair.partition())
            .known()
            .is_some_and(|range| pair.committed().latest().value() >= range.start.get());
        empty.extend(
            unread::empty_up_to(scene, topic, pair).filter(|_| is_whole).map(|end| ((pair.slot(), pair.partition()), end)),
        );
        let was_read = pair.was_read_at(scene.moment.committed);
        match unread::lag(scene, group, topic, pair).and_then(Lag::unread) {
            Reading::Known(unread) if was_read => lag = Some(lag.unwrap_or(0).saturating_add(unread)),
            // Such an offset is a finding of its own, and may stay for ever.
            Reading::Unknown(UnknownReason::BeyondEnd) if was_read => {}
            Reading::Known(_) | Reading::Unknown(_) => hidden = true,
        }
    }
    for (pair, end) in empty {
        history.note_empty(&group.id, pair, end);
    }
    history.note_lag(&group.id, lag.filter(|_| !hidden), unsubscribed);
}

fn is_left_out(scene: &Scene<'_>, topic: u32, subscribed: &Subscribed<'_>, track: Option<&GroupTrack>) -> bool {
    match subscribed {
        Subscribed::Topics(names) => {
            scene.snapshot.topics.get(topic as usize).is_some_and(|topic| !names.contains(topic.name.as_ref()))
        }
        Subscribed::AsBefore => track.zip(scene.slot(topic)).is_some_and(|(track, slot)| track.unsubscribed.contains(&slot)),
        Subscribed::NotTold => false,
    }
}

pub(super) fn judge_rows<'a>(scene: &Scene<'a>, group: &'a GroupSnapshot, standpoint: Standpoint<'a>) -> Vec<Judged<'a>> {
    let (presence, subscribed) = (members::presence(group), members::subscribed(group));
    let track = standpoint.track;
    let judge_one = |row: Row<'a>| {
        let pair = facts::facts(scene, group, &row, presence, standpoint);
        let verdict = judge(&pair.facts, scene.settings.spans);
        let mut view = partition::assemble(scene, &row, &pair, verdict, standpoint.history);
        view.last_known = partition::last_known(group.kind, &row, &pair, standpoint.history);
        let rise = row.pair.and_then(|pair| pair.last_rise());
        if rise.zip(standpoint.nobody_since).is_some_and(|(rise, since)| rise > since) {
            view.notes.push(Note::Unmanaged);
        }
        Judged { left_out: is_left_out(scene, row.topic, &subscribed, track), row, pair, verdict, view }
    };
    rows::rows(scene, group, track).into_iter().map(judge_one).collect()
}

/// Kafka counts from when the last member left; where there never was one, from the commit of each offset.
fn offsets_kept_until(
    scene: &Scene<'_>,
    group: &GroupSnapshot,
    standpoint: Standpoint<'_>,
) -> Option<Reading<DateTime<Utc>>> {
    let nobody_since = standpoint.nobody_since.filter(|_| group.kind != GroupKind::Share)?;
    let pairs = standpoint.track.map_or(&[][..], |track| &track.pairs);
    let unchanged = pairs.iter().filter(|pair| pair.gone_since().is_none()).map(|pair| pair.unchanged_since()).min()?;
    let since = standpoint.history.time(if group.kind == GroupKind::Simple { unchanged } else { nobody_since });
    Some(scene.snapshot.offsets_retention.map(|kept| since + kept))
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
    judged: &[Judged<'_>],
) -> Box<[GroupTopicView]> {
    let parts = || judged.chunk_by(|a, b| a.row.topic == b.row.topic);
    let mut topics = Vec::with_capacity(parts().count());
    topics.extend(parts().map(|rows| group_topic(scene, group, track, rows)));
    topics.into_boxed_slice()
}

fn group_topic(scene: &Scene<'_>, group: &GroupSnapshot, track: Option<&GroupTrack>, rows: &[Judged<'_>]) -> GroupTopicView {
    let topic = rows.first().map_or(u32::MAX, |one| one.row.topic);
    let totals = track.zip(scene.slot(topic)).map(|(track, slot)| track.totals(slot));
    let all: Vec<_> = rows.iter().collect();
    let is_there = |one: &&Judged<'_>| one.row.pair.is_some_and(|pair| pair.gone_since().is_none());
    let unowned = rows.iter().filter(|one| is_there(one) && one.row.owner.is_none()).count();
    let hides_age = |one: &Judged<'_>| one.view.time_lag.reason().is_some_and(|why| why != UnknownReason::NeverCommitted);
    let ages = rows.iter().filter_map(|one| one.view.time_lag.known());
    let counted = rows.iter().filter_map(|one| counted_lag(group.kind, &one.view)).reduce(u64::saturating_add);
    let oldest = ages.reduce(|one, other| if other.age > one.age { other } else { one });
    let lag = sums::lag(&all);
    let troubles = TopicTroubles {
        lag_unknown: lag.reason(),
        rewound_total: totals.map_or(0, |totals| totals.rewound),
        lost_total: totals.map_or(0, |totals| totals.lost),
        expired: sums::expired_of(rows),
        beyond_end: rows.iter().filter_map(|one| one.view.beyond_end).reduce(u64::saturating_add),
    };
    GroupTopicView {
        topic: scene.snapshot.topics.get(topic as usize).map_or_else(|| Arc::from(""), |topic| topic.name.clone()),
        known_lag: lag.known().map(Count::new),
        counted: counted.map(Count::new),
        age: oldest.map(Age::new),
        drain_time: DrainTime::new(sums::drain(&all)),
        risk: sums::certain_risk(scene, &all).known().map(Risk::new),
        consumed_total: totals.map_or(0, |totals| totals.consumed),
        troubles: troubles.boxed(),
        partitions: small(rows.len()),
        unassigned: if members::are_moving(group) {
            Reading::Unknown(UnknownReason::NotReadYet)
        } else {
            group.members.as_ref().map(|_| small(unowned))
        },
        status: worst(rows.iter().map(|one| one.verdict)).status,
        is_committed: rows.iter().any(|one| one.view.committed.reason() != Some(UnknownReason::NeverCommitted)),
        knows_ages: !rows.iter().any(hides_age),
        unsubscribed: rows.first().is_some_and(|one| one.left_out),
    }
}

/// A number of partitions; they are numbered with 31 bits.
fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
