//! Every default in one place. `docs/configuration.md` lists them and a test holds it to this file.

use crate::services::StepDeadlines;
use std::time::Duration;

pub const CLUSTER_NAME: &str = "local";
pub const NAMESPACE: &str = "shop";
pub const MONITOR_LISTEN: &str = "127.0.0.1:8720";
pub const ORDER_LISTEN: &str = "127.0.0.1:8721";
pub const PAYMENT_LISTEN: &str = "127.0.0.1:8722";
pub const DELIVERY_LISTEN: &str = "127.0.0.1:8723";

pub const INTERVAL: Duration = Duration::from_secs(10);
pub const STALLED_AFTER: Duration = Duration::from_secs(60);
pub const WINDOW: Duration = Duration::from_secs(10 * 60);
pub const MAX_SERIES: usize = 200_000;
pub const HISTORY_BYTES: u64 = 256 * 1024 * 1024;

pub const LAG_MESSAGES_WARNING: f64 = 1_000.0;
pub const LAG_MESSAGES_CRITICAL: f64 = 10_000.0;
pub const LAG_SECONDS_WARNING: f64 = 60.0;
pub const LAG_SECONDS_CRITICAL: f64 = 300.0;

pub const LEDGER_WINDOW: Duration = Duration::from_secs(7 * 24 * 3600);
pub const LEDGER_SHARDS: u16 = 4;
/// Ids that one window is expected to hold; decides the number of buckets.
pub const LEDGER_EXPECT: u64 = 1_000_000;
pub const LEASE: Duration = Duration::from_secs(15);
/// What was settled within this time is read again when the store may have lost something.
pub const REREAD_WINDOW: Duration = Duration::from_secs(5 * 60);
/// A refund may take longer than a step ahead: past its deadline it calls a human.
pub const STEP_DEADLINES: StepDeadlines = StepDeadlines {
    payment: Duration::from_secs(60),
    delivery: Duration::from_secs(60),
    refund: Duration::from_secs(5 * 60),
};
pub const MAX_FAILURES: u32 = 5;
pub const OUTBOX_LIMIT: u64 = 10_000;
pub const TOPIC_PARTITIONS: i32 = 12;
/// How long a request may take when the ledger or Kafka does not answer.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);
