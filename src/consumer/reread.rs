//! From where a partition has to be read again when the store may have lost something, and what is committed beside an
//! offset so that the next owner can tell. Pure but for the time it is given.
//!
//! The floor is where the group stood one window before its latest commit: what lies below was settled earlier than any loss
//! reaches back. It does not depend on the records' own timestamps, so that a group that was far behind goes back as far.

use crate::kafka::poll_loop::CommittedPlace;
use crate::store::{Ledger, ServerId};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// What stands before the incarnation in the metadata of committed offsets.
const METADATA_PREFIX: &str = "led2:";

/// Points that are kept of a window.
const POINTS_PER_WINDOW: u32 = 16;

/// Where a partition stood when, as far back as one window.
#[derive(Clone, Debug)]
pub struct Progress {
    window: Duration,
    /// Rising in both; the first one is older than the window, or the oldest that is known.
    points: VecDeque<(Instant, u64)>,
    latest: Option<u64>,
}

impl Progress {
    pub const fn new(window: Duration) -> Self {
        Self { window, points: VecDeque::new(), latest: None }
    }

    /// Everything below `offset` was settled by now. The first one noted counts as long past.
    pub fn note(&mut self, now: Instant, offset: u64) {
        if self.latest.is_some_and(|latest| offset < latest) {
            // Reading went back: what was known of later offsets is void.
            self.points.retain(|(_, point)| *point <= offset);
        }
        self.latest = Some(offset);
        let step = self.window / POINTS_PER_WINDOW;
        if self.points.back().is_none_or(|(at, _)| now.duration_since(*at) >= step) {
            self.points.push_back((now, offset));
        }
        while self.points.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= self.window) {
            self.points.pop_front();
        }
    }

    /// From where to read again now; `None` when nothing is known.
    pub fn floor(&self, now: Instant) -> Option<u64> {
        let old = self.points.iter().rev().find(|(at, _)| now.duration_since(*at) >= self.window);
        old.or_else(|| self.points.front()).map(|(_, offset)| *offset)
    }

    pub const fn latest(&self) -> Option<u64> {
        self.latest
    }
}

/// What the metadata of a committed offset says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark<'a> {
    pub incarnation: &'a str,
    /// `None` where it names none.
    pub server: Option<ServerId>,
    pub floor: Option<u64>,
}

/// `led2:<incarnation>:<server>:<floor>`, committed beside an offset.
pub fn offset_metadata(ledger: &Ledger, server: &ServerId, floor: u64) -> String {
    format!("{METADATA_PREFIX}{}:{server}:{floor}", ledger.incarnation)
}

/// Reads it back; `None` for what others have committed.
pub fn mark_of(metadata: &str) -> Option<Mark<'_>> {
    let mut parts = metadata.strip_prefix(METADATA_PREFIX)?.split(':');
    let incarnation = parts.next().filter(|incarnation| !incarnation.is_empty())?;
    let server = parts.next().and_then(ServerId::parse);
    let floor = parts.next().and_then(|floor| floor.parse().ok());
    Some(Mark { incarnation, server, floor })
}

/// Where a new owner begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Where the group stood; from `floor` on it was settled within the window.
    Committed { floor: u64, offset: u64 },
    /// Nothing is committed.
    Nowhere,
    /// The store has been replaced since: from `floor` on the ledger decides again. The group stood at `offset`.
    Back { floor: u64, offset: u64 },
}

