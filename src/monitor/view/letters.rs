//! Dead letters, by the names of the topics that hold them: `<topic>.<group>.dlt`.

use super::{ClusterView, TopicView};
use crate::lag::Reading;
use std::collections::BTreeMap;

const ENDING: &str = ".dlt";

/// One dead-letter topic.
#[derive(Clone, Copy, Debug)]
pub struct LetterBox<'a> {
    pub topic: &'a TopicView,
    /// Where its letters came from, as far as the name tells.
    pub of_topic: Option<&'a str>,
    /// Who gave them up.
    pub group: Option<&'a str>,
}

impl LetterBox<'_> {
    /// Letters that are held, those that were sent again included: log end minus log start.
    pub const fn letters(&self) -> Reading<u64> {
        self.topic.retained_messages
    }
}

impl ClusterView {
    /// Every dead-letter topic, sorted by name.
    pub fn letter_boxes(&self) -> Vec<LetterBox<'_>> {
        let boxes = self.topics.iter().filter_map(|topic| {
            let name = topic.name.strip_suffix(ENDING).filter(|_| !topic.internal)?;
            let (of_topic, group) = self.origin(name).unzip();
            Some(LetterBox { topic: topic.as_ref(), of_topic, group })
        });
        boxes.collect()
    }

    /// Topic and group, both of which may hold dots: by a group and a topic that are known, then by either.
    fn origin<'a>(&'a self, name: &'a str) -> Option<(&'a str, &'a str)> {
        let has_topic = |name: &str| self.topic(name).is_some();
        let has_group = |name: &str| {
            let in_ledger = || self.ledger.as_ref().is_some_and(|l| l.groups.iter().any(|books| &*books.group == name));
            self.group(name).is_some() || in_ledger()
        };
        let splits = || name.match_indices('.').map(|(at, _)| (&name[..at], &name[at + 1..]));
        splits()
            .find(|(topic, group)| has_topic(topic) && has_group(group))
            .or_else(|| splits().find(|(_, group)| has_group(group)))
            .or_else(|| splits().find(|(topic, _)| has_topic(topic)))
    }

    /// Letters of each group that has a dead-letter topic; unknown where one of its topics is. Looks at every topic of the
    /// cluster: who asks for many groups asks once.
    pub fn letters_by_group(&self) -> BTreeMap<&str, Reading<u64>> {
        let mut sums = BTreeMap::new();
        for one in self.letter_boxes() {
            let Some(group) = one.group else { continue };
            let sum = sums.entry(group).or_insert(Reading::Known(0));
            *sum = match (*sum, one.letters()) {
                (Reading::Known(sum), Reading::Known(one)) => Reading::Known(sum + one),
                (Reading::Unknown(why), _) | (_, Reading::Unknown(why)) => Reading::Unknown(why),
            };
        }
        sums
    }

    /// Letters of one group: `None` where it has no dead-letter topic.
    pub fn letters_of(&self, group: &str) -> Option<Reading<u64>> {
        self.letters_by_group().remove(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::UnknownReason;
    use crate::monitor::fixture::{at, cluster, group, topic};
    use std::sync::Arc;

    fn with(topics: &[(&str, Reading<u64>)], groups: &[&str]) -> ClusterView {
        let mut view = cluster("c", at(0), groups.iter().map(|name| group(name)).collect());
        let held =
            |&(name, letters): &(&str, Reading<u64>)| Arc::new(TopicView { retained_messages: letters, ..topic(name, 1) });
        view.topics = topics.iter().map(held).collect();
        view.topics.sort_by(|a, b| a.name.cmp(&b.name));
        view.groups.sort_by(|a, b| a.id.cmp(&b.id));
        view
    }

    fn origins(view: &ClusterView) -> Vec<(Option<&str>, Option<&str>)> {
        view.letter_boxes().iter().map(|one| (one.of_topic, one.group)).collect()
    }

    #[test]
    fn topic_and_group_are_found_although_both_may_hold_dots() {
        let known = Reading::Known(1);
        let view = with(
            &[("a.b", known), ("a.b.c.d.dlt", known), ("a", known), ("orders.mail.dlt", known), ("plain.dlt", known)],
            &["c.d", "mail"],
        );
        assert_eq!(origins(&view), [(Some("a.b"), Some("c.d")), (Some("orders"), Some("mail")), (None, None)]);
    }

    #[test]
    fn letters_of_a_group_are_those_of_all_its_topics_and_unknown_with_one_of_them() {
        let box_of = |name, letters| (name, letters);
        let mut topics = vec![
            box_of("orders.g.dlt", Reading::Known(3)),
            box_of("payments.g.dlt", Reading::Known(4)),
            box_of("orders.h.dlt", Reading::Known(9)),
            box_of("dlt", Reading::Known(99)),
        ];
        assert_eq!(with(&topics, &["g", "h"]).letters_of("g"), Some(Reading::Known(7)));
        topics[1].1 = Reading::Unknown(UnknownReason::NoLeader);
        assert_eq!(with(&topics, &["g", "h"]).letters_of("g"), Some(Reading::Unknown(UnknownReason::NoLeader)));
        assert_eq!(with(&topics, &["g", "h"]).letters_of("other"), None);
    }
}
