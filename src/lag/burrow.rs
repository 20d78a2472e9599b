//! The status that Burrow would give: its documented rules, on a window of commits.
//!
//! They look at the last commits, whenever they were made, and at nothing else: not at members, not at the log's start.
//! Our own verdicts are in [`super::status`]; this is for those who know and alert on Burrow's words.
//!
//! ```text
//! lag allowed -> OK | no commit for longer than the window spans, and no log end seen that was read -> STOP
//!   | an offset fell and was not reached again -> REWIND | some commit had an allowed lag -> OK
//!   | no offset moved -> STALL | the lag never shrank -> WARN | else OK
//! ```

/// One commit as it was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitSample {
    pub offset: u64,
    /// When it was committed, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Records behind at that time; `None` where the log's end was not known.
    pub lag: Option<u64>,
}

/// What the rules look at: the last commits of one group in one partition, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct CommitWindow<'a> {
    pub commits: &'a [CommitSample],
    /// Ends of the log that were seen lately, in any order.
    pub log_ends: &'a [u64],
    pub current_lag: u64,
    /// Seconds since 1970.
    pub now_s: i64,
    /// A lag up to here counts as none.
    pub allowed_lag: u64,
}

/// Burrow's statuses in its order of badness, which is also their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BurrowStatus {
    NotFound,
    Ok,
    Warn,
    /// Of groups only: one of its partitions is worse than `WARN`.
    Err,
    /// Of partitions only, like those below.
    Stop,
    Stall,
    Rewind,
}

impl BurrowStatus {
    pub const ALL: [Self; 7] = [Self::NotFound, Self::Ok, Self::Warn, Self::Err, Self::Stop, Self::Stall, Self::Rewind];

    pub const fn label(self) -> &'static str {
        match self {
            Self::NotFound => "NOTFOUND",
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Err => "ERR",
            Self::Stop => "STOP",
            Self::Stall => "STALL",
            Self::Rewind => "REWIND",
        }
    }

    /// The status of a group with these partitions.
    pub fn of_group(partitions: impl IntoIterator<Item = Self>) -> Self {
        partitions.into_iter().fold(Self::Ok, Self::max).min(Self::Err)
    }
}

/// The status of one partition.
pub fn evaluate(window: &CommitWindow<'_>) -> BurrowStatus {
    let (Some(first), Some(last)) = (window.commits.first(), window.commits.last()) else { return BurrowStatus::Ok };
    if window.current_lag <= window.allowed_lag {
        return BurrowStatus::Ok;
    }
    if has_stopped(first, last, window.now_s) && !was_read_lately(last, window.log_ends) {
        return BurrowStatus::Stop;
    }
    if is_moved_back(window.commits) {
        return BurrowStatus::Rewind;
    }
    let was_caught_up = window.commits.iter().any(|commit| commit.lag.is_some_and(|lag| lag <= window.allowed_lag));
    if was_caught_up {
        BurrowStatus::Ok
    } else if window.commits.iter().all(|commit| commit.offset == last.offset) {
        BurrowStatus::Stall
    } else if never_shrinks(window.commits) {
        BurrowStatus::Warn
    } else {
        BurrowStatus::Ok
    }
}

/// The last commit is longer ago than the window spans. In 128 bits, since a recording may hold any number.
fn has_stopped(first: &CommitSample, last: &CommitSample, now_s: i64) -> bool {
    let [first, last, now] = [first.timestamp_ms.into(), last.timestamp_ms.into(), i128::from(now_s) * 1_000];
    now - last > last - first
}

/// The log ended at the committed offset when one of its ends was read: what waits came after that.
fn was_read_lately(last: &CommitSample, log_ends: &[u64]) -> bool {
    log_ends.iter().any(|&end| end <= last.offset)
}

/// The first fall of the offset has not been made good. Later ones do not count: Burrow looks at the first alone.
fn is_moved_back(commits: &[CommitSample]) -> bool {
    let fall = commits.windows(2).position(|pair| pair[1].offset < pair[0].offset);
    fall.is_some_and(|at| commits[at + 1..].iter().all(|later| later.offset < commits[at].offset))
}

