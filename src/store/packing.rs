//! The calls' keys and arguments, as the scripts take them. Pure.

use super::calls::*;
use super::changes::{Change, CommitRequest, Deadline, OutboxMessage};
use super::ids::{EventDigest, EventKey, LaneNumber};
use super::layout::Key;
use super::names::label;
use super::{Owner, Shape};
use std::time::Duration;

/// The largest number that a script reads without losing digits.
const WHOLE_MAX: u64 = (1 << 53) - 1;

/// Arguments of a call: their bytes, one after the other, and where each ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Args {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Args {
    pub(super) fn push(&mut self, value: impl AsRef<[u8]>) {
        self.join([value.as_ref()]);
    }

    /// One argument of several parts.
    fn join<const N: usize>(&mut self, parts: [&[u8]; N]) {
        parts.into_iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.ends.push(self.bytes.len());
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let begins = |n: usize| n.checked_sub(1).map_or(0, |before| self.ends[before]);
        (0..self.ends.len()).map(move |n| &self.bytes[begins(n)..self.ends[n]])
    }

    pub(super) fn number(&mut self, value: u64) {
        self.push(value.to_string());
    }

    pub(super) fn delivery(&mut self, delivery: &Delivery) {
        let Delivery { event, place, payload, waited } = delivery;
        self.push(event.digest().open_key());
        self.join([&place.to_bytes(), &payload.to_bytes(), if *waited { b"1" } else { b"" }]);
        self.labels(event);
    }

    pub(super) fn grant(&mut self, grant: &Grant) {
        let Grant { event, place, payload, fence } = grant;
        self.push(event.digest().open_key());
        self.join([&fence.to_bytes(), &place.to_bytes(), &payload.to_bytes()]);
        self.labels(event);
    }

    fn labels(&mut self, event: &EventKey) {
        self.join([label(&event.id).as_bytes(), b"\0", label(&event.source).as_bytes()]);
    }

    pub(super) fn hold(&mut self, grant: &Grant) {
        self.push(grant.event.digest().open_key());
        self.number(grant.fence.get());
    }

    pub(super) fn change(&mut self, change: &Change) {
        self.push(if change.finished { "1" } else { "0" });
        match &change.deadline {
            Deadline::Keep => ["keep", "0", ""].iter().for_each(|part| self.push(part)),
            Deadline::Clear => ["clear", "0", ""].iter().for_each(|part| self.push(part)),
            Deadline::Set { step, missing, within } => {
                self.push("set");
                self.number(millis(*within));
                self.push(format!("{step}|{missing}"));
            }
        }
        self.push(&change.aggregate);
        self.number(change.fields.len() as u64);
        for (name, value) in &change.fields {
            self.push(name);
            self.push(value);
        }
        self.number(change.outbox.len() as u64);
        change.outbox.iter().for_each(|message| self.message(message));
    }

    fn message(&mut self, message: &OutboxMessage) {
        self.push(&message.event_type);
        self.number(4 + message.headers.len() as u64);
        let fixed: [(&str, &[u8]); 4] = [
            ("topic", message.topic.as_bytes()),
            ("key", &message.key),
            ("type", message.event_type.as_bytes()),
            ("body", &message.body),
        ];
        for (name, value) in fixed {
            self.push(name);
            self.push(value);
        }
        for (name, value) in &message.headers {
            self.push(format!("h:{name}"));
            self.push(value);
        }
    }
}

impl<A: AsRef<[u8]>> FromIterator<A> for Args {
    fn from_iter<I: IntoIterator<Item = A>>(values: I) -> Self {
        let mut args = Self::default();
        values.into_iter().for_each(|value| args.push(value));
        args
    }
}

/// What a call names and says behind the parts that all calls have.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    pub keys: Vec<Key>,
    pub args: Args,
}

fn buckets(digests: impl Iterator<Item = EventDigest>, shape: Shape) -> Vec<Key> {
    digests.map(|digest| Key::Buckets(digest.bucket(shape.buckets))).collect()
}

