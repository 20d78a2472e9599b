//! Alerts: one table of definitions, read by the built-in engine and printed as Prometheus rules.

mod engine;

pub use engine::{Engine, EngineSettings, Evaluation, evaluate};