/// Compares what was committed with the ledger that is open. Another incarnation knows nothing of what was settled before:
/// reading again would run it again, and the operator has accepted that loss.
pub fn start(place: &CommittedPlace, ledger: &Ledger, server: &ServerId) -> Start {
    let Some(offset) = place.offset else { return Start::Nowhere };
    let Some(mark) = mark_of(&place.metadata) else { return Start::Committed { floor: offset, offset } };
    let floor = mark.floor.unwrap_or(offset).min(offset);
    if mark.incarnation != ledger.incarnation.as_str() {
        Start::Committed { floor: offset, offset }
    } else if mark.server.as_ref() == Some(server) {
        Start::Committed { floor, offset }
    } else {
        Start::Back { floor, offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::TopicPartition;
    use crate::store::{Incarnation, LedgerName, Namespace, Shape};

    const WINDOW: Duration = Duration::from_secs(320);

    fn ledger(life: u128) -> Ledger {
        let shape = Shape::new(1, 1, Duration::from_secs(60)).unwrap();
        let name = LedgerName::new(Namespace::new("shop").unwrap(), "payment-service");
        Ledger { name, incarnation: Incarnation::new(uuid::Uuid::from_u128(life), shape) }
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_floor_is_where_the_group_stood_a_window_ago() {
        let (begin, mut progress) = (Instant::now(), Progress::new(WINDOW));
        assert_eq!(progress.floor(begin), None);
        for second in 0..1_000 {
            progress.note(begin + seconds(second), second * 10);
            let floor = progress.floor(begin + seconds(second)).unwrap();
            let exact = second.saturating_sub(320) * 10;
            assert!(floor <= exact && exact - floor <= 400, "{floor} at {second}");
            assert!(progress.points.len() <= POINTS_PER_WINDOW as usize + 3);
        }
        assert_eq!(progress.latest(), Some(9_990));
        let floor = progress.floor(begin + seconds(2_000)).unwrap();
        assert!(floor >= 9_790, "it stood still for a window: {floor}");
    }

    #[test]
    fn what_an_earlier_owner_settled_within_the_window_counts() {
        let (now, mut progress) = (Instant::now(), Progress::new(WINDOW));
        progress.note(now, 70);
        progress.note(now, 100);
        progress.note(now + seconds(1), 120);
        assert_eq!(progress.floor(now + seconds(2)), Some(70));
        progress.note(now + seconds(400), 900);
        assert_eq!(progress.floor(now + seconds(400)), Some(70));
        assert_eq!(progress.floor(now + seconds(720)), Some(900));
    }

    #[test]
    fn reading_that_went_back_makes_the_floor_go_back() {
        let (now, mut progress) = (Instant::now(), Progress::new(WINDOW));
        for (at, offset) in [(0, 100), (400, 200), (800, 300)] {
            progress.note(now + seconds(at), offset);
        }
        progress.note(now + seconds(801), 50);
        assert_eq!((progress.floor(now + seconds(801)), progress.latest()), (Some(50), Some(50)));
    }

    #[test]
    fn metadata_come_back_and_those_of_others_are_none() {
        let (ledger, server) = (ledger(1), ServerId::new("aa", "bb"));
        let text = offset_metadata(&ledger, &server, 17);
        let incarnation = ledger.incarnation.as_str();
        assert_eq!(mark_of(&text), Some(Mark { incarnation, server: Some(server), floor: Some(17) }));
        assert!(text.len() < 200, "Kafka takes 4,096 bytes: {text}");
        let bare = format!("led2:{incarnation}:");
        assert_eq!(mark_of(&bare), Some(Mark { incarnation, server: None, floor: None }));
        assert_eq!((mark_of(""), mark_of("led2:"), mark_of("mine")), (None, None, None));
    }

    #[test]
    fn a_new_owner_goes_back_only_where_the_same_ledger_is_kept_by_another_server() {
        let (here, other) = (ServerId::new("aa", "bb"), ServerId::new("aa", "cc"));
        let place = |offset, metadata: String| CommittedPlace {
            partition: TopicPartition { topic: "orders".into(), partition: 0 },
            offset,
            metadata,
        };
        let begin = |place: CommittedPlace| start(&place, &ledger(1), &here);
        let by = |life: u128, server: &ServerId, floor| place(Some(90), offset_metadata(&ledger(life), server, floor));
        assert_eq!(begin(place(None, String::new())), Start::Nowhere);
        assert_eq!(begin(place(Some(90), String::new())), Start::Committed { floor: 90, offset: 90 });
        assert_eq!(begin(by(1, &here, 40)), Start::Committed { floor: 40, offset: 90 });
        assert_eq!(begin(by(1, &other, 40)), Start::Back { floor: 40, offset: 90 });
        assert_eq!(begin(by(1, &other, 95)), Start::Back { floor: 90, offset: 90 });
        assert_eq!(begin(by(2, &other, 40)), Start::Committed { floor: 90, offset: 90 }, "a loss was accepted");
        let bare = format!("led2:{}:", ledger(1).incarnation);
        assert_eq!(begin(place(Some(90), bare)), Start::Back { floor: 90, offset: 90 });
    }
}
