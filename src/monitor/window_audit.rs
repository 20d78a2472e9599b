//! The ledger's window against what the topics of its group keep: could a replay bring records that it no longer knows?
//!
//! One answer for pages, JSON and alerts. Kafka deletes whole segments, so that records may live longer than
//! `retention.ms` says; that is not seen here.

use super::view::{ClusterView, LedgerGroupView};
use crate::lag::{Reading, Retention, UnknownReason, words};
use std::{sync::Arc, time::Duration};

/// How a topic's retention stands to the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Records are deleted before their ids may be forgotten.
    Covered(Duration),
    /// Records are kept for this time, which is longer.
    Shorter(Duration),
    /// Records are never deleted: no window is long enough.
    Unlimited,
    /// The last record of each key is never deleted: no window is long enough.
    Compacted,
    Unknown(UnknownReason),
}

impl Coverage {
    pub const fn label(self) -> &'static str {
        match self {
            Self::Covered(_) => "covered",
            Self::Shorter(_) => "shorter",
            Self::Unlimited => "unlimited",
            Self::Compacted => "compacted",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Records may come again that the ledger no longer knows.
    pub const fn is_exposed(self) -> bool {
        match self {
            Self::Shorter(_) | Self::Unlimited | Self::Compacted => true,
            Self::Covered(_) | Self::Unknown(_) => false,
        }
    }

    /// How long the topic keeps records, where that is a time.
    pub const fn kept(self) -> Option<Duration> {
        match self {
            Self::Covered(kept) | Self::Shorter(kept) => Some(kept),
            Self::Unlimited | Self::Compacted | Self::Unknown(_) => None,
        }
    }
}

/// One topic that the group reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicAudit {
    pub topic: Arc<str>,
    pub window: Duration,
    pub coverage: Coverage,
}

impl TopicAudit {
    /// What it means, as a sentence about the topic of this name.
    pub fn sentence(&self, topic: &str) -> String {
        let window = words::duration(self.window);
        let again = format!("a replay of records older than {window} would run them again.");
        match self.coverage {
            Coverage::Covered(kept) => {
                format!("{topic} keeps records for {}: all that can be replayed is remembered.", words::duration(kept))
            }
            Coverage::Shorter(kept) => format!("{topic} keeps records for {}: {again}", words::duration(kept)),
            Coverage::Unlimited => format!("{topic} keeps records for ever: {again}"),
            Coverage::Compacted => format!("{topic} is compacted and keeps the last record of each key for ever: {again}"),
            Coverage::Unknown(reason) => {
                format!("{topic}: retention not known ({reason}), nor whether {window} covers it.")
            }
        }
    }
}

/// At most `most` sentences about these topics of one group, and whether each is of something that is wrong; those of which the
/// same is not known share one. `shown` makes a name fit to be shown.
pub fn sentences(audits: &[TopicAudit], most: usize, shown: impl Fn(&str) -> String) -> Vec<(bool, String)> {
    let mut told: Vec<(&TopicAudit, String)> = Vec::new();
    for audit in audits {
        let same = told
            .iter_mut()
            .find(|(first, _)| matches!(audit.coverage, Coverage::Unknown(_)) && first.coverage == audit.coverage);
        match same {
            Some((_, topics)) => {
                topics.push_str(", ");
                topics.push_str(&shown(&audit.topic));
            }
            None => told.push((audit, shown(&audit.topic))),
        }
    }
    // What is wrong first.
    told.sort_by_key(|(audit, _)| !audit.coverage.is_exposed());
    let more = told.len().saturating_sub(most);
    let told = told.into_iter().take(most);
    let mut said: Vec<_> = told.map(|(audit, topics)| (audit.coverage.is_exposed(), audit.sentence(&topics))).collect();
    if more > 0 {
        said.push((false, format!("And {}: the JSON has all.", words::counted(more as u64, "more topic"))));
    }
    said
}

/// The topics that the group reads, in their order. `None` where it is not known which they are, or how long the window is.
pub fn audit(cluster: &ClusterView, books: &LedgerGroupView) -> Option<Vec<TopicAudit>> {
    let group = cluster.group(&books.group)?;
    if books.window.is_zero() {
        return None;
    }
    let read = group.topics.iter().filter(|topic| !topic.unsubscribed);
    let audits = read.map(|read| {
        let retention = cluster.topic(&read.topic).map(|topic| topic.retention);
        let retention = retention.unwrap_or(Reading::Unknown(UnknownReason::NotReadYet));
        TopicAudit { topic: Arc::clone(&read.topic), window: books.window, coverage: coverage(retention, books.window) }
    });
    Some(audits.collect())
}

