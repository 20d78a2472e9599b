//! Tidemark answers two questions about Kafka consumers in one place: how far behind is each of them, and has any
//! event been processed twice, and why.
//!
//! The modules are layered; a test holds the directions (see `ARCHITECTURE.md`):
//!
//! ```text
//! L0 pure    lag  events  services  effects         no I/O, no clock, no async
//! L1 edges   kafka  store  metrics  config  clock  effects_log  fail_point
//! L2 loops   monitor  consumer  relay  replay  web   pages read monitor::view only
//! L3 roles   demo  campaign  lab  cli
//! ```

#![forbid(unsafe_code)]

// Made-up views are shared with an example, which knows this crate by its name.
#[cfg(test)]
extern crate self as tidemark;

pub mod campaign;
pub mod cli;
pub mod clock;
pub mod config;
pub mod consumer;
pub mod dead_letters;
pub mod demo;
pub mod effects;
pub mod effects_log;
pub mod events;
pub mod fail_point;
pub mod kafka;
pub mod lab;
pub mod lag;
pub mod metrics;
pub mod monitor;
pub mod relay;
pub mod replay;
pub mod roles;
pub mod services;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod web;
