//! HTTP: of the services, and what all servers share.

mod order_form;
mod orders;
mod problem;
mod server;
mod service_probes;

pub use orders::order_routes;
pub use server::serve;
pub use service_probes::service_probes;