fn coverage(retention: Reading<Retention>, window: Duration) -> Coverage {
    match retention {
        Reading::Known(Retention::Time(kept)) if kept > window => Coverage::Shorter(kept),
        Reading::Known(Retention::Time(kept)) => Coverage::Covered(kept),
        Reading::Known(Retention::Forever) => Coverage::Unlimited,
        Reading::Known(Retention::Compacted) => Coverage::Compacted,
        Reading::Unknown(reason) => Coverage::Unknown(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::{
        fixture::{cluster, group, group_topic, ledger_group, reading, topic},
        view::TopicView,
    };

    const DAY: u64 = 86_400;

    /// What the audit says of a group with a window of 7 days that reads one topic.
    fn of(retention: Reading<Retention>) -> TopicAudit {
        let reader = reading(group("payment-service"), vec![("t", Vec::new())]);
        let mut view = cluster("c", crate::monitor::fixture::at(0), vec![reader]);
        view.topics = vec![Arc::new(TopicView { retention, ..topic("t", 1) })];
        audit(&view, &ledger_group("payment-service")).unwrap().remove(0)
    }

    fn kept(days: u64) -> Reading<Retention> {
        Reading::Known(Retention::Time(Duration::from_secs(days * DAY)))
    }

    #[test]
    fn each_kind_of_retention_is_told_in_a_sentence() {
        let again = "a replay of records older than 7 d would run them again.";
        let denied = Reading::Unknown(UnknownReason::NotAuthorized);
        let cases = [
            (kept(3), "covered", false, "T keeps records for 3 d: all that can be replayed is remembered.".to_owned()),
            (kept(7), "covered", false, "T keeps records for 7 d: all that can be replayed is remembered.".to_owned()),
            (kept(14), "shorter", true, format!("T keeps records for 14 d: {again}")),
            (Reading::Known(Retention::Forever), "unlimited", true, format!("T keeps records for ever: {again}")),
            (
                Reading::Known(Retention::Compacted),
                "compacted",
                true,
                format!("T is compacted and keeps the last record of each key for ever: {again}"),
            ),
            (
                denied,
                "unknown",
                false,
                format!("T: retention not known ({}), nor whether 7 d covers it.", UnknownReason::NotAuthorized),
            ),
        ];
        for (retention, label, exposed, sentence) in cases {
            let audit = of(retention);
            assert_eq!((audit.coverage.label(), audit.coverage.is_exposed()), (label, exposed), "{retention:?}");
            assert_eq!(audit.sentence("T"), sentence);
        }
    }

    #[test]
    fn topics_of_which_the_same_is_not_known_share_a_sentence_and_what_is_wrong_comes_first() {
        let audit = |topic: &str, coverage| TopicAudit { topic: topic.into(), window: Duration::from_secs(DAY), coverage };
        let denied = Coverage::Unknown(UnknownReason::NotAuthorized);
        let audits =
            [audit("a", denied), audit("b", Coverage::Unlimited), audit("c", denied), audit("d", Coverage::Compacted)];
        let said = sentences(&audits, 9, |topic| topic.to_uppercase());
        assert_eq!(said.iter().map(|(wrong, _)| *wrong).collect::<Vec<_>>(), [true, true, false]);
        assert!(said[0].1.starts_with("B keeps") && said[2].1.starts_with("A, C: retention not known"), "{said:?}");
        let short = sentences(&audits, 2, str::to_owned);
        assert_eq!(short[2], (false, "And 1 more topic: the JSON has all.".to_owned()));
    }

    #[test]
    fn what_cannot_be_told_is_never_covered() {
        let reader = reading(group("payment-service"), vec![("gone", Vec::new())]);
        let view = cluster("c", crate::monitor::fixture::at(0), vec![reader]);
        let books = ledger_group("payment-service");
        let unknown = audit(&view, &books).unwrap();
        assert_eq!(unknown[0].coverage, Coverage::Unknown(UnknownReason::NotReadYet), "the topic was not read");
        assert_eq!(audit(&view, &ledger_group("nobody")), None, "which topics it reads is not known");
        let lost = LedgerGroupView { window: Duration::ZERO, ..ledger_group("payment-service") };
        assert_eq!(audit(&view, &lost), None, "the window was never read");
    }

    #[test]
    fn a_topic_that_nobody_of_the_group_subscribes_to_any_more_is_left_out() {
        let mut unread = group_topic("t", Vec::new());
        unread.unsubscribed = true;
        let mut reader = group("payment-service");
        reader.topics = Box::new([unread]);
        let view = cluster("c", crate::monitor::fixture::at(0), vec![reader]);
        assert_eq!(audit(&view, &ledger_group("payment-service")), Some(Vec::new()));
    }
}
