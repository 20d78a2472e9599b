//! Crash points: named places at which a test can have the process die, stand still or lose a reply.
//!
//! They are compiled in, so that what is tested is what runs, and off unless `TIDEMARK_FAIL_POINT` names one when the
//! process starts: passing one costs one atomic read then. It is a variable alone, neither a flag nor a key of the file, so
//! that nobody's configuration can carry one. `docs/crash-points.md` has each with its place and what must come out.

use crate::config::ConfigError;
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// The variable that arms points: `NAME[:N]`, and `K14:ID` with the id of an event, several separated by commas.
pub const VARIABLE: &str = "TIDEMARK_FAIL_POINT";

/// A place in the code, by its number in the table of crash points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailPoint {
    /// Before a batch is claimed.
    K0,
    /// After a claim that granted something, before the work.
    K1,
    /// The work is done, foreign calls are made, nothing is committed.
    K2,
    /// The relay: Kafka has acknowledged an event, others beside it are under way, no entry is deleted.
    K3,
    /// The ledger has committed, the offset is not.
    K4,
    /// The relay: Kafka has acknowledged all events that were sent, no entry is deleted.
    K5,
    /// As K2, but the process stands still until it is sent SIGCONT, and finishes late.
    K6,
    /// The reply to a call to the ledger is thrown away: the process goes on.
    K7,
    /// The copy of a poison event is acknowledged by the dead-letter topic, the ledger does not know.
    K12,
    /// The work on one event, which is named by its id: the process dies of it every time.
    K14,
}

/// What happens to the process at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Die,
    StandStill,
    LoseReply,
}

impl FailPoint {
    pub const ALL: [Self; 10] =
        [Self::K0, Self::K1, Self::K2, Self::K3, Self::K4, Self::K5, Self::K6, Self::K7, Self::K12, Self::K14];

    pub const fn name(self) -> &'static str {
        match self {
            Self::K0 => "K0",
            Self::K1 => "K1",
            Self::K2 => "K2",
            Self::K3 => "K3",
            Self::K4 => "K4",
            Self::K5 => "K5",
            Self::K6 => "K6",
            Self::K7 => "K7",
            Self::K12 => "K12",
            Self::K14 => "K14",
        }
    }

    const fn action(self) -> Action {
        match self {
            Self::K0 | Self::K1 | Self::K2 | Self::K3 | Self::K4 | Self::K5 | Self::K12 | Self::K14 => Action::Die,
            Self::K6 => Action::StandStill,
            Self::K7 => Action::LoseReply,
        }
    }
}

/// A point with the time at which it acts.
#[derive(Debug)]
struct Armed {
    point: FailPoint,
    /// Which passing of it counts, from 1 on.
    nth: u64,
    passed: AtomicU64,
    /// The event whose passings count, all of them; `nth` does not matter then.
    event: Option<String>,
}

static ARMED: OnceLock<Vec<Armed>> = OnceLock::new();

/// Arms what `setting` names. Called once, before anything runs; later calls change nothing.
///
/// # Errors
/// A name that no point has, or a number below 1; the error lists the names.
pub fn arm(setting: &str) -> Result<(), ConfigError> {
    let armed = parse(setting)?;
    if !armed.is_empty() {
        tracing::warn!(setting, "fail points are armed: this process will be made to fail");
        let _ = ARMED.set(armed);
    }
    Ok(())
}

/// Passes a point: the process dies here, or stands still, when that is what was armed.
#[inline]
pub fn pass(point: FailPoint) {
    if ARMED.get().is_some_and(|armed| is_due(armed, point)) {
        act(point);
    }
}

/// Passes [`FailPoint::K14`] with an event.
#[inline]
pub fn pass_event(id: &str) {
    if ARMED.get().is_some_and(|armed| armed.iter().any(|armed| armed.event.as_deref() == Some(id))) {
        act(FailPoint::K14);
    }
}

/// Whether a reply that has just come is to be thrown away.
#[inline]
pub fn loses_reply() -> bool {
    let loses = ARMED.get().is_some_and(|armed| is_due(armed, FailPoint::K7));
    if loses {
        eprintln!("tidemark: fail point {}: a reply is thrown away", FailPoint::K7.name());
    }
    loses
}

/// Counts a passing of `point` for every entry that names it.
fn is_due(armed: &[Armed], point: FailPoint) -> bool {
    let of_point = armed.iter().filter(|armed| armed.point == point);
    of_point.fold(false, |due, armed| due | (armed.passed.fetch_add(1, Ordering::Relaxed) + 1 == armed.nth))
}

