//! Tests that take minutes: `make test-long` runs them, `make test` leaves them out and keeps a short part of each.

mod campaign;
mod crash_points;
mod other_languages;
mod rebalances;
mod redis_failovers;
mod spring;
