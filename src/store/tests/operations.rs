//! Random calls for the property test, in numbers so small that they meet each other.

use super::world::*;
use crate::store::*;
use proptest::prelude::*;

/// A delivery in small numbers: event, place, payload, whether it waited.
pub(super) type Raw = (u8, u8, u8, bool);
/// A grant in small numbers: which of those given so far; 0 as the second makes one up.
pub(super) type Pick = (u16, u8);

#[derive(Clone, Debug)]
pub(super) enum Op {
    Claim {
        who: u8,
        lease_ms: u64,
        intent: u8,
        events: Vec<Raw>,
    },
    Seen {
        who: u8,
        report: u8,
        intent: u8,
        events: Vec<Raw>,
    },
    Complete {
        who: u8,
        picks: Vec<Pick>,
    },
    Fail {
        who: u8,
        picks: Vec<Pick>,
    },
    Release {
        failed: bool,
        delay_ms: u64,
        picks: Vec<Pick>,
    },
    Extend {
        lease_ms: u64,
        picks: Vec<Pick>,
    },
    Commit {
        picks: Vec<(Pick, RawChange)>,
    },
    Begin {
        change: RawChange,
        unsent_max: u64,
    },
    /// The call `op` in a lane, numbered as `number` says.
    Laned {
        lane: u8,
        number: Numbering,
        op: Box<Op>,
    },
    Note {
        lost: u64,
        reread: u64,
        wait_ms: u64,
    },
    Hold {
        who: u8,
        lease_ms: u64,
    },
    Trim {
        stale: bool,
        count: usize,
    },
    LetGo {
        stale: bool,
    },
    Sweep,
    Pass {
        ms: i64,
    },
    Read,
}

/// How a call in a lane is numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbering {
    Next,
    /// The last call once more, as after a lost reply.
    Again,
    /// Another call under the last one's number.
    Reused,
    Gap,
    Past,
    /// The store loses the lane, then the last call comes again.
    Forgotten,
}

/// A call with everything that it says.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Claim(Terms, Vec<Delivery>),
    Seen(Terms, Report, Vec<Delivery>),
    Complete(Owner, Vec<Grant>),
    Fail(Owner, Vec<Grant>),
    Release(ReleaseReason, Duration, Vec<Grant>),
    Extend(Duration, Vec<Grant>),
    Commit(Vec<CommitRequest>),
    Begin(Change, u64),
}

/// A change in small numbers: aggregate, how far the expected version is off, fields, messages, deadline.
pub(super) type RawChange = (u8, u8, u8, u8, u8);

pub(super) fn millis() -> impl Strategy<Value = u64> {
    prop::sample::select(vec![0_u64, 5, 1_000, 15_000, 900_000])
}

pub(super) fn events() -> impl Strategy<Value = Vec<Raw>> {
    prop::collection::vec((0_u8..5, 0_u8..3, 0_u8..6, prop::bool::weighted(0.2)), 1..5)
}

pub(super) fn pick() -> impl Strategy<Value = Pick> {
    (any::<u16>(), 0_u8..10)
}

pub(super) fn picks() -> impl Strategy<Value = Vec<Pick>> {
    prop::collection::vec(pick(), 1..4)
}

pub(super) fn raw_change() -> impl Strategy<Value = RawChange> {
    (0_u8..3, 0_u8..5, 0_u8..3, 0_u8..3, 0_u8..4)
}

/// What a lane can carry.
pub(super) fn call() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0_u8..3, millis(), 0_u8..8, events())
            .prop_map(|(who, lease_ms, intent, events)| Op::Claim { who, lease_ms, intent, events }),
        2 => (0_u8..3, 0_u8..3, 0_u8..8, events())
            .prop_map(|(who, report, intent, events)| Op::Seen { who, report, intent, events }),
        4 => (0_u8..3, picks()).prop_map(|(who, picks)| Op::Complete { who, picks }),
        2 => (0_u8..3, picks()).prop_map(|(who, picks)| Op::Fail { who, picks }),
        3 => (any::<bool>(), millis(), picks())
            .prop_map(|(failed, delay_ms, picks)| Op::Release { failed, delay_ms, picks }),
        1 => (millis(), picks()).prop_map(|(lease_ms, picks)| Op::Extend { lease_ms, picks }),
        4 => prop::collection::vec((pick(), raw_change()), 1..4).prop_map(|picks| Op::Commit { picks }),
        2 => (raw_change(), 0_u64..6).prop_map(|(change, unsent_max)| Op::Begin { change, unsent_max }),
    ]
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    use Numbering::*;
    let passing = prop::sample::select(vec![1_i64, 4, 900, 16_000, 400_000, 990_000, 2_100_000, -3, -2_000, -70_000]);
    let numbering = prop::sample::select(vec![Next, Next, Next, Next, Again, Again, Reused, Gap, Past, Forgotten]);
    prop_oneof![
        28 => call(),
        10 => (0_u8..2, numbering, call())
            .prop_map(|(lane, number, op)| Op::Laned { lane, number, op: Box::new(op) }),
        1 => (0_u64..3, 0_u64..3, millis()).prop_map(|(lost, reread, wait_ms)| Op::Note { lost, reread, wait_ms }),
        2 => (0_u8..2, millis()).prop_map(|(who, lease_ms)| Op::Hold { who, lease_ms }),
        1 => (prop::bool::weighted(0.2), 1_usize..4).prop_map(|(stale, count)| Op::Trim { stale, count }),
        1 => prop::bool::weighted(0.3).prop_map(|stale| Op::LetGo { stale }),
        1 => Just(Op::Sweep),
        5 => passing.prop_map(|ms| Op::Pass { ms }),
        2 => Just(Op::Read),
    ]
}

pub(super) fn delivery((event, place, payload, waited): Raw) -> Delivery {
    let payload = match payload {
        0 => PayloadHash::NONE,
        5 => PayloadHash::of(b"another"),
        _ => PayloadHash::of(b"one"),
    };
    Delivery { payload, waited, ..record(&format!("e{event}"), 100 + u64::from(place)) }
}

pub(super) fn intent(number: u8) -> Intent {
    match number {
        0 => Intent::Replay,
        1 => Intent::Redrive,
        _ => Intent::Normal,
    }
}

pub(super) fn whole_change((aggregate, _, fields, messages, deadline): RawChange) -> Change {
    let fields: StateFields = (0..fields).map(|n| (format!("f{n}"), vec![n, 0, 255])).collect();
    let deadline = match deadline {
        0 => Deadline::Clear,
        1 if !fields.is_empty() => {
            Deadline::Set { step: "payment".into(), missing: "PAID".into(), within: Duration::from_secs(20) }
        }
        _ => Deadline::Keep,
    };
    let types = ["A", "B"];
    Change { fields, deadline, ..change(&format!("o{aggregate}"), &types[..usize::from(messages.min(2))]) }
}