/// `claim`, with the lease in milliseconds first, and `seen`, with the report first.
pub(super) fn pack_claims(shape: Shape, first: &str, terms: &Terms, deliveries: &[Delivery]) -> Packed {
    let mut args = Args::default();
    args.push(first);
    args.push(intent(terms.intent));
    args.push(terms.owner.as_str());
    deliveries.iter().for_each(|delivery| args.delivery(delivery));
    let keys = buckets(deliveries.iter().map(|delivery| delivery.event.digest()), shape);
    Packed { keys, args }
}

/// `complete` and `fail`.
pub(super) fn pack_finishes(shape: Shape, owner: &Owner, grants: &[Grant]) -> Packed {
    let mut args = Args::default();
    args.push(owner.as_str());
    grants.iter().for_each(|grant| args.grant(grant));
    Packed { keys: buckets(grants.iter().map(|grant| grant.event.digest()), shape), args }
}

/// `release`, with its reason, and `extend`, with none.
pub(super) fn pack_holds(time: Duration, reason: &str, grants: &[Grant]) -> Packed {
    let mut args = Args::default();
    args.number(millis(time));
    args.push(reason);
    grants.iter().for_each(|grant| args.hold(grant));
    Packed { keys: Vec::new(), args }
}

pub(super) fn pack_commits(shape: Shape, owner: &Owner, requests: &[CommitRequest]) -> Packed {
    let mut packed = Packed { keys: vec![Key::Outbox, Key::Deadlines], args: Args::default() };
    packed.args.push(owner.as_str());
    for CommitRequest { grant, expected_version, change } in requests {
        packed.keys.push(Key::Buckets(grant.event.digest().bucket(shape.buckets)));
        packed.keys.push(Key::State(change.aggregate.clone()));
        packed.args.hold(grant);
        packed.args.number(*expected_version);
        packed.args.change(change);
    }
    packed
}

pub(super) fn pack_begin(change: &Change, unsent_max: u64) -> Packed {
    let mut args = Args::default();
    args.number(unsent_max.min(WHOLE_MAX));
    args.change(change);
    Packed { keys: vec![Key::Outbox, Key::Deadlines, Key::State(change.aggregate.clone())], args }
}

/// `note`, with lanes and the last call of each that was answered.
pub(super) fn pack_findings(findings: Findings, lanes: &[LaneCall]) -> Packed {
    let Findings { lost_calls, reread, unconfirmed } = findings;
    let mut args = Args::default();
    [lost_calls, reread, millis(unconfirmed)].into_iter().for_each(|number| args.number(number));
    lanes.iter().for_each(|lane| args.number(lane.number.get()));
    Packed { keys: lanes.iter().map(|lane| Key::Lane(lane.name)).collect(), args }
}

/// Arguments alone: what is not about events.
pub(super) fn pack(keys: Vec<Key>, args: &[String]) -> Packed {
    Packed { keys, args: args.iter().collect() }
}

/// All arguments of a call.
pub(super) fn arguments(number: LaneNumber, generation: u64, incarnation: &str, own: &Args) -> Args {
    let mut args = Args::default();
    args.number(number.get());
    args.number(generation);
    args.push(incarnation);
    let head = args.bytes.len();
    args.bytes.extend_from_slice(&own.bytes);
    args.ends.extend(own.ends.iter().map(|end| head + end));
    args
}

fn intent(intent: Intent) -> &'static str {
    match intent {
        Intent::Normal => "normal",
        Intent::Replay => "replay",
        Intent::Redrive => "redrive",
    }
}

pub(super) fn report(report: Report) -> &'static str {
    match report {
        Report::Executed => "executed",
        Report::Skipped => "skipped",
        Report::Restore => "restore",
    }
}

pub(super) fn reason(reason: ReleaseReason) -> &'static str {
    match reason {
        ReleaseReason::Failed => "failed",
        ReleaseReason::HandedBack => "handed_back",
    }
}
