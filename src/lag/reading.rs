//! A value that was read, or the reason why it was not.

use std::fmt;

/// What a read gave. Unknown is a value of its own: nothing stands in for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading<T> {
    Known(T),
    Unknown(UnknownReason),
}

impl<T> Reading<T> {
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    pub const fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }

    pub fn as_ref(&self) -> Reading<&T> {
        match self {
            Self::Known(value) => Reading::Known(value),
            Self::Unknown(reason) => Reading::Unknown(*reason),
        }
    }

    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Known(value) => Reading::Known(f(value)),
            Self::Unknown(reason) => Reading::Unknown(reason),
        }
    }

    pub fn and_then<U>(self, f: impl FnOnce(T) -> Reading<U>) -> Reading<U> {
        match self {
            Self::Known(value) => f(value),
            Self::Unknown(reason) => Reading::Unknown(reason),
        }
    }

    pub const fn reason(&self) -> Option<UnknownReason> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(reason) => Some(*reason),
        }
    }
}

/// Why a value is not known. [`fmt::Display`] gives the words for people, [`Self::label`] the metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UnknownReason {
    /// Nothing has been read yet.
    NotReadYet,
    /// One answer left it out, though it was there before: only the next one tells whether it is gone.
    LeftOut,
    /// The partition has no leader at the moment.
    NoLeader,
    /// The broker that was asked does not lead the partition any more.
    NotLeader,
    /// The broker or coordinator could not be reached.
    Unreachable,
    /// The broker did not answer in time.
    Timeout,
    /// The broker's certificate is not trusted, or the broker does not take ours.
    CertificateRejected,
    /// The broker does not take our user and password or our token.
    AuthenticationFailed,
    /// The principal lacks the right to read this; the ACL that it needs is named by the page.
    NotAuthorized,
    /// The topic or partition does not exist (any more).
    NoSuchPartition,
    /// The group has committed nothing here.
    NeverCommitted,
    /// The group has committed nothing here, and nothing has come long enough ago that it should have been.
    NothingCame,
    /// The broker does not know this request.
    Unsupported,
    /// Not observed for long enough to tell.
    TooLittleHistory,
    /// Our own history does not reach back to that offset.
    HistoryTooShort,
    /// The record's timestamp lies in the future, is far older than the record, or is missing.
    UntrustedTimestamp,
    /// More was to be read than one collection may; it is read in one of the next.
    OverBudget,
    /// The committed offset lies beyond the end of the log.
    BeyondEnd,
    /// Records of the topic are never deleted by time.
    NeverDeleted,
    /// The coordinator is loading or moving.
    CoordinatorNotReady,
    /// The broker keeps the number to itself: a share group's lag before Kafka 4.2.
    NotReported,
    /// The answer could not be decoded.
    BadResponse,
    /// Kafka answered with this error code.
    KafkaError(i16),
}

impl UnknownReason {
    /// Whether a reading failed; the other reasons are findings, and may stay for ever.
    pub const fn is_failure(self) -> bool {
        !matches!(
            self,
            Self::NeverCommitted
                | Self::NothingCame
                | Self::BeyondEnd
                | Self::NoSuchPartition
                | Self::Unsupported
                | Self::NotReported
        )
    }

    /// A bounded set of values for the metric label `reason`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotReadYet => "not_read_yet",
            Self::LeftOut => "left_out",
            Self::NoLeader => "no_leader",
            Self::NotLeader => "not_leader",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::CertificateRejected => "certificate_rejected",
            Self::AuthenticationFailed => "authentication_failed",
            Self::NotAuthorized => "not_authorized",
            Self::NoSuchPartition => "no_such_partition",
            Self::NeverCommitted => "never_committed",
            Self::NothingCame => "nothing_came",
            Self::Unsupported => "unsupported",
            Self::TooLittleHistory => "too_little_history",
            Self::HistoryTooShort => "history_too_short",
            Self::UntrustedTimestamp => "untrusted_timestamp",
            Self::OverBudget => "over_budget",
            Self::BeyondEnd => "beyond_end",
            Self::NeverDeleted => "never_deleted",
            Self::CoordinatorNotReady => "coordinator_not_ready",
            Self::NotReported => "not_reported",
            Self::BadResponse => "bad_response",
            Self::KafkaError(_) => "kafka_error",
        }
    }
}

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReadYet => f.write_str("not read yet"),
            Self::LeftOut => f.write_str("the last answer left it out; the next one tells whether it is gone"),
            Self::NoLeader => f.write_str("the partition has no leader"),
            Self::NotLeader => f.write_str("the partition's leader is moving"),
            Self::Unreachable => f.write_str("the broker cannot be reached"),
            Self::Timeout => f.write_str("the broker did not answer in time"),
            Self::CertificateRejected => f.write_str("the certificate was rejected"),
            Self::AuthenticationFailed => f.write_str("the broker refused who we say that we are"),
            Self::NotAuthorized => f.write_str("not authorized to read it"),
            Self::NoSuchPartition => f.write_str("the topic or partition does not exist"),
            Self::NeverCommitted => f.write_str("nothing has been committed here"),
            Self::NothingCame => f.write_str("nothing has been committed here, and nothing has come that should have been"),
            Self::Unsupported => f.write_str("the broker does not support this request"),
            Self::TooLittleHistory => f.write_str("not observed for long enough"),
            Self::HistoryTooShort => f.write_str("our history does not reach back to that record"),
            Self::UntrustedTimestamp => f.write_str("the record's timestamp cannot be trusted"),
            Self::OverBudget => f.write_str("more was to be read than one collection may; it is next"),
            Self::BeyondEnd => f.write_str("the committed offset lies beyond the end of the log"),
            Self::NeverDeleted => f.write_str("the topic never deletes by time"),
            Self::CoordinatorNotReady => f.write_str("the group's coordinator is loading or moving"),
            Self::NotReported => f.write_str("this broker does not report the lag of a share group"),
            Self::BadResponse => f.write_str("the broker's answer could not be read"),
            Self::KafkaError(code) => write!(f, "Kafka answered with error {code}"),
        }
    }
}
