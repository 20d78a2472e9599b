//! What a run of the demo came to, as text on standard output and as an exit code. Pure.

use super::{
    mail::{self, MailCounts},
    witness::Totals,
};
use crate::store::{Counters, DuplicateCause, DuplicateOutcome, GrantKind};
use std::{fmt, time::Duration};

/// The end of a run, from three sources: the clients' answers, the topics, the ledgers' books.
#[derive(Clone, Debug)]
pub struct Summary {
    pub lasted: Duration,
    /// `embedded Kafka, ledger in memory` or the addresses.
    pub runs_on: String,
    pub orders: OrderCounts,
    pub topics: Totals,
    /// Orders that were created and had not ended when the run did.
    pub open: usize,
    pub mails: MailCounts,
    /// One of each group, sorted by group.
    pub books: Vec<GroupBooks>,
    pub faults: FaultCounts,
    /// What could not be read at the end, in words: nothing is claimed about it.
    pub unread: Vec<String>,
}

/// Answers to `POST /orders`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderCounts {
    /// Answered 202 for the first time.
    pub accepted: u64,
    /// Answered 202 with the order of an earlier request that had the same `Idempotency-Key`.
    pub repeated: u64,
    /// Answered otherwise, or not at all.
    pub refused: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// With repetitions.
    pub played: u64,
    /// In the order in which each was played first.
    pub names: Vec<&'static str>,
    pub left_out: Vec<&'static str>,
    /// Faults that could not be played as they should, in words.
    pub failed: Vec<String>,
}

/// One group's books since the start of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupBooks {
    pub group: String,
    pub counters: Counters,
    pub in_flight: i64,
    /// Events in the outbox that Kafka has not acknowledged.
    pub unsent: u64,
    /// Anything but 0 is a defect.
    pub imbalance: i64,
    /// A shard has forgotten what it knew.
    pub forgotten: bool,
}

impl Summary {
    /// Whether every group's books balance, and could be read.
    pub fn balanced(&self) -> bool {
        self.unread.is_empty() && self.books.iter().all(|books| books.imbalance == 0 && !books.forgotten)
    }

    /// Orders that were paid more than once: two different payments in the topics, or more payments committed than orders
    /// that have one.
    pub fn paid_twice(&self) -> u64 {
        let committed: u64 = self.outbox("PAYMENT_COMPLETED");
        self.topics.paid_twice.max(committed.saturating_sub(self.topics.paid))
    }

    /// By the services, which ask the ledger before they work, and by the one that tells it afterwards.
    pub fn executed_twice(&self) -> (u64, u64) {
        let of = |books: &GroupBooks| -> u64 {
            DuplicateCause::ALL.iter().map(|&cause| books.counters.duplicates_of(cause, DuplicateOutcome::Executed)).sum()
        };
        self.books.iter().fold((0, 0), |(services, mails), books| match books.group == mail::GROUP {
            true => (services, mails + of(books)),
            false => (services + of(books), mails),
        })
    }

    /// Whether the ledger shows each mail that went out twice, and no other.
    fn shows_every_mail(&self) -> bool {
        self.executed_twice().1 == self.mails.twice
    }

    /// Whether the run has shown what it is meant to show.
    pub fn is_good(&self) -> bool {
        self.balanced() && self.paid_twice() == 0 && self.shows_every_mail()
    }

    fn duplicates(&self, cause: DuplicateCause, outcome: DuplicateOutcome) -> u64 {
        self.books.iter().map(|books| books.counters.duplicates_of(cause, outcome)).sum()
    }

    fn outbox(&self, event_type: &str) -> u64 {
        self.books.iter().filter_map(|books| books.counters.outbox_by_type.get(event_type)).sum()
    }

    fn written(&self) -> u64 {
        self.books.iter().flat_map(|books| books.counters.outbox_by_type.values()).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (orders, topics) = (&self.orders, &self.topics);
        writeln!(f, "tidemark demo: {} on {}", humantime::format_duration(whole_seconds(self.lasted)), self.runs_on)?;
        row(
            f,
            "orders",
            &format!(
                "{} accepted, {} refused; {} sent again and answered with the first order",
                orders.accepted, orders.refused, orders.repeated
            ),
        )?;
        row(
            f,
            "ends",
            &format!(
                "{} completed, {} cancelled, {} open; ended twice {}, paid twice {}, delivered twice {}",
                topics.completed,
                topics.cancelled,
                self.open,
                topics.ended_twice,
                self.paid_twice(),
                topics.delivered_twice
            ),
        )?;
        row(
            f,
            "events",
            &format!(
                "{} written by the services; {} records in the topics, {} of them copies",
                self.written(),
                topics.records,
                topics.copies
            ),
        )?;
        self.write_duplicates(f)?;
        let (by_services, by_mail) = self.executed_twice();
        let MailCounts { sent, twice } = self.mails;
        row(f, "mails", &format!("{sent} sent by {}, {twice} of them a second time", mail::GROUP))?;
        row(f, "executed twice", &format!("{by_services} by the services, {by_mail} by {}", mail::GROUP))?;
        row(f, "dead letters", &listed(topics.dead_letters.iter().map(|(reason, count)| format!("{count} {reason}"))))?;
        self.write_books(f)?;
        self.write_faults(f)?;
        self.unread.iter().try_for_each(|what| row(f, "unknown", what))?;
        row(f, "result", self.words())
    }
}

impl Summary {
    fn write_duplicates(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for cause in DuplicateCause::ALL {
            let [suppressed, executed] =
                [DuplicateOutcome::Suppressed, DuplicateOutcome::Executed].map(|outcome| self.duplicates(cause, outcome));
            row(f, &format!("duplicates, {}", cause.label()), &format!("{suppressed} suppressed, {executed} executed"))?;
        }
        Ok(())
    }

