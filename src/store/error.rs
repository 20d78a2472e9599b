//! Why a whole call to the ledger failed, and what its caller has to do about it.

use super::ServerId;

/// A call that failed as a whole: nothing of it was done, except where [`StoreError::Unreachable`] leaves that open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The ledger does not exist, or is another one than the caller has worked with.
    #[error("the store forgot: expected incarnation {expected}, found {}", .found.as_deref().unwrap_or("nothing"))]
    Amnesia { expected: String, found: Option<String> },
    #[error("the store's clock is more than 60 s behind its last grant")]
    Clock,
    /// The store answers no call later than this one of the lane: it lost calls that it had answered.
    #[error("the store lost calls of this lane after number {last}")]
    Lost { last: u64 },
    /// Another server answers than the one that has answered before: it may not know what that one did.
    #[error("the store was replaced: {now} answers instead of {was}")]
    Replaced { was: ServerId, now: ServerId },
    /// What was answered is not as safe yet as was asked for.
    #[error("not confirmed: {0}")]
    Unconfirmed(String),
    /// The server cannot do what was asked for.
    #[error("{0}")]
    Unsupported(String),
    #[error("the lane has gone on to call number {last}")]
    Stale { last: u64 },
    #[error("bad argument: {0}")]
    BadArgument(String),
    #[error("the store is out of memory and takes no new work")]
    OutOfMemory,
    /// No answer in time or no connection: the call may or may not have been done.
    #[error("the store is unreachable: {0}")]
    Unreachable(String),
    /// The server answered with an error that is not the ledger's.
    #[error("the store refused: {0}")]
    Refused(String),
}

/// The question that a caller has about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Pause, then try again.
    Retry,
    /// Stop working until a person or a new assignment has decided.
    FailClosed,
    /// A defect of the program or of its configuration.
    Fix,
}

impl StoreError {
    /// Whether the store may not know any more what it has answered.
    pub const fn is_loss(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Replaced { .. })
    }

    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::OutOfMemory | Self::Unreachable(_) | Self::Unconfirmed(_) => Remedy::Retry,
            Self::Amnesia { .. } | Self::Clock | Self::Lost { .. } | Self::Replaced { .. } => Remedy::FailClosed,
            Self::Unsupported(_) | Self::Stale { .. } | Self::BadArgument(_) | Self::Refused(_) => Remedy::Fix,
        }
    }
}
