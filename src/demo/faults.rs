//! The tour's faults, as data: what happens, what is said on the page, how long it lasts. Pure.
//!
//! To add one: a row in [`FAULTS`], an [`Act`], and what it does in `stage`.

use crate::services::Service;
use std::time::Duration;

/// One fault of the tour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub name: &'static str,
    /// What happens, as one sentence for the timeline.
    pub sentence: &'static str,
    /// What to look at meanwhile.
    pub look_at: &'static str,
    pub act: Act,
    /// The service that it disturbs. Faults of different groups may overlap; `None` disturbs none of them.
    pub service: Option<Service>,
    /// How long the disturbance itself lasts; before a rewind, how long the group goes on.
    pub hold: Duration,
    /// The same in a run that has an end.
    pub hold_short: Duration,
    /// Longest time that it takes besides: groups have to settle.
    pub extra: Duration,
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// A service's only member stops cleanly and comes back.
    ServiceStops,
    /// A second member joins, works without committing offsets, and crashes.
    MemberCrashes,
    /// The group's offsets are set back while its member is stopped.
    OffsetsGoBack,
    /// The work on one partition's records takes long.
    PartitionSlows,
    /// Events that were published are published again.
    ProducerRepeats,
    /// Ids that were processed come again with another payload.
    PayloadsConflict,
    /// A record that is no event, and an event whose processing always fails.
    PoisonArrives,
    /// A consumer that tells the ledger after its work begins again at older offsets.
    OffsetsAreLost,
    /// Orders that payment declines and whose delivery fails.
    CustomersProvoke,
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Every fault, in the order in which the tour plays them.
pub const FAULTS: [Fault; 9] = [
    Fault {
        name: "payment stops",
        sentence: "payment is stopped: orders are still accepted, its lag grows, then the verdict turns and the alert fires",
        look_at: "/groups: payment-service falls behind; /alerts: pending, then firing",
        act: Act::ServiceStops,
        service: Some(Service::Payment),
        hold: s(30),
        hold_short: s(12),
        extra: s(3),
    },
    Fault {
        name: "a rebalance redelivers",
        sentence: "a second member of order-service joins, works, and crashes before it has committed an offset: what it did comes again",
        look_at: "/duplicates: redelivery, suppressed",
        act: Act::MemberCrashes,
        service: Some(Service::Order),
        hold: s(5),
        hold_short: s(3),
        extra: s(12),
    },
    Fault {
        name: "offsets are rewound",
        sentence: "the offsets of delivery-service are set back by 25 records a partition: all of them are read again",
        look_at: "/groups: delivery-service is rewound; /duplicates: redelivery, suppressed",
        act: Act::OffsetsGoBack,
        service: Some(Service::Delivery),
        hold: s(3),
        hold_short: s(3),
        extra: s(11),
    },
    Fault {
        name: "declined payments and failed deliveries",
        sentence: "customers order what cannot be paid or delivered: the orders are cancelled, and what was paid is refunded",
        look_at: "/flow: declined, failed, refunded, cancelled",
        act: Act::CustomersProvoke,
        service: None,
        hold: s(5),
        hold_short: s(1),
        extra: s(2),
    },
    Fault {
        name: "a producer republishes",
        sentence: "a producer sends up to 40 of its events again, as after lost acknowledgements",
        look_at: "/duplicates: republish, suppressed",
        act: Act::ProducerRepeats,
        service: None,
        hold: s(3),
        hold_short: s(1),
        extra: s(2),
    },
    Fault {
        name: "a payload conflict",
        sentence: "a producer uses the ids of 3 events again for other payloads: they are kept out and copied to the dead-letter topic",
        look_at: "/duplicates: conflict; /alerts",
        act: Act::PayloadsConflict,
        service: None,
        hold: s(3),
        hold_short: s(1),
        extra: s(2),
    },
    Fault {
        name: "mails are sent twice",
        sentence: "mail-service tells the ledger only after its work, and loses its offsets: up to 25 mails a partition go out a second time",
        look_at: "/duplicates: executed twice; /alerts: DuplicateProcessing; the services beside it suppress what they read again",
        act: Act::OffsetsAreLost,
        service: None,
        hold: s(3),
        hold_short: s(1),
        extra: s(2),
    },
    Fault {
        name: "poison messages",
        sentence: "a record that is no event and an event that always fails arrive: the one goes to the dead-letter topic at once, the other after 5 attempts",
        look_at: "/flow: dead letters; the partition waits meanwhile, nothing is skipped",
        act: Act::PoisonArrives,
        service: None,
        hold: s(6),
        hold_short: s(4),
        extra: s(2),
    },
    Fault {
        name: "a slow partition",
        sentence: "the work on one partition of payments takes order-service 3 s a record: this partition falls behind, the others do not",
        look_at: "/groups: the heat strip of order-service",
        act: Act::PartitionSlows,
        service: Some(Service::Order),
        hold: s(25),
        hold_short: s(5),
        extra: s(3),
    },
];

impl Fault {
    /// The group that it disturbs: one of the services', or that of the mail service.
    pub fn disturbs(&self) -> Option<&'static str> {
        match self.act {
            Act::OffsetsAreLost => Some(super::mail::GROUP),
            _ => self.service.map(Service::group),
        }
    }

    /// Time that it is planned to take.
    pub const fn planned(&self, pace: Pace) -> Duration {
        let hold = self.hold(pace);
        hold.saturating_add(self.extra)
    }

    pub const fn hold(&self, pace: Pace) -> Duration {
        match pace {
            Pace::Endless => self.hold,
            Pace::Compressed => self.hold_short,
        }
    }
}

/// How the tour is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One fault after the other, with quiet time between, again and again.
    Endless,
    /// Once, faults of different groups at the same time, as many as fit.
    Compressed,
}

/// Faults that follow each other, for each group that is disturbed: what a run with an end plays side by side.
pub fn side_by_side() -> Vec<Vec<Fault>> {
    let mut rows: Vec<Vec<Fault>> = Vec::new();
    for fault in FAULTS {
        match rows.iter_mut().find(|row| row.iter().any(|other| other.disturbs() == fault.disturbs())) {
            Some(row) => row.push(fault),
            None => rows.push(vec![fault]),
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_fault_has_its_own_name_act_and_words() {
        let names: BTreeSet<&str> = FAULTS.iter().map(|fault| fault.name).collect();
        assert_eq!(names.len(), FAULTS.len());
        for (at, fault) in FAULTS.iter().enumerate() {
            assert!(!fault.sentence.is_empty() && fault.look_at.starts_with('/'), "{}", fault.name);
            assert!(fault.hold_short <= fault.hold, "{}", fault.name);
            assert!(!FAULTS[..at].iter().any(|other| other.act == fault.act), "{}", fault.name);
        }
    }

    #[test]
    fn side_by_side_every_fault_comes_once_and_no_group_has_two_at_a_time() {
        let rows = side_by_side();
        assert_eq!(rows.iter().map(Vec::len).sum::<usize>(), FAULTS.len());
        for row in &rows {
            assert!(row.iter().all(|fault| fault.disturbs() == row[0].disturbs()));
        }
        let groups: BTreeSet<_> = rows.iter().map(|row| row[0].disturbs()).collect();
        assert_eq!(groups.len(), rows.len());
    }

    #[test]
    fn the_compressed_tour_fits_into_half_a_minute() {
        let longest = side_by_side()
            .iter()
            .map(|row| row.iter().map(|fault| fault.planned(Pace::Compressed)).sum::<Duration>())
            .max()
            .unwrap();
        assert!(longest <= Duration::from_secs(24), "{longest:?}");
    }
}
