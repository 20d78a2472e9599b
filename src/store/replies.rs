//! The scripts' replies as text, read into types. A text that is not in the protocol gives `None`.

use super::answers::*;
use super::changes::OutboxId;
use super::ids::{FencingToken, PayloadHash, RecordPlace, from_micros};
use super::names::Owner;
use std::time::Duration;

fn how(word: &str) -> Option<GrantKind> {
    match word {
        "first" => Some(GrantKind::First),
        "retry" => Some(GrantKind::Retry),
        "takeover" => Some(GrantKind::Takeover),
        "redrive" => Some(GrantKind::Redrive),
        _ => None,
    }
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    if hex.len() != 2 * N || !hex.is_ascii() {
        return None;
    }
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(out)
}

fn millis(word: &str) -> Option<Duration> {
    word.parse().ok().map(Duration::from_millis)
}

fn fence(word: &str) -> Option<FencingToken> {
    word.parse().ok().map(FencingToken::new)
}

/// What remains after a reply's letter.
fn split<const N: usize>(rest: &str) -> Option<[&str; N]> {
    rest.splitn(N, ' ').collect::<Vec<_>>().try_into().ok()
}

pub(super) fn claim(text: &str) -> Option<Claim> {
    let (letter, rest) = text.split_once(' ')?;
    match letter {
        "G" => {
            let [token, attempt, kind] = split(rest)?;
            Some(Claim::Granted { fence: fence(token)?, attempt: attempt.parse().ok()?, how: how(kind)? })
        }
        "D" => {
            let [cause, first, place, late] = split(rest)?;
            Some(Claim::Duplicate {
                cause: DuplicateCause::from_label(cause)?,
                first_at: from_micros(first.parse().ok()?),
                first_place: RecordPlace::from_bytes(bytes(place)?),
                late: late == "1",
            })
        }
        "B" => {
            let [wait, owner] = split(rest)?;
            Some(Claim::Busy { wait: millis(wait)?, owner: Owner::new(owner).ok()? })
        }
        "L" => Some(Claim::NotYet { wait: millis(rest)? }),
        "X" => Some(Claim::Conflict { stored: PayloadHash::from_bytes(bytes(rest)?) }),
        _ => None,
    }
}

pub(super) fn seen(text: &str) -> Option<Seen> {
    if let Some(first) = text.strip_prefix("K ") {
        return Some(Seen::Known { first_at: from_micros(first.parse().ok()?) });
    }
    Some(match claim(text)? {
        Claim::Granted { fence, how, .. } => Seen::Recorded { fence, how },
        Claim::Duplicate { cause, first_at, first_place, late } => Seen::Duplicate { cause, first_at, first_place, late },
        Claim::Busy { wait, owner } => Seen::Busy { wait, owner },
        Claim::NotYet { wait } => Seen::NotYet { wait },
        Claim::Conflict { stored } => Seen::Conflict { stored },
    })
}

pub(super) fn finish(text: &str) -> Option<Finish> {
    match text {
        "OK" => Some(Finish::Done),
        "AGAIN" => Some(Finish::Again),
        "FENCED" => Some(Finish::Fenced),
        "ORPHAN" => Some(Finish::Orphan),
        _ => None,
    }
}

pub(super) fn touch(text: &str) -> Option<Touch> {
    match text {
        "OK" => Some(Touch::Done),
        "AGAIN" => Some(Touch::Again),
        "FENCED" => Some(Touch::Fenced),
        "GONE" => Some(Touch::Gone),
        _ => None,
    }
}

pub(super) fn outbox_id(text: &str) -> Option<OutboxId> {
    let (millis, number) = text.split_once('-')?;
    Some(OutboxId { millis: millis.parse().ok()?, number: number.parse().ok()? })
}

pub(super) fn commit(text: &str) -> Option<Commit> {
    let mut words = text.split(' ');
    match words.next()? {
        "OK" => {
            let version = words.next()?.parse().ok()?;
            Some(Commit::Done { version, outbox: words.map(outbox_id).collect::<Option<_>>()? })
        }
        "AGAIN" => Some(Commit::Again),
        "FENCED" => Some(Commit::Fenced),
        "GONE" => Some(Commit::Gone),
        "CAS" => Some(Commit::VersionMismatch { version: words.next()?.parse().ok()? }),
        _ => None,
    }
}

pub(super) fn begin(text: &str) -> Option<Begin> {
    let mut words = text.split(' ');
    match words.next()? {
        "OK" => Some(Begin::Done { outbox: words.map(outbox_id).collect::<Option<_>>()? }),
        "EXISTS" => Some(Begin::Exists),
        "FULL" => Some(Begin::Full { unsent: words.next()?.parse().ok()? }),
        _ => None,
    }
}

pub(super) fn relay_lease(text: &str) -> Option<RelayLease> {
    match text.split_once(' ')? {
        ("H", token) => Some(RelayLease::Held { fence: fence(token)? }),
        ("B", rest) => {
            let [wait, owner] = split(rest)?;
            Some(RelayLease::Busy { wait: millis(wait)?, owner: Owner::new(owner).ok()? })
        }
        _ => None,
    }
}

pub(super) fn trim(text: &str) -> Option<Trim> {
    match text.split_once(' ') {
        Some(("OK", removed)) => Some(Trim::Done { removed: removed.parse().ok()? }),
        _ => (text == "FENCED").then_some(Trim::Fenced),
    }
}
