//! What the last collection read of each group: most groups of a large cluster stand still, and what has not changed is
//! neither allocated anew nor kept twice.

use crate::lag::{CommittedOffset, GroupSnapshot};
use std::sync::Arc;

/// Sorted by topic and partition.
pub type Offsets = Arc<[CommittedOffset]>;

/// Names and committed offsets of the last collection, sorted by name.
#[derive(Debug, Default)]
pub struct Former {
    groups: Vec<(Arc<str>, Option<Offsets>)>,
}

impl Former {
    /// Gives groups that were there before the names that they had, and tells by index what each had committed. `groups` is
    /// sorted by id.
    pub fn share<'a>(&'a self, groups: &mut [GroupSnapshot]) -> Vec<Option<&'a Offsets>> {
        let mut known = self.groups.iter().peekable();
        let former = |group: &mut GroupSnapshot| {
            while known.next_if(|(id, _)| *id < group.id).is_some() {}
            let (id, offsets) = known.next_if(|(id, _)| *id == group.id)?;
            group.id = Arc::clone(id);
            offsets.as_ref()
        };
        groups.iter_mut().map(former).collect()
    }

    /// Remembers this collection in place of the last one.
    pub fn remember(&mut self, groups: &[GroupSnapshot]) {
        self.groups.clear();
        let entry = |group: &GroupSnapshot| (Arc::clone(&group.id), group.committed.as_ref().known().cloned());
        self.groups.extend(groups.iter().map(entry));
    }
}

/// The former offsets where they are the same.
pub fn kept(former: Option<&Offsets>, read: &[CommittedOffset]) -> Offsets {
    match former {
        Some(former) if **former == *read => Arc::clone(former),
        Some(_) | None => read.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::testing::cluster;

    #[test]
    fn groups_that_stay_keep_their_names_and_offsets() {
        let read = |groups: &[(&str, u64)]| {
            let topic = cluster(0).topic("t", 1, &[(0, 10)]);
            groups.iter().fold(topic, |read, (id, offset)| read.group(id, &[("t", 0, *offset)])).groups
        };
        let before = read(&[("a", 1), ("c", 3), ("d", 4)]);
        let mut former = Former::default();
        former.remember(&before);
        let mut now = read(&[("b", 2), ("c", 3), ("d", 5), ("e", 6)]);
        let shared = former.share(&mut now);
        assert_eq!(shared.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true, true, false]);
        assert!(Arc::ptr_eq(&now[1].id, &before[1].id) && Arc::ptr_eq(&now[2].id, &before[2].id));
        let offsets = |group: &GroupSnapshot| group.committed.clone().known().unwrap();
        let [same, moved] = [1, 2].map(|index| kept(shared[index], &offsets(&now[index])));
        assert!(Arc::ptr_eq(&same, &offsets(&before[1])), "the same offsets");
        assert_eq!(moved, offsets(&now[2]), "others");
    }
}
