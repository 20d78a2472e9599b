//! The roles: each starts in one readable function, on a bound socket and with a signal to stop.

mod service;
#[cfg(test)]
mod tests;

pub use service::{ServiceOptions, run_service};
