//! One file or folder per page. Each builds a template from the view and gives the same parts to the live stream.
//!
//! To add a page: a template, a file here with `build` and a handler, a route in `router`, and, where it changes
//! by itself, an arm in [`super::live`].

pub mod alerts;
pub mod duplicates;
pub mod event;
mod firing;
pub mod flow;
pub mod group;
pub mod groups;
mod letters;
pub mod overview;
pub mod receivers;
pub mod runbook;
pub mod search;
pub mod silences;
pub mod status;
pub mod table;
pub mod theme;
pub mod topic;
pub mod topics;
pub mod trouble;
mod watch;
