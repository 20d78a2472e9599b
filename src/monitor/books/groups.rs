//! One group's books as the pages show them.

use super::{counters::Maxima, reading::GroupReading};
use crate::monitor::view::{LedgerGroupView, LedgerView};
use crate::store::{Books, GrantKind, ShardBooks, ShardStats, gap_bounds};
use chrono::{DateTime, Utc};
use std::time::Duration;

/// What follows when the store forgot; the pages say what to do.
pub(super) const CONSEQUENCE: &str = "its consumers have stopped";

/// Levels come from what was just read; where a shard could not be read they are those of the shards that could, and
/// where none could, those of the last view.
pub(super) fn view(
    reading: &GroupReading,
    maxima: &Maxima,
    last: Option<&LedgerView>,
    now: DateTime<Utc>,
) -> LedgerGroupView {
    let counters = maxima.sum();
    let read: Vec<&ShardStats> = reading.books.iter().flat_map(shards_read).collect();
    let former = last.and_then(|last| last.groups.iter().find(|group| group.group == reading.group));
    let level = |now: fn(&ShardStats) -> u64, former_level: fn(&LedgerGroupView) -> u64| match (read.is_empty(), former) {
        (true, Some(former)) => former_level(former),
        (true, None) | (false, _) => read.iter().map(|stats| now(stats)).sum(),
    };
    let window = read.first().map(|stats| stats.incarnation.shape().window).or(former.map(|former| former.window));
    let window = window.unwrap_or(Duration::ZERO);
    LedgerGroupView {
        group: reading.group.clone(),
        state: state(reading),
        shards: reading.shards as usize,
        duplicates: counters.duplicates,
        granted_first: counters.granted_of(GrantKind::First),
        granted_retry: counters.granted_of(GrantKind::Retry),
        granted_takeover: counters.granted_of(GrantKind::Takeover),
        granted_redrive: counters.granted_of(GrantKind::Redrive),
        completed: counters.completed,
        released: counters.released,
        failed: counters.failed,
        superseded: counters.superseded,
        abandoned: counters.abandoned,
        in_flight: level(|stats| u64::try_from(stats.in_flight()).unwrap_or(0), |former| former.in_flight),
        imbalance: read.iter().map(|stats| stats.imbalance()).sum(),
        orphans: counters.orphans,
        fenced: counters.fenced,
        overdue: read.iter().map(|stats| stats.overdue).max().unwrap_or_default(),
        lost_calls: counters.lost_calls,
        reread: counters.reread,
        unconfirmed: read.iter().map(|stats| stats.unconfirmed).max().unwrap_or_default(),
        clock_behind: clock_behind(&read, now),
        window,
        remembered_ids: level(|stats| stats.remembered_ids, |former| former.remembered_ids),
        fullest_bucket: match (read.is_empty(), former) {
            (true, Some(former)) => former.fullest_bucket,
            (true, None) | (false, _) => read.iter().map(|stats| stats.fullest_bucket).max().unwrap_or(0),
        },
        outbox_entries: level(|stats| stats.outbox.entries, |former| former.outbox_entries),
        outbox_oldest: outbox_oldest(&read, now),
        gap_buckets: gap_buckets(counters.gaps, window),
        late: counters.late,
        reported: counters.reported,
    }
}

fn shards_read(books: &Books) -> impl Iterator<Item = &ShardStats> {
    books.shards.iter().filter_map(|shard| match shard {
        ShardBooks::Read(stats) => Some(stats.as_ref()),
        ShardBooks::Forgotten { .. } => None,
    })
}

/// Whether the books can be trusted; if not, why, and what to do.
fn state(reading: &GroupReading) -> Result<(), String> {
    let books = reading.books.as_ref().map_err(Clone::clone)?;
    let forgotten: Vec<_> = (0..)
        .zip(&books.shards)
        .filter_map(|(number, shard): (u32, _)| match shard {
            ShardBooks::Read(_) => None,
            ShardBooks::Forgotten { found } => Some((number, found)),
        })
        .collect();
    let Some((number, found)) = forgotten.first() else { return Ok(()) };
    let what = match found {
        Some(found) => format!("shard {number} is of another incarnation ({found})"),
        None => format!("shard {number} is empty"),
    };
    let more = if forgotten.len() > 1 { format!(" and {} more", forgotten.len() - 1) } else { String::new() };
    Err(format!("the store forgot: {what}{more}; {CONSEQUENCE}"))
}

/// Grants are stamped by the store's clock: one in the future means that this clock fell back since.
fn clock_behind(read: &[&ShardStats], now: DateTime<Utc>) -> Duration {
    let last = read.iter().map(|stats| stats.last_fence).max();
    last.and_then(|last| (last.granted_at() - now).to_std().ok()).unwrap_or_default()
}

/// By the store's clock; a clock that runs ahead of ours gives zero.
fn outbox_oldest(read: &[&ShardStats], now: DateTime<Utc>) -> Duration {
    let oldest = read.iter().filter_map(|stats| stats.outbox.oldest).min();
    oldest.and_then(|oldest| (now - oldest).to_std().ok()).unwrap_or_default()
}

/// Cumulative, by upper bound in seconds; the last bound is infinite.
fn gap_buckets(gaps: [u64; 10], window: Duration) -> Vec<(f64, u64)> {
    let bounds = gap_bounds(window).map(|bound| bound.as_secs_f64());
    let mut sum = 0;
    bounds
        .into_iter()
        .chain([f64::INFINITY])
        .zip(gaps)
        .map(|(bound, count)| {
            sum += count;
            (bound, sum)
        })
        .collect()
}
