//! What the rows of a group come to together. Unknown parts are never counted as zero.

use super::{Scene, group::Judged, partition};
use crate::lag::{Drain, OldestUnread, Reading, Retention, Status, TimeLag, TimeLagSource, UnknownReason};
use crate::monitor::view::LastKnown;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// Whether the sum of lag is too small because of this row: an owner's empty log hides nothing, and whether a quiet one does
/// is its reader's affair.
pub(super) fn hides_lag(one: &Judged<'_>) -> bool {
    !one.view.lag.is_known() && one.verdict.status != Status::Ok && !is_quiet(one)
}

/// Nothing is committed, and nothing has come since the group had members: whether it reads from the beginning is not known.
/// In a share group nobody is blamed for what is not committed, so that its owner counts here.
fn is_quiet(one: &Judged<'_>) -> bool {
    let waits = match one.verdict.reason {
        Some(UnknownReason::NothingCame) => true,
        Some(UnknownReason::NeverCommitted) => one.row.owner.is_some() && !one.view.lag.is_known(),
        _ => false,
    };
    waits && one.pair.facts.came_ago.is_none()
}

/// Whether something is unread, or may be: nothing is where nothing was committed, as far as anybody knows.
fn has_age(one: &Judged<'_>) -> bool {
    one.view.lag.is_known()
        || one.verdict.status == Status::Ok
        || one.view.lag.reason() != Some(UnknownReason::NeverCommitted)
}

