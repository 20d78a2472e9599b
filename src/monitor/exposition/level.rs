//! How fine the series of lag and offsets are.

use crate::config::Granularity;

/// From the finest to the coarsest; each one is bounded by a smaller number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every pair of group and partition.
    #[default]
    Partition,
    /// Lag summed and time lag at its largest per group and topic; offsets of single partitions are left out.
    Topic,
    /// Lag per group; what is counted per group and topic stays.
    Group,
    /// Only what is per group, per topic or per cluster: the last step of the cap.
    GroupOnly,
}

impl Level {
    pub const fn coarser(self) -> Option<Self> {
        match self {
            Self::Partition => Some(Self::Topic),
            Self::Topic => Some(Self::Group),
            Self::Group => Some(Self::GroupOnly),
            Self::GroupOnly => None,
        }
    }
}

impl From<Granularity> for Level {
    fn from(granularity: Granularity) -> Self {
        match granularity {
            Granularity::Partition => Self::Partition,
            Granularity::Topic => Self::Topic,
            Granularity::Group => Self::Group,
        }
    }
}
