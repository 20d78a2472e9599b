//! HTTP: the dashboard, the services' own routes, and what all servers share.
//!
//! Everything that the dashboard shows comes from [`crate::monitor::Published`]; only `/events/{id}` and the search may ask
//! the ledger, through [`crate::monitor::lookup::LookUp`], with a deadline and a cap.
//!
//! ```text
//! request -> security, limits, request id, histogram -> page (pages/*) -> template -> HTML
//!                                                   `-> export (JSON, CSV)
//! new view -> live: fragments of the same templates, once per (view, query, tick) -> every open stream
//! ```

mod assets;
mod burrow;
mod cell;
mod export;
mod formats;
mod frame;
mod guard;
mod http_metrics;
mod ledgers;
mod links;
mod live;
mod order_form;
mod orders;
mod pages;
mod params;
mod probes;
mod problem;
mod reply;
mod router;
mod server;
mod service_probes;
mod settings;
mod state;
mod svg;
mod verdict;
mod words;

#[cfg(test)]
mod tests;

pub use orders::order_routes;
pub use router::router;
pub use server::serve;
pub use service_probes::service_probes;
pub use settings::{AllowedHosts, SettingRow, Settings};
pub use state::{DashboardState, PreparedMetrics};