/// The sum of what is known. Logs that hold nothing add nothing, so a group that only owns such has a lag of zero.
pub(super) fn lag(counted: &[&Judged<'_>]) -> Reading<u64> {
    let known = counted.iter().filter_map(|one| one.view.lag.known()).reduce(u64::saturating_add);
    match (known, counted.iter().find(|one| hides_lag(one)), counted.is_empty()) {
        (Some(lag), ..) => Reading::Known(lag),
        (None, None, false) if counted.iter().any(|one| is_quiet(one)) => Reading::Unknown(UnknownReason::NothingCame),
        (None, None, false) => Reading::Known(0),
        (None, hidden, _) => {
            Reading::Unknown(hidden.and_then(|one| one.view.lag.reason()).unwrap_or(UnknownReason::NeverCommitted))
        }
    }
}

/// The sum as it was known last, where a part of it is not known now.
pub(super) fn last_known(counted: &[&Judged<'_>]) -> Option<LastKnown> {
    let mut whole = None;
    let mut sum = 0_u64;
    for one in counted {
        match (one.view.lag, one.view.last_known) {
            (Reading::Known(lag), _) => sum = sum.saturating_add(lag),
            (Reading::Unknown(_), Some(last)) => {
                sum = sum.saturating_add(last.lag);
                whole = Some(whole.map_or(last.at, |at: DateTime<Utc>| at.min(last.at)));
            }
            (Reading::Unknown(_), None) if hides_lag(one) => return None,
            (Reading::Unknown(_), None) => {}
        }
    }
    whole.map(|at| LastKnown { lag: sum, at })
}

/// What is certain of the records that were deleted unread: the sum of what is known. Nothing where that is none and a part
/// cannot be read; where nothing was committed, nothing is missed.
pub(super) fn expired(parts: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    let (sum, is_whole) = parts
        .fold((0_u64, true), |(sum, is_whole), part| (sum.saturating_add(part.unwrap_or(0)), is_whole && part.is_some()));
    Some(sum).filter(|&sum| is_whole || sum > 0)
}

pub(super) fn expired_of(rows: &[Judged<'_>]) -> Option<u64> {
    let is_committed = |one: &&Judged<'_>| one.view.expired.reason() != Some(UnknownReason::NeverCommitted);
    expired(rows.iter().filter(is_committed).map(|one| one.view.expired.known()))
}

/// Ages of the oldest unread records of all rows in which something was committed, or that hold nothing.
fn ages<'a>(counted: &'a [&Judged<'_>]) -> impl Iterator<Item = (Reading<TimeLag>, u32)> + 'a {
    counted.iter().filter(|one| has_age(one)).map(|one| (age_of(one), one.row.topic))
}

/// An owner's empty log.
fn holds_nothing(one: &Judged<'_>) -> bool {
    !one.view.lag.is_known() && one.verdict.status == Status::Ok
}

fn age_of(one: &Judged<'_>) -> Reading<TimeLag> {
    if holds_nothing(one) { Reading::Known(TimeLag::CAUGHT_UP) } else { one.view.time_lag }
}

/// The oldest unread record of the group; unknown when it may be one that could not be read.
pub(super) fn time_lag(counted: &[&Judged<'_>]) -> Reading<TimeLag> {
    let all = ages(counted).map(|(age, _)| age);
    all.reduce(partition::older).unwrap_or(Reading::Unknown(UnknownReason::NeverCommitted))
}

pub(super) fn drain(counted: &[&Judged<'_>]) -> Drain {
    let each = counted.iter().map(|one| match one.view.lag {
        Reading::Unknown(_) if holds_nothing(one) => Drain::CaughtUp,
        Reading::Known(_) | Reading::Unknown(_) => one.view.drain,
    });
    Drain::slowest(each)
}

/// As [`time_lag`], with what is certain where that is unknown.
pub(super) fn oldest_unread(counted: &[&Judged<'_>]) -> OldestUnread {
    let (mut oldest, mut hidden, mut certain) = (OldestUnread::None, None, None);
    for one in counted.iter().filter(|one| has_age(one) && !holds_nothing(one)) {
        match one.pair.facts.oldest_unread {
            OldestUnread::None => {}
            OldestUnread::Unknown(why) => hidden = hidden.or(Some(why)),
            OldestUnread::AtLeast(bound, why) => {
                certain = certain.max(Some(bound));
                hidden = Some(why);
            }
            OldestUnread::Aged(time_lag) if certain.is_none_or(|age| time_lag.age >= age) => {
                certain = Some(time_lag.age);
                oldest = OldestUnread::Aged(time_lag);
            }
            OldestUnread::Aged(_) => {}
        }
    }
    match (hidden, certain) {
        (Some(why), Some(age)) => OldestUnread::AtLeast(age, why),
        (Some(why), None) => OldestUnread::Unknown(why),
        (None, _) => oldest,
    }
}

pub(super) fn retention_of(scene: &Scene<'_>, topic: u32) -> Reading<Retention> {
    let topic = scene.snapshot.topics.get(topic as usize);
    topic.map_or(Reading::Unknown(UnknownReason::NotReadYet), |topic| topic.retention)
}

pub(super) fn runway(scene: &Scene<'_>, counted: &[&Judged<'_>]) -> Reading<Duration> {
    let each = ages(counted).map(|(age, topic)| partition::runway(age, retention_of(scene, topic)));
    extreme(each, |one, other| other < one)
}

/// The risk of the worst partition; unknown when that may be one that could not be read.
pub(super) fn retention_risk(scene: &Scene<'_>, counted: &[&Judged<'_>]) -> Reading<f64> {
    worst_risk(scene, counted.iter().filter(|one| has_age(one)))
}

/// The risk of the worst partition of which anything is certain: alerts must not fall silent because another one is hidden.
pub(super) fn certain_risk(scene: &Scene<'_>, counted: &[&Judged<'_>]) -> Reading<f64> {
    let is_certain = |one: &Judged<'_>| !hides_lag(one) || one.view.time_lag_at_least.is_some();
    worst_risk(scene, counted.iter().filter(|one| has_age(one) && is_certain(one)))
}

fn worst_risk<'a>(scene: &Scene<'_>, rows: impl Iterator<Item = &'a &'a Judged<'a>>) -> Reading<f64> {
    let each = rows.map(|one| {
        // A bound is a risk that is taken for certain; the true one is not smaller.
        let bound = one.view.time_lag_at_least.map(|age| TimeLag { age, source: TimeLagSource::History });
        let age = bound.map_or_else(|| age_of(one), Reading::Known);
        partition::retention_risk(age, retention_of(scene, one.row.topic))
    });
    extreme(each, |one, other| other > one)
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
