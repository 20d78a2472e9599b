//! The rules of the ledger as sentences, run against both stores; random operations that compare them; vectors.

mod outages;
mod property;
mod rules;
mod server;
mod vectors;
mod world;
