//! Reads a cluster again and again and does nothing with it: what the monitor's reading alone costs, for
//! `docs/benchmarks.md`.
//!
//! ```text
//! cargo run --release --example bare_read -- 127.0.0.1:9092 SECONDS_BETWEEN
//! ```
//!
//! Prints a line per collection: its number, groups, offsets, and how long it took.

#![allow(clippy::expect_used, reason = "a tool for measurements may stop at the first failure")]

use std::time::{Duration, Instant};
use tidemark::kafka::{ClientProperties, ClusterReader, ReaderConfig};

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: bare_read HOST:PORT SECONDS_BETWEEN";
    let bootstrap = arguments.next().expect(usage);
    let seconds: u64 = arguments.next().and_then(|seconds| seconds.parse().ok()).expect(usage);
    let mut reader = ClusterReader::new(ReaderConfig::new(&bootstrap, ClientProperties::default()));
    let mut ticks = tokio::time::interval(Duration::from_secs(seconds));
    for number in 1_u64.. {
        ticks.tick().await;
        let begun = Instant::now();
        let snapshot = reader.collect().await.expect("the cluster answers");
        let committed = snapshot.groups.iter().filter_map(|group| group.committed.as_ref().known());
        let offsets: usize = committed.map(|offsets| offsets.len()).sum();
        println!("{number} groups {} offsets {offsets} ms {}", snapshot.groups.len(), begun.elapsed().as_millis());
    }
}