/// No known lag is smaller than the known one before.
fn never_shrinks(commits: &[CommitSample]) -> bool {
    commits.iter().filter_map(|commit| commit.lag).is_sorted()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NO_LAG: Option<u64> = None;

    /// One commit a minute from second 60 on.
    fn commits(rows: &[(u64, Option<u64>)]) -> Vec<CommitSample> {
        let commit = |(minute, &(offset, lag)): (i64, &(u64, Option<u64>))| CommitSample {
            offset,
            timestamp_ms: minute * 60_000,
            lag,
        };
        (1..).zip(rows).map(commit).collect()
    }

    struct Case {
        situation: &'static str,
        commits: Vec<CommitSample>,
        log_ends: &'static [u64],
        current_lag: u64,
        now_s: i64,
        allowed_lag: u64,
        expected: BurrowStatus,
    }

    fn case(
        situation: &'static str,
        rows: &[(u64, Option<u64>)],
        current_lag: u64,
        now_s: i64,
        expected: BurrowStatus,
    ) -> Case {
        Case { situation, commits: commits(rows), log_ends: &[1_000_000], current_lag, now_s, allowed_lag: 0, expected }
    }

    fn cases() -> Vec<Case> {
        let grows = [(10, Some(5)), (20, Some(6)), (30, Some(6)), (40, Some(9))];
        let stands = [(40, Some(5)), (40, Some(6)), (40, Some(7)), (40, Some(8))];
        let caught_up = [(10, Some(0)), (20, Some(6)), (30, Some(7)), (40, Some(9))];
        vec![
            case("no commit at all says nothing", &[], 100, 300, BurrowStatus::Ok),
            case("no lag now, whatever was before", &stands, 0, 100_000, BurrowStatus::Ok),
            case("the lag grew with every commit", &grows, 9, 300, BurrowStatus::Warn),
            case("the lag stayed level: not shrinking either", &[(10, Some(5)), (20, Some(5))], 5, 150, BurrowStatus::Warn),
            case("the lag shrank once", &[(10, Some(5)), (20, Some(9)), (30, Some(8))], 9, 200, BurrowStatus::Ok),
            case("the lag was zero at one commit", &caught_up, 9, 300, BurrowStatus::Ok),
            case("commits go on and do not move", &stands, 8, 300, BurrowStatus::Stall),
            case("the last commit is as old as the window is long", &grows, 9, 240 + 180, BurrowStatus::Warn),
            case("the last commit is a second older than that", &grows, 9, 240 + 181, BurrowStatus::Stop),
            case("it stopped, though it had been caught up", &caught_up, 9, 240 + 181, BurrowStatus::Stop),
            case(
                "a single commit a second ago has stopped: its window spans nothing",
                &[(10, Some(1))],
                1,
                61,
                BurrowStatus::Stop,
            ),
            case("a single commit in this second stalls", &[(10, Some(1))], 1, 60, BurrowStatus::Stall),
            Case {
                log_ends: &[41, 40],
                ..case("it stopped, but had read a log end that was seen lately", &caught_up, 1, 900, BurrowStatus::Ok)
            },
            case("it was moved back", &[(40, Some(1)), (10, Some(31)), (20, Some(30))], 30, 200, BurrowStatus::Rewind),
            case(
                "it was moved back and is where it was",
                &[(40, Some(9)), (10, Some(31)), (40, Some(8))],
                8,
                200,
                BurrowStatus::Ok,
            ),
            case(
                "moved back comes before caught up",
                &[(40, Some(0)), (10, Some(30)), (20, Some(20))],
                20,
                200,
                BurrowStatus::Rewind,
            ),
            case("an unknown lag is passed over", &[(10, Some(5)), (20, NO_LAG), (30, Some(6))], 9, 200, BurrowStatus::Warn),
            case("no lag is known", &[(10, NO_LAG), (20, NO_LAG)], 9, 150, BurrowStatus::Warn),
            Case { allowed_lag: 9, ..case("the lag is allowed", &grows, 9, 9_000, BurrowStatus::Ok) },
            Case { allowed_lag: 6, ..case("a lag before was allowed", &grows, 9, 300, BurrowStatus::Ok) },
            Case { allowed_lag: 4, ..case("no lag was allowed", &stands, 8, 300, BurrowStatus::Stall) },
        ]
    }

    fn evaluate_case(case: &Case) -> BurrowStatus {
        let Case { commits, log_ends, current_lag, now_s, allowed_lag, .. } = case;
        let [current_lag, allowed_lag] = [*current_lag, *allowed_lag];
        evaluate(&CommitWindow { commits, log_ends, current_lag, now_s: *now_s, allowed_lag })
    }

    #[test]
    fn each_situation_has_the_status_that_burrow_gives() {
        for case in cases() {
            assert_eq!(evaluate_case(&case), case.expected, "{}", case.situation);
        }
    }

    #[test]
    fn every_status_of_a_partition_is_in_the_table() {
        let of_partitions =
            BurrowStatus::ALL.into_iter().filter(|s| !matches!(s, BurrowStatus::NotFound | BurrowStatus::Err));
        for status in of_partitions {
            assert!(cases().iter().any(|case| case.expected == status), "{status:?}");
        }
    }

    #[test]
    fn a_group_is_err_when_a_partition_is_worse_than_warn() {
        use BurrowStatus::{Err, Ok, Rewind, Stall, Stop, Warn};
        assert_eq!(BurrowStatus::of_group([]), Ok);
        assert_eq!(BurrowStatus::of_group([Ok, Warn, Ok]), Warn);
        for bad in [Stop, Stall, Rewind] {
            assert_eq!(BurrowStatus::of_group([Ok, bad, Warn]), Err);
        }
    }

    fn any_commit() -> impl Strategy<Value = CommitSample> {
        let number = prop_oneof![0..10_u64, any::<u64>()];
        let lag = prop::option::of(prop_oneof![0..10_u64, any::<u64>()]);
        (number, any::<i64>(), lag).prop_map(|(offset, timestamp_ms, lag)| CommitSample { offset, timestamp_ms, lag })
    }

    proptest! {
        #[test]
        fn every_window_has_a_status_of_partitions(
            commits in prop::collection::vec(any_commit(), 0..20),
            log_ends in prop::collection::vec(any::<u64>(), 0..5),
            (current_lag, allowed_lag, now_s) in any::<(u64, u64, i64)>(),
        ) {
            let status = evaluate(&CommitWindow { commits: &commits, log_ends: &log_ends, current_lag, now_s, allowed_lag });
            prop_assert!(!matches!(status, BurrowStatus::NotFound | BurrowStatus::Err));
            prop_assert!(current_lag > allowed_lag || status == BurrowStatus::Ok);
        }
    }
}
