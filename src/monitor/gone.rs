//! Groups and topics that were there and are not any more, with the time at which each was last seen: so that the page of a
//! name that is gone can say since when.

use chrono::{DateTime, Utc};
use std::{collections::VecDeque, sync::Arc};

/// Names that are kept; the oldest go first.
const KEPT: usize = 500;

/// What is gone of one cluster, of one kind.
#[derive(Clone, Debug, Default)]
pub struct Gone {
    /// Oldest first.
    seen: VecDeque<(Arc<str>, DateTime<Utc>)>,
}

impl Gone {
    /// When `name` was last seen.
    pub fn last_seen(&self, name: &str) -> Option<DateTime<Utc>> {
        self.seen.iter().rev().find(|(gone, _)| &**gone == name).map(|(_, at)| *at)
    }

    /// Compares the names of two readings, both sorted; those of `before`, which was read at `last`, that are not in
    /// `now` are gone.
    pub(super) fn compare<'a>(
        &mut self,
        before: impl Iterator<Item = &'a Arc<str>>,
        now: impl Iterator<Item = &'a Arc<str>>,
        last: DateTime<Utc>,
    ) {
        let mut now = now.peekable();
        for name in before {
            while now.next_if(|known| !Arc::ptr_eq(known, name) && *known < name).is_some() {}
            if now.peek() != Some(&name) {
                self.seen.push_back((Arc::clone(name), last));
            }
        }
        while self.seen.len() > KEPT {
            self.seen.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn names(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    #[test]
    fn what_was_there_and_is_not_is_gone_since_it_was_last_seen() {
        let mut gone = Gone::default();
        gone.compare(names(&["a", "b", "c", "e"]).iter(), names(&["b", "d", "e", "f"]).iter(), at(5));
        assert_eq!(["a", "b", "c", "d", "e"].map(|name| gone.last_seen(name)), [Some(at(5)), None, Some(at(5)), None, None]);
        gone.compare(names(&["a"]).iter(), names(&[]).iter(), at(9));
        assert_eq!(gone.last_seen("a"), Some(at(9)), "it was there again");
    }

    #[test]
    fn only_so_many_names_are_kept() {
        let mut gone = Gone::default();
        for second in 0..2 * KEPT as i64 {
            gone.compare(names(&[&format!("g{second}")]).iter(), names(&[]).iter(), at(second));
        }
        assert_eq!(gone.seen.len(), KEPT);
        assert_eq!((gone.last_seen("g0"), gone.last_seen("g999")), (None, Some(at(999))));
    }
}