fn act(point: FailPoint) {
    match point.action() {
        Action::Die => {
            eprintln!("tidemark: fail point {}: the process ends as by SIGKILL", point.name());
            signal_self(Signal::Kill);
        }
        Action::StandStill => {
            eprintln!("tidemark: fail point {}: the process stands still until SIGCONT", point.name());
            signal_self(Signal::Stop);
        }
        Action::LoseReply => {}
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Kill,
    Stop,
}

/// Nothing is unwound, flushed or let go of, in this thread or another. The signal goes to the calling thread, which so does
/// nothing more: sent to the process, a stop is another thread's to take, and this one would go on meanwhile.
#[cfg(unix)]
fn signal_self(signal: Signal) {
    use nix::sys::signal::{Signal as Unix, raise};
    let number = match signal {
        Signal::Kill => Unix::SIGKILL,
        Signal::Stop => Unix::SIGSTOP,
    };
    // One may always signal oneself. What follows is for a kernel that says otherwise.
    if raise(number).is_err() {
        std::process::abort();
    }
}

#[cfg(not(unix))]
fn signal_self(signal: Signal) {
    if signal == Signal::Kill {
        std::process::abort();
    }
}

fn parse(setting: &str) -> Result<Vec<Armed>, ConfigError> {
    let entries = setting.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.map(|entry| parse_one(entry).ok_or_else(|| mistake(entry))).collect()
}

fn parse_one(entry: &str) -> Option<Armed> {
    if let Some(id) = entry.strip_prefix("K14:").filter(|id| !id.is_empty()) {
        return Some(Armed { point: FailPoint::K14, nth: 0, passed: AtomicU64::new(0), event: Some(id.to_owned()) });
    }
    let (name, nth) = entry.split_once(':').map_or((entry, Some(1)), |(name, nth)| (name, nth.parse().ok()));
    let point = FailPoint::ALL.into_iter().find(|point| point.name() == name && *point != FailPoint::K14)?;
    Some(Armed { point, nth: nth.filter(|&nth| nth > 0)?, passed: AtomicU64::new(0), event: None })
}

fn mistake(entry: &str) -> ConfigError {
    let names: Vec<&str> = FailPoint::ALL.iter().map(|point| point.name()).collect();
    let rule = format!(
        "must be NAME or NAME:N with N from 1 on, NAME one of {}; K14 takes the id of an event instead (the other crash points \
         are failures of the store, which no point of this process makes)",
        names.join(", ")
    );
    ConfigError::invalid(VARIABLE, entry, &rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_points_are_named_with_the_time_at_which_each_acts() {
        let armed = parse("K2, K4:3,K2:5,").unwrap();
        let named: Vec<(FailPoint, u64)> = armed.iter().map(|armed| (armed.point, armed.nth)).collect();
        assert_eq!(named, [(FailPoint::K2, 1), (FailPoint::K4, 3), (FailPoint::K2, 5)]);
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn a_point_acts_at_its_nth_passing_and_at_no_other() {
        let armed = parse("K4:3,K5,K5:4").unwrap();
        let due = |point| (0..5).map(|_| is_due(&armed, point)).collect::<Vec<bool>>();
        assert_eq!(due(FailPoint::K4), [false, false, true, false, false]);
        assert_eq!(due(FailPoint::K5), [true, false, false, true, false]);
        assert_eq!(due(FailPoint::K0), [false; 5]);
    }

    #[test]
    fn an_event_is_named_by_its_id_and_acts_at_every_passing() {
        let armed = parse("K14:evt:1,K2").unwrap();
        assert_eq!((armed[0].event.as_deref(), armed[1].event.as_deref()), (Some("evt:1"), None));
        assert!((0..3).all(|_| !is_due(&armed, FailPoint::K14)), "it counts no passings");
    }

    #[test]
    fn a_wrong_name_or_number_is_a_mistake_that_lists_the_names() {
        for wrong in ["K99", "k2", "K8", "K2:0", "K2:x", "K2:", ":1", "K1,K13", "K14", "K14:"] {
            let error = parse(wrong).unwrap_err();
            assert_eq!(error.key, VARIABLE, "{wrong}");
            assert!(FailPoint::ALL.iter().all(|point| error.rule.contains(point.name())), "{error}");
        }
    }
}
