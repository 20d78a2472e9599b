//! Rows added up by group or by topic, the largest lag first: who is behind.

use super::rows::Row;
use serde::Serialize;
use std::{cmp::Reverse, collections::BTreeMap};

/// What a group has left, in one topic or in all. A number that is not known is empty or null, with the reason in `note`.
#[derive(Debug, Default, Serialize)]
pub struct Sum<'a> {
    pub cluster: &'a str,
    pub group: &'a str,
    /// Empty in the sum of a group.
    pub topic: Option<&'a str>,
    /// Partitions that it reads.
    pub partitions: u64,
    /// Those with unread records.
    pub behind: u64,
    /// Those whose lag is not known; they are in no other number.
    pub unknown: u64,
    /// Records that can still be read, where that is known.
    pub lag: Option<u64>,
    pub expired: Option<u64>,
    /// The largest age of an oldest unread record.
    pub lag_seconds: Option<f64>,
    /// The largest age that is certain where an age is not known.
    pub lag_seconds_at_least: Option<f64>,
    /// Why something is not known: the first reason.
    pub note: String,
}

/// One sum for each group, or for each topic of each group.
pub fn sums<'a>(rows: &[Row<'a>], by_topic: bool) -> Vec<Sum<'a>> {
    let mut sums: BTreeMap<(&str, &str, Option<&str>), Sum<'a>> = BTreeMap::new();
    for row in rows {
        let topic = row.topic.filter(|_| by_topic);
        let sum = sums.entry((row.cluster, row.group, topic)).or_insert_with(|| Sum {
            cluster: row.cluster,
            group: row.group,
            topic,
            ..Sum::default()
        });
        sum.add(row);
    }
    let mut sums: Vec<Sum<'a>> = sums.into_values().collect();
    sums.sort_by_key(|sum| Reverse((sum.lag, sum.unknown)));
    sums
}

impl Sum<'_> {
    fn add(&mut self, row: &Row<'_>) {
        self.partitions += u64::from(row.partition.is_some());
        // Where nothing was committed in a log that holds nothing, nothing is left either.
        let nothing_there = row.log_start.is_some() && row.log_start == row.log_end;
        match row.lag {
            Some(lag) => {
                self.behind += u64::from(lag > 0);
                self.lag = Some(self.lag.unwrap_or(0).saturating_add(lag));
            }
            None if nothing_there => self.lag = self.lag.or(Some(0)),
            None => self.unknown += 1,
        }
        if let Some(expired) = row.expired {
            self.expired = Some(self.expired.unwrap_or(0).saturating_add(expired));
        }
        self.lag_seconds = largest(self.lag_seconds, row.lag_seconds);
        self.lag_seconds_at_least = largest(self.lag_seconds_at_least, row.lag_seconds_at_least);
        if self.note.is_empty() && !nothing_there {
            self.note.clone_from(&row.note);
        }
    }

    /// Whether something is left, or may be.
    pub const fn is_behind(&self) -> bool {
        self.behind > 0 || self.unknown > 0
    }
}

fn largest(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(group: &'a str, topic: &'a str, partition: i32, lag: Option<u64>) -> Row<'a> {
        let note = if lag.is_some() { "" } else { "the broker did not answer in time" };
        Row {
            topic: Some(topic),
            partition: Some(partition),
            lag,
            expired: lag.map(|_| 1),
            lag_seconds: lag.map(|lag| lag as f64),
            log_start: Some(5),
            log_end: Some(9),
            note: note.to_owned(),
            ..Row::of("c", group)
        }
    }

    #[test]
    fn a_sum_leaves_out_what_is_not_known_and_says_so_and_the_largest_comes_first() {
        let rows = [
            row("a", "t", 0, Some(3)),
            row("a", "u", 0, Some(0)),
            row("b", "t", 0, Some(40)),
            row("b", "t", 1, None),
            Row { log_end: Some(5), ..row("c", "t", 0, None) },
            Row { note: "no right".to_owned(), ..Row::of("c", "d") },
        ];
        let by_group = sums(&rows, false);
        let shown: Vec<_> =
            by_group.iter().map(|s| (s.group, s.lag, s.partitions, s.behind, s.unknown, s.note.as_str())).collect();
        assert_eq!(
            shown,
            [
                ("b", Some(40), 2, 1, 1, "the broker did not answer in time"),
                ("a", Some(3), 2, 1, 0, ""),
                ("c", Some(0), 1, 0, 0, ""),
                ("d", None, 0, 0, 1, "no right"),
            ]
        );
        assert_eq!((by_group[0].expired, by_group[0].lag_seconds), (Some(1), Some(40.0)));
        assert_eq!(by_group.iter().map(Sum::is_behind).collect::<Vec<_>>(), [true, true, false, true]);
        let by_topic = sums(&rows, true);
        let topics: Vec<_> = by_topic.iter().map(|sum| (sum.group, sum.topic, sum.lag)).collect();
        assert_eq!(topics[..3], [("b", Some("t"), Some(40)), ("a", Some("t"), Some(3)), ("a", Some("u"), Some(0))]);
    }
}
