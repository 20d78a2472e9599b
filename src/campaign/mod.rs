//! Campaigns: the shop's services as real processes on a real Kafka and a real Redis, random mixes of faults drawn from a seed, and a
//! judge who looks when all is quiet.
//!
//! ```text
//! seed --> plan --> stage --kills, stops, cuts, empties--> shop (order, payment, delivery), redis, broker
//!                     |                                      ^
//!                     '--puts copies, conflicts, poison-->  topics <-- customers
//!                                                            |
//!                       rest (nothing under way) --> evidence --> judge --> report; a failing plan is shrunk
//! ```
//!
//! The same seed gives the same plan, not the same interleaving: processes, disks and schedulers are real. Pure: `dice`, `fault`,
//! `plan`, `shrink`, `evidence`, `judge`. To add a fault: a case in `fault`, what it does in `stage`, and what it makes uncertain in
//! `judge`.

mod settings;

mod dice;
mod fault;
mod plan;
mod shrink;

mod broker;
mod process;
mod proxy;
mod redis_servers;

mod customers;
mod injector;
mod shop;
mod stage;
mod world;

mod evidence;
mod judge;
mod kafka;
mod rest;

mod report;
mod run;
mod series;

pub use series::{NoResult, campaign};
pub use settings::{CampaignArgs, CampaignSettings};