    fn write_books(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for books in &self.books {
            let c = &books.counters;
            let verdict = match (books.forgotten, books.imbalance) {
                (true, _) => "the store forgot".to_owned(),
                (false, 0) => "balanced".to_owned(),
                (false, wrong) => format!("NOT BALANCED by {wrong}"),
            };
            row(
                f,
                &format!("books, {}", books.group),
                &format!(
                    "{verdict}: granted {} (retry {}, takeover {}) = completed {} + released {} + failed {} + superseded {} + \
                 abandoned {} + in flight {}",
                    c.granted_total(),
                    c.granted_of(GrantKind::Retry),
                    c.granted_of(GrantKind::Takeover),
                    c.completed,
                    c.released,
                    c.failed,
                    c.superseded,
                    c.abandoned,
                    books.in_flight
                ),
            )?;
        }
        Ok(())
    }

    fn write_faults(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults = &self.faults;
        row(f, "faults", &format!("{} played: {}", faults.played, listed(faults.names.iter().map(ToString::to_string))))?;
        if !faults.left_out.is_empty() {
            row(f, "", &format!("no time for: {}", faults.left_out.join(", ")))?;
        }
        faults.failed.iter().try_for_each(|what| row(f, "", what))
    }

    fn words(&self) -> &'static str {
        match (self.balanced(), self.paid_twice()) {
            (true, 0) if !self.shows_every_mail() => {
                "BAD: mails went out twice that the ledger does not show, or the other way round"
            }
            (true, 0) => "good: the books balance and no order was paid twice",
            (true, _) => "BAD: an order was paid twice",
            (false, 0) => "BAD: the books do not balance, or could not be read",
            (false, _) => "BAD: the books do not balance, and an order was paid twice",
        }
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    writeln!(f, "  {name:<24}{text}")
}

fn listed(items: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = items.collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn summary() -> Summary {
        let counters = |paid: u64| Counters {
            granted: [10, 1, 0, 0],
            completed: 10,
            released: 1,
            outbox_by_type: BTreeMap::from([("PAYMENT_COMPLETED".to_owned(), paid)]),
            ..Counters::default()
        };
        Summary {
            lasted: Duration::from_millis(30_400),
            runs_on: "embedded Kafka, ledger in memory".to_owned(),
            orders: OrderCounts { accepted: 7, repeated: 1, refused: 0 },
            topics: Totals { records: 40, copies: 3, created: 7, paid: 6, completed: 5, cancelled: 2, ..Totals::default() },
            open: 0,
            mails: MailCounts { sent: 5, twice: 0 },
            books: vec![GroupBooks { group: "payment-service".to_owned(), counters: counters(6), ..GroupBooks::default() }],
            faults: FaultCounts { played: 1, names: vec!["payment stops"], ..FaultCounts::default() },
            unread: Vec::new(),
        }
    }

    #[test]
    fn a_good_run_reads_well() {
        insta::assert_snapshot!(summary(), @r"
tidemark demo: 30s on embedded Kafka, ledger in memory
  orders                  7 accepted, 0 refused; 1 sent again and answered with the first order
  ends                    5 completed, 2 cancelled, 0 open; ended twice 0, paid twice 0, delivered twice 0
  events                  6 written by the services; 40 records in the topics, 3 of them copies
  duplicates, redelivery  0 suppressed, 0 executed
  duplicates, republish   0 suppressed, 0 executed
  duplicates, replay      0 suppressed, 0 executed
  duplicates, concurrent  0 suppressed, 0 executed
  duplicates, dead        0 suppressed, 0 executed
  duplicates, conflict    0 suppressed, 0 executed
  mails                   5 sent by mail-service, 0 of them a second time
  executed twice          0 by the services, 0 by mail-service
  dead letters            none
  books, payment-service  balanced: granted 11 (retry 1, takeover 0) = completed 10 + released 1 + failed 0 + superseded 0 + abandoned 0 + in flight 0
  faults                  1 played: payment stops
  result                  good: the books balance and no order was paid twice
        ");
    }

    #[test]
    fn mails_that_went_out_twice_are_expected_where_the_ledger_shows_each() {
        let mut summary = summary();
        let mut books = GroupBooks { group: mail::GROUP.to_owned(), ..GroupBooks::default() };
        books.counters.duplicates[DuplicateCause::Redelivery as usize][DuplicateOutcome::Executed as usize] = 3;
        summary.books.push(books);
        summary.mails.twice = 3;
        assert!(summary.is_good() && summary.executed_twice() == (0, 3));
        assert!(summary.to_string().contains("0 by the services, 3 by mail-service"), "{summary}");
        summary.mails.twice = 2;
        assert!(!summary.is_good(), "one more than went out");
    }

    #[test]
    fn only_books_that_balance_and_single_payments_are_good() {
        assert!(summary().is_good());
        let mut unbalanced = summary();
        unbalanced.books[0].imbalance = -1;
        let mut twice = summary();
        twice.topics.paid_twice = 1;
        let mut committed_twice = summary();
        committed_twice.topics.paid = 5;
        let mut forgotten = summary();
        forgotten.books[0].forgotten = true;
        let mut unseen = summary();
        unseen.mails.twice = 2;
        let mut unread = summary();
        unread.unread.push("the books of order-service: timeout".to_owned());
        for bad in [unbalanced, twice, committed_twice, forgotten, unseen, unread] {
            assert!(!bad.is_good(), "{bad}");
            assert!(bad.to_string().contains("BAD"), "{bad}");
        }
    }
}
