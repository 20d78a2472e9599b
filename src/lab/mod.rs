//! The guarantees lab: the same orders, the same deaths, four ways of being a consumer, and what came out of each.
//!
//! ```text
//!  orders topic --> workers of one way, one a partition, killed where the schedule says and started again at once
//!                      |--> a line in a log for each call outside: money taken, whatever Kafka and Redis say
//!                      '--> a result: a record in Kafka, or an order's state in Redis
//! ```
//!
//! Reading order: [`Way`], [`Schedule`], the life of a worker ([`work`]), the run of all of them ([`run()`]), what was counted
//! ([`Outcome`]), and how it is shown.

mod ledger_way;
mod orders;
mod outcome;
mod plot;
mod run;
mod schedule;
mod table;
mod way;
mod worker;
mod workers;

pub use outcome::{Outcome, Tally};
pub use plot::plot;
pub use run::{Lab, Report, Row, run};
pub use schedule::{Death, Place, Plan, Schedule, ScheduleError};
pub use table::{csv, table};
pub use way::Way;
pub use worker::{Job, work};
