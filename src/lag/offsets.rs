//! Positions in a partition's log.

use std::{fmt, num::NonZeroU64};

/// A position in one partition's log, in records from 0 on. Kafka's offsets have 63 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(
    /// One more than the offset: what may be missing takes no more room than what is there.
    NonZeroU64,
);

impl Offset {
    pub const ZERO: Self = Self::new(0);

    pub const fn new(value: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(value))
    }

    /// Reads an offset as Kafka writes it; negative values are Kafka's markers for "none" and give `None`.
    pub fn from_wire(value: i64) -> Option<Self> {
        u64::try_from(value).ok().map(Self::new)
    }

    pub const fn get(self) -> u64 {
        self.0.get() - 1
    }

    /// The place `records` before this one; never before the first.
    pub const fn back_by(self, records: u64) -> Self {
        Self::new(self.get().saturating_sub(records))
    }

    /// Records from `earlier` up to here; 0 when `earlier` is not earlier.
    pub const fn distance_from(self, earlier: Self) -> u64 {
        self.0.get().saturating_sub(earlier.0.get())
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Offset").field(&self.get()).finish()
    }
}

/// The readable part of one partition's log (Kafka: ListOffsets).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// Log start offset: the oldest record kept.
    pub start: Offset,
    /// Log end offset (high watermark): the next record to be written, as consumers may see it.
    pub end: Offset,
    /// Last stable offset: where a read-committed consumer has to stop. `None` when the broker did not say.
    pub last_stable: Option<Offset>,
}

impl LogRange {
    /// Records that the log holds now.
    pub const fn retained(self) -> u64 {
        self.end.distance_from(self.start)
    }
}
