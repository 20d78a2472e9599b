//! The same view under the names that other exporters use, so that their dashboards and alerts work on day one.
//!
//! Names and labels are theirs, values are ours: what is not known is absent, lag counts readable records. Asked to be
//! *strict*, a page holds what they would print instead: -1, NaN, negative lags. A page is written when somebody asks for it,
//! once per view. To add a format: a file here, a case in [`Format`], a table in `docs/compatibility.md`.

mod kafka_exporter;
mod kafka_lag_exporter;
mod kminion;
mod pages;
mod scene;
#[cfg(test)]
mod tests;

pub use pages::{FormatPages, Missing};

use super::{ExpositionSettings, Level};
use crate::{
    metrics::{Family, Kind, Labels, TextWriter, family},
    monitor::view::View,
};
use scene::Scene;

/// Whose names a page uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// danielqsj/kafka_exporter, 1.9.
    KafkaExporter,
    /// seglo/kafka-lag-exporter, 0.8.
    KafkaLagExporter,
    /// redpanda-data/kminion, 2.3.
    Kminion,
}

impl Format {
    pub const ALL: [Self; 3] = [Self::KafkaExporter, Self::KafkaLagExporter, Self::Kminion];

    /// The last part of the page's path.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KafkaExporter => "kafka-exporter",
            Self::KafkaLagExporter => "kafka-lag-exporter",
            Self::Kminion => "kminion",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Every family that a page of this format can have.
    pub const fn families(self) -> &'static [Family] {
        match self {
            Self::KafkaExporter => kafka_exporter::FAMILIES,
            Self::KafkaLagExporter => kafka_lag_exporter::FAMILIES,
            Self::Kminion => kminion::FAMILIES,
        }
    }
}

/// One page to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub format: Format,
    /// What the exporter itself would print.
    pub strict: bool,
    /// Index of the only cluster to be on it; otherwise all of them.
    pub cluster: Option<usize>,
}

/// Writes the page, coarser where it would have more series than allowed. Gives the series that were left out.
pub(super) fn write(view: &View, order: Order, settings: ExpositionSettings, capacity: usize) -> (String, usize) {
    let mut level = Level::from(settings.granularity);
    let (mut text, wanted) = write_level(view, order, level, settings.max_series, capacity);
    let mut series = wanted;
    while series > settings.max_series && level < Level::Group {
        level = if level == Level::Partition { Level::Topic } else { Level::Group };
        // The coarsest level is bounded by the numbers of groups and topics; nothing of it is left out.
        let limit = if level < Level::Group { settings.max_series } else { usize::MAX };
        (text, series) = write_level(view, order, level, limit, capacity);
    }
    let dropped = wanted - series.min(wanted);
    if dropped > 0 {
        let mut tail = TextWriter::new(256, 1);
        tail.family(family::SERIES_DROPPED).integer(&Labels::default(), dropped as u64);
        text.push_str(&tail.finish());
    }
    (text, dropped)
}

fn write_level(view: &View, order: Order, level: Level, limit: usize, capacity: usize) -> (String, usize) {
    let mut out = TextWriter::new(capacity, limit);
    let scene = Scene::new(view, order, level);
    match order.format {
        Format::KafkaExporter => kafka_exporter::write(&mut out, &scene),
        Format::KafkaLagExporter => kafka_lag_exporter::write(&mut out, &scene),
        Format::Kminion => kminion::write(&mut out, &scene),
    }
    let samples = out.samples();
    (out.finish(), samples)
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, labels, help }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, labels, help }
}
