//! Writing metrics: the contract of names, the text format, and the process's own counters.
//!
//! ```text
//! family   which families exist                 text      one buffer in the Prometheus text format 0.0.4
//! label    escaped, bounded label strings       process   counters that the running process keeps itself
//! ```
//!
//! It knows the format and no subject: what is written from a view stands in `monitor::exposition`.

pub mod family;
mod label;
mod process;
mod text;

pub use family::{Family, Kind};
pub use label::{Joined, Labels, SeriesLabels};
pub use process::{ProcessMetrics, resident_bytes};
pub use text::{CONTENT_TYPE, TextWriter};
