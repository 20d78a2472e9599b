//! How long a group usually lets records wait before it commits: a checkpoint every ten minutes is no standstill.

use std::time::Duration;

/// The last two waits. The shorter one is the usual one, so that a single standstill says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// In seconds; [`NONE`] where none was seen.
    waits: [u16; 2],
}

const NONE: u16 = u16::MAX;

/// A group that commits more rarely than this is not waited for.
const LONGEST: Duration = Duration::from_secs(30 * 60);

impl Default for Rhythm {
    fn default() -> Self {
        Self { waits: [NONE; 2] }
    }
}

impl Rhythm {
    /// Takes in that records had waited for so long when the offset rose.
    pub fn note(&mut self, waited: Duration) {
        self.waits = [self.waits[1], u16::try_from(waited.as_secs()).unwrap_or(NONE - 1).min(NONE - 1)];
    }

    /// The usual wait, half an hour at most; zero until one was seen.
    pub fn usual_wait(self) -> Duration {
        match self.waits[0].min(self.waits[1]) {
            NONE => Duration::ZERO,
            seconds => Duration::from_secs(seconds.into()).min(LONGEST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_standstill_is_not_usual_and_nothing_longer_than_half_an_hour_is() {
        let mut rhythm = Rhythm::default();
        let mut usual = |seconds| {
            rhythm.note(Duration::from_secs(seconds));
            rhythm.usual_wait().as_secs()
        };
        assert_eq!(usual(10), 10, "the first one seen");
        assert_eq!(usual(7_200), 10);
        assert_eq!(usual(20), 20);
        assert_eq!((usual(600), usual(590)), (20, 590));
        assert_eq!((usual(90_000), usual(90_000)), (590, 1_800));
        assert_eq!(Rhythm::default().usual_wait(), Duration::ZERO);
    }
}
