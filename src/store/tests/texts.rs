//! Replies and counters of the model, written as the scripts write them.

use crate::store::*;
use serde_json::{Map, Value, json};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn argument(bytes: &[u8]) -> Value {
    let plain = bytes.iter().all(|byte| (0x20..0x7f).contains(byte));
    match std::str::from_utf8(bytes) {
        Ok(text) if plain => json!(text),
        _ => json!({ "hex": hex(bytes) }),
    }
}

pub(super) fn how(kind: GrantKind) -> &'static str {
    match kind {
        GrantKind::First => "first",
        GrantKind::Retry => "retry",
        GrantKind::Takeover => "takeover",
        GrantKind::Redrive => "redrive",
    }
}

pub(super) fn claim_text(claim: &Claim) -> String {
    match claim {
        Claim::Granted { fence, attempt, how: kind } => format!("G {fence} {attempt} {}", how(*kind)),
        Claim::Duplicate { cause, first_at, first_place, late } => {
            let (first, place) = (first_at.timestamp_micros(), hex(&first_place.to_bytes()));
            format!("D {} {first} {place} {}", cause.label(), u8::from(*late))
        }
        Claim::Busy { wait, owner } => format!("B {} {owner}", wait.as_millis()),
        Claim::NotYet { wait } => format!("L {}", wait.as_millis()),
        Claim::Conflict { stored } => format!("X {stored}"),
    }
}

pub(super) fn seen_text(seen: &Seen) -> String {
    match seen {
        Seen::Known { first_at } => format!("K {}", first_at.timestamp_micros()),
        other => claim_text(&as_claim(other)),
    }
}

/// What a report was answered, as a claim would have been; not for what is known.
pub(super) fn as_claim(seen: &Seen) -> Claim {
    match seen.clone() {
        Seen::Known { .. } => panic!("no claim is answered so"),
        // A report is settled by its first attempt, or by the one after a lapse.
        Seen::Recorded { fence, how } => {
            Claim::Granted { fence, attempt: if how == GrantKind::Takeover { 2 } else { 1 }, how }
        }
        Seen::Duplicate { cause, first_at, first_place, late } => Claim::Duplicate { cause, first_at, first_place, late },
        Seen::Busy { wait, owner } => Claim::Busy { wait, owner },
        Seen::NotYet { wait } => Claim::NotYet { wait },
        Seen::Conflict { stored } => Claim::Conflict { stored },
    }
}

pub(super) fn finish_text(finish: &Finish) -> String {
    match finish {
        Finish::Done => "OK",
        Finish::Again => "AGAIN",
        Finish::Fenced => "FENCED",
        Finish::Orphan => "ORPHAN",
    }
    .to_owned()
}

pub(super) fn touch_text(touch: &Touch) -> String {
    match touch {
        Touch::Done => "OK",
        Touch::Again => "AGAIN",
        Touch::Fenced => "FENCED",
        Touch::Gone => "GONE",
    }
    .to_owned()
}

pub(super) fn commit_text(commit: &Commit) -> String {
    match commit {
        Commit::Done { version, outbox } => format!("OK {version}{}", " *".repeat(outbox.len())),
        Commit::Again => "AGAIN".to_owned(),
        Commit::Fenced => "FENCED".to_owned(),
        Commit::Gone => "GONE".to_owned(),
        Commit::VersionMismatch { version } => format!("CAS {version}"),
    }
}

pub(super) fn begin_text(begin: &Begin) -> String {
    match begin {
        Begin::Done { outbox } => format!("OK{}", " *".repeat(outbox.len())),
        Begin::Exists => "EXISTS".to_owned(),
        Begin::Full { unsent } => format!("FULL {unsent}"),
    }
}

pub(super) fn counters(counters: &Counters) -> Map<String, Value> {
    let plain = [
        ("completed", counters.completed),
        ("released", counters.released),
        ("handed_back", counters.handed_back),
        ("failed", counters.failed),
        ("superseded", counters.superseded),
        ("abandoned", counters.abandoned),
        ("waiting_dropped", counters.waiting_dropped),
        ("orphan", counters.orphans),
        ("fenced", counters.fenced),
        ("busy", counters.busy),
        ("later", counters.not_yet),
        ("cas", counters.version_mismatches),
        ("gone", counters.gone),
        ("late", counters.late),
        ("reported", counters.reported),
        ("lost", counters.lost_calls),
        ("reread", counters.reread),
    ];
    let mut all: Vec<(String, u64)> = plain.map(|(name, n)| (name.to_owned(), n)).into();
    let kinds = [GrantKind::First, GrantKind::Retry, GrantKind::Takeover, GrantKind::Redrive];
    all.extend(kinds.map(|kind| (format!("granted_{}", how(kind)), counters.granted_of(kind))));
    for cause in DuplicateCause::ALL {
        for outcome in DuplicateOutcome::ALL {
            let name = format!("dup:{}:{}", cause.label(), outcome.label());
            all.push((name, counters.duplicates_of(cause, outcome)));
        }
    }
    all.extend(counters.gaps.iter().enumerate().map(|(n, count)| (format!("gap:{n}"), *count)));
    all.extend(counters.outbox_by_type.iter().map(|(name, count)| (format!("type:{name}"), *count)));
    all.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| (name, json!(n))).collect()
}
