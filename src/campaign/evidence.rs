//! What a run has left behind, as the judge needs it: pure data, and how records are read as such.

use super::{
    customers::Fate,
    injector::{Early, MARK, Mark},
    rest::Books,
};
use crate::{
    effects::Effect,
    events::{Event, RecordView, decode, identify},
    kafka::IncomingRecord,
    services::Service,
};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Everything about one run.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub orders: Vec<Order>,
    pub made_up: Vec<MadeUp>,
    /// Of the three topics, each partition in order.
    pub records: Vec<Record>,
    pub letters: Vec<Letter>,
    /// Foreign calls, in the order in which they were made.
    pub calls: Vec<Effect>,
    /// The first is that of the beginning: nothing.
    pub phases: Vec<PhaseEnd>,
    pub damage: Damage,
}

/// What the faults did that limits what can be promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Redis came back without writes that it had answered: a promotion, or an end by SIGKILL.
    pub lost_writes: bool,
    /// The ledger was emptied.
    pub emptied: bool,
    /// How often members may have been given records that were settled already.
    pub rebalances: u64,
}

/// An order of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub id: Uuid,
    pub fate: Fate,
    /// It was under way when the ledger was emptied: nothing is promised to it any more.
    pub exposed: bool,
    pub refused: Option<String>,
}

/// An order that nobody placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadeUp {
    pub id: Uuid,
    pub early: Early,
    pub exposed: bool,
}

/// The quiet end of a phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhaseEnd {
    pub books: Books,
    /// Nothing in it disturbed anybody.
    pub only_puts: bool,
}

/// One record of the three topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub topic: String,
    pub partition: i32,
    pub offset: u64,
    /// From 0 on.
    pub phase: usize,
    pub mark: Option<Mark>,
    /// Source and id, as the ledger knows it.
    pub identity: (String, String),
    pub event: Option<Event>,
}

/// A copy in a dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    pub group: String,
    /// Where the record lay, as `topic/partition@offset`.
    pub place: String,
}

impl Record {
    pub fn of(record: &IncomingRecord, phase: usize) -> Self {
        let headers = record.header_bytes();
        let view = RecordView::new(record.key.as_deref(), &headers, record.value.as_deref());
        let identity = identify(&view, &record.topic, record.partition, record.offset);
        let mark = view.header(MARK).and_then(|name| Mark::parse(std::str::from_utf8(name).ok()?));
        Self {
            topic: record.topic.to_string(),
            partition: record.partition,
            offset: record.offset,
            phase,
            mark,
            identity: (identity.source, identity.id),
            event: decode(&view).ok().flatten(),
        }
    }

    pub fn is_read_by(&self, service: Service) -> bool {
        service.subscriptions().iter().any(|topic| topic.name() == self.topic)
    }

    pub fn place(&self) -> String {
        format!("{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

impl Letter {
    /// `None` for what is no letter of ours.
    pub fn of(record: &IncomingRecord) -> Option<Self> {
        let header = |wanted: &str| {
            let value = record.headers.iter().rev().find(|(name, _)| name == wanted)?.1.as_deref()?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        Some(Self { group: header("kafka_dlt-original-consumer-group")?, place: header("tidemark_dlt-place")? })
    }
}

impl Evidence {
    /// Records that a group reads.
    pub fn read_by(&self, service: Service) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.is_read_by(service))
    }

    /// Different events among the records that a group reads; what has no id counts each time.
    pub fn different(&self, service: Service) -> u64 {
        count(self.read_by(service).map(|record| &record.identity).collect::<BTreeSet<_>>().len())
    }

    /// Records that a group reads beyond the first of each event.
    pub fn copies(&self, service: Service) -> u64 {
        count(self.read_by(service).count()) - self.different(service)
    }
}

pub fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}
