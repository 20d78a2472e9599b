//! What services do outside the ledger, as a log tells it, and whether that was right.
//!
//! A service that calls somebody else (a bank, a carrier) writes one line a call to its effects log, after the grant and
//! before the commit: where the call is made. No ledger can make such a call exactly once; what it gives is that every
//! repeat is known as one: the same idempotency key, and a higher fence. [`check()`] holds a log to this. What is atomic with the
//! ledger (state, and the events in Kafka) is judged by [`outcome()`].
//!
//! Pure: lines and events in, findings out. The file is `effects_log`'s.

mod check;
mod line;
mod outcome;

pub use check::{Calls, Fault, Repeat, check};
pub use line::{BadLine, Effect, EffectKind, read_log};
pub use outcome::{Outcome, OutcomeFault, Sums, outcome};
