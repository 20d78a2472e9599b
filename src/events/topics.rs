//! The three topics, all keyed by order id, and the name of a dead-letter topic.

use std::fmt;

/// A topic of the shop, named after the thing that its events are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    Orders,
    Payments,
    Deliveries,
}

impl Topic {
    pub const ALL: [Self; 3] = [Self::Orders, Self::Payments, Self::Deliveries];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Payments => "payments",
            Self::Deliveries => "deliveries",
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Names the topic where `group` puts the records of `topic` that it gave up.
pub fn dead_letter_topic(topic: &str, group: &str) -> String {
    format!("{topic}.{group}.dlt")
}
