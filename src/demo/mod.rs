//! Everything in one process: the shop's three services, the monitor with its pages, steady traffic, and a tour of faults.
//!
//! Nothing is acted: every effect on the pages is caused by real records, real group members and real calls to the ledger.
//! Without `--kafka` and `--redis` it runs on the embedded Kafka and the in-memory ledger.
//!
//! ```text
//! traffic --POST--> shop (order, payment, delivery), mail <--disturbs-- stage <-- tour <-- faults (data)
//!                      |                                             |
//!                    topics --> witness --> summary <-- books        '--says--> announcer --> the page
//! ```

mod ports;
mod run;
mod settings;

mod mail;
mod shop;
mod slow;
mod traffic;

mod announcer;
mod faults;
mod injector;
mod stage;
mod tour;

mod books;
mod summary;
mod witness;

pub use run::run;
pub use settings::DemoSettings;
