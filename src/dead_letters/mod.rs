//! Dead letters: what consumers gave up, read back from the topics where it waits, and sent on its way again.
//!
//! ```text
//!  <topic>.<group>.dlt --letter--> selected? --outlook--> (executed | suppressed | set aside again)
//!                                      |
//!                                      '--redrive--> <topic>, marked for the group  --> progress is kept
//! ```
//!
//! A letter may have been written by Tidemark, Spring Kafka, Kafka Connect or a broker for a share group.

mod letter;
mod outlook;
mod redrive;
mod selection;
mod windows;

pub use letter::{Dialect, Letter, REDRIVE, intent_of, original};
pub use outlook::{Outlook, OutlookCounts, outlooks};
pub use redrive::{Redrive, RedriveEnd, Told, redrive};
pub use selection::Selection;
pub use windows::Windows;
