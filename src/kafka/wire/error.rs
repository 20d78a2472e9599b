//! What can go wrong between sending a request and reading its answer, and which reading that leaves unknown.

use crate::lag::UnknownReason;

/// A frame that does not hold what its API promises. The text says which part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed answer: {0}")]
pub struct Malformed(pub &'static str);

/// One exchange failed. After every case but [`Self::Unsupported`] the connection is gone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The broker's certificate is not trusted, ours is not, or one of ours cannot be used.
    #[error("{0}")]
    Certificate(String),
    /// The broker does not take what we prove ourselves with, or we have nothing to prove ourselves with.
    #[error("{0}")]
    Authentication(String),
    #[error("TLS failed: {0}")]
    Tls(String),
    #[error("cannot connect within {0} ms")]
    ConnectTimeout(u128),
    #[error("the connection ended: {0}")]
    Closed(String),
    #[error("no answer within {0} ms")]
    Timeout(u128),
    #[error("an answer of {bytes} bytes is over the limit of {max} (receive.message.max.bytes)")]
    FrameTooLarge { bytes: i32, max: usize },
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the broker answered request {answered} in place of {asked}")]
    WrongCorrelation { asked: i32, answered: i32 },
    #[error("the broker does not support {0} in a version that this client speaks")]
    Unsupported(&'static str),
    #[error("the broker refused to name its versions with error {0}")]
    VersionsRefused(i16),
    #[error("the request cannot be encoded: {0}")]
    Encode(String),
}

impl WireError {
    pub const fn reason(&self) -> UnknownReason {
        match self {
            Self::Certificate(_) => UnknownReason::CertificateRejected,
            Self::Authentication(_) => UnknownReason::AuthenticationFailed,
            Self::Connect(_) | Self::Closed(_) => UnknownReason::Unreachable,
            Self::ConnectTimeout(_) | Self::Timeout(_) => UnknownReason::Timeout,
            Self::Tls(_)
            | Self::FrameTooLarge { .. }
            | Self::Malformed(_)
            | Self::WrongCorrelation { .. }
            | Self::Encode(_) => UnknownReason::BadResponse,
            Self::Unsupported(_) => UnknownReason::Unsupported,
            Self::VersionsRefused(code) => UnknownReason::KafkaError(*code),
        }
    }
}

/// Reads one of Kafka's error codes; 0 is no error.
pub const fn reason_of(code: i16) -> UnknownReason {
    match code {
        3 | 100 => UnknownReason::NoSuchPartition,
        5 => UnknownReason::NoLeader,
        // NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH, OFFSET_NOT_AVAILABLE: a leader just changed.
        6 | 74 | 75 | 78 => UnknownReason::NotLeader,
        7 => UnknownReason::Timeout,
        14..=16 => UnknownReason::CoordinatorNotReady,
        29..=31 => UnknownReason::NotAuthorized,
        35 => UnknownReason::Unsupported,
        other => UnknownReason::KafkaError(other),
    }
}
