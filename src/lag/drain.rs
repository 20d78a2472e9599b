//! Time until the lag is zero.

use super::{Reading, Status};
use std::time::Duration;

/// Time until the lag is zero at the present speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Drain {
    CaughtUp,
    In(Duration),
    /// The lag is not shrinking.
    Never,
    Unknown,
}

/// Longer than any retention: a speed that leads here is none.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

impl Drain {
    /// Estimates it for one partition from its `unread` records and the speeds per second. For a partition that keeps up
    /// it is the time to read what waits now: its lag comes and goes, so that the difference of the speeds says nothing.
    pub fn estimate(unread: Reading<u64>, status: Status, produced: Option<f64>, consumed: Option<f64>) -> Self {
        let Reading::Known(unread) = unread else { return Self::Unknown };
        if unread == 0 {
            return Self::CaughtUp;
        }
        let (Some(produced), Some(consumed)) = (produced, consumed) else { return Self::Unknown };
        match status {
            Status::Ok if consumed > 0.0 => Self::after(unread as f64 / consumed),
            Status::Ok => Self::Unknown,
            _ if consumed > produced => Self::after(unread as f64 / (consumed - produced)),
            _ => Self::Never,
        }
    }

    fn after(seconds: f64) -> Self {
        match Duration::try_from_secs_f64(seconds) {
            Ok(time) if time < LONGEST => Self::In(time),
            Ok(_) | Err(_) => Self::Never,
        }
    }

    /// Joins the parts of a whole: it is done when the slowest part is.
    pub fn slowest(parts: impl IntoIterator<Item = Self>) -> Self {
        parts.into_iter().reduce(Self::slower).unwrap_or(Self::Unknown)
    }

    fn slower(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, _) | (_, Self::Never) => Self::Never,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::In(one), Self::In(other)) => Self::In(one.max(other)),
            (Self::In(time), Self::CaughtUp) | (Self::CaughtUp, Self::In(time)) => Self::In(time),
            (Self::CaughtUp, Self::CaughtUp) => Self::CaughtUp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::UnknownReason;

    #[test]
    fn the_time_left_follows_from_the_speeds() {
        let in_seconds = |seconds| Drain::In(Duration::from_secs(seconds));
        let cases = [
            ("nothing to read", 0, Status::Ok, Some(0.0), Some(0.0), Drain::CaughtUp),
            ("reads more than comes", 100, Status::CatchingUp, Some(10.0), Some(20.0), in_seconds(10)),
            ("reads as much as comes", 100, Status::CatchingUp, Some(20.0), Some(20.0), Drain::Never),
            ("nobody reads", 100, Status::NoMembers, Some(0.0), Some(0.0), Drain::Never),
            ("keeps up: what waits now", 100, Status::Ok, Some(50.0), Some(50.0), in_seconds(2)),
            ("keeps up, but no speed is known yet", 1, Status::Ok, Some(1.0), Some(0.0), Drain::Unknown),
            ("a speed is not known", 100, Status::CatchingUp, None, Some(20.0), Drain::Unknown),
            ("a speed that leads nowhere", 1 << 60, Status::CatchingUp, Some(0.0), Some(0.1), Drain::Never),
        ];
        for (name, unread, status, produced, consumed, expected) in cases {
            assert_eq!(Drain::estimate(Reading::Known(unread), status, produced, consumed), expected, "{name}");
        }
        let unknown = Reading::Unknown(UnknownReason::NoLeader);
        assert_eq!(Drain::estimate(unknown, Status::Unknown, Some(1.0), Some(9.0)), Drain::Unknown);
    }

    #[test]
    fn a_whole_is_done_when_its_slowest_part_is() {
        let [short, long] = [Drain::In(Duration::from_secs(1)), Drain::In(Duration::from_secs(9))];
        assert_eq!(Drain::slowest([short, Drain::CaughtUp, long]), long);
        assert_eq!(Drain::slowest([short, Drain::Unknown]), Drain::Unknown);
        assert_eq!(Drain::slowest([Drain::Unknown, Drain::Never, short]), Drain::Never);
        assert_eq!(Drain::slowest([]), Drain::Unknown);
    }
}
