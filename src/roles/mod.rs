//! The roles: each starts in one readable function, on a bound socket and with a signal to stop.

mod monitor;
mod service;
#[cfg(test)]
mod tests;

pub use monitor::{MonitorOptions, reader_config, start_monitor};
pub use service::{ServiceOptions, run_handler, run_service, serve_handler};
