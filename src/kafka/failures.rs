//! What failed in one collection without failing the whole of it, summed so that a broker that is down is one line and
//! not one for each of its thousand groups.

use crate::lag::{ReadFailure, UnknownReason};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub struct Failures {
    /// By (what, broker, reason).
    seen: BTreeMap<(&'static str, Option<i32>, UnknownReason), Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    /// Words about the first.
    detail: String,
    /// How many partitions, groups or topics.
    affected: usize,
    /// The first of them, where they have names.
    names: Vec<String>,
}

/// Names that are kept of one failure.
const NAMES: usize = 5;

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
        self.entry(what, broker, reason, detail).affected += affected;
    }

    /// As [`Self::add`], for one group or topic of this name.
    pub fn add_named(&mut self, what: &'static str, broker: Option<i32>, reason: UnknownReason, name: &str) {
        let seen = self.entry(what, broker, reason, || format!("first: {name}"));
        seen.affected += 1;
        if seen.names.len() < NAMES {
            seen.names.push(name.to_owned());
        }
    }

    fn entry(
        &mut self,
        what: &'static str,
        broker: Option<i32>,
        reason: UnknownReason,
        detail: impl FnOnce() -> String,
    ) -> &mut Seen {
        let new = || Seen { detail: detail(), affected: 0, names: Vec::new() };
        self.seen.entry((what, broker, reason)).or_insert_with(new)
    }

    /// Whether anything failed for one of these reasons.
    pub fn any(&self, reasons: &[UnknownReason]) -> bool {
        self.seen.keys().any(|(_, _, reason)| reasons.contains(reason))
    }

    pub fn merge(&mut self, other: Self) {
        for ((what, broker, reason), seen) in other.seen {
            let kept = self.entry(what, broker, reason, || seen.detail);
            kept.affected += seen.affected;
            kept.names.extend(seen.names.into_iter().take(NAMES.saturating_sub(kept.names.len())));
        }
    }

    pub fn into_list(self) -> Vec<ReadFailure> {
        let line = |((what, broker, reason), seen): ((&'static str, _, _), Seen)| ReadFailure {
            what: if seen.detail.is_empty() { what.to_owned() } else { format!("{what} ({})", seen.detail) },
            kind: what,
            broker,
            reason,
            affected: seen.affected,
            names: seen.names,
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
