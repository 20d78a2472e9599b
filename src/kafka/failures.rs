//! What failed in one collection without failing the whole of it, summed so that a broker that is down is one line and
//! not one for each of its thousand groups.

use crate::lag::{ReadFailure, UnknownReason};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub struct Failures {
    /// By (what, broker, reason): words about the first, and how many partitions, groups or topics.
    seen: BTreeMap<(&'static str, Option<i32>, UnknownReason), (String, usize)>,
}

impl Failures {
    /// `what` is a plural ("offsets of groups"); `detail` words for the first one.
    pub fn add(
        &mut self,
        what: &'static str,
        broker: Option<i32>,
        reason: UnknownReason,
        affected: usize,
        detail: impl FnOnce() -> String,
    ) {
        let entry = self.seen.entry((what, broker, reason)).or_insert_with(|| (detail(), 0));
        entry.1 += affected;
    }

    pub fn merge(&mut self, other: Self) {
        for ((what, broker, reason), (detail, affected)) in other.seen {
            self.add(what, broker, reason, affected, || detail);
        }
    }

    pub fn into_list(self) -> Vec<ReadFailure> {
        let line = |((what, broker, reason), (detail, affected)): ((&str, _, _), (String, usize))| ReadFailure {
            what: if detail.is_empty() { what.to_owned() } else { format!("{what} ({detail})") },
            broker,
            reason,
            affected,
        };
        self.seen.into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_failure_of_one_broker_is_one_line_with_a_sum() {
        let mut failures = Failures::default();
        for group in ["a", "b", "c"] {
            failures.add("offsets of groups", Some(1), UnknownReason::Timeout, 1, || format!("first: {group}"));
        }
        failures.add("offsets of groups", Some(2), UnknownReason::Timeout, 1, String::new);
        let list = failures.into_list();
        assert_eq!(list.len(), 2);
        assert_eq!((list[0].what.as_str(), list[0].affected), ("offsets of groups (first: a)", 3));
        assert_eq!(list[1].what, "offsets of groups");
    }
}
