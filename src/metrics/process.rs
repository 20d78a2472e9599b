//! Counters that the running process keeps itself: requests, live streams, notifications.

use super::{Kind, family};
use prometheus::{Error, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
use std::time::Duration;

/// From a cached page to a slow look-up, in seconds.
const HTTP_BUCKETS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0];

/// The monitor's own counters and the registry that they live in. Cloning shares them.
#[derive(Clone)]
pub struct ProcessMetrics {
    registry: Registry,
    http: HistogramVec,
    live_streams: IntGauge,
    notifications: IntCounterVec,
    notification_failures: IntCounterVec,
}

impl ProcessMetrics {
    /// # Errors
    /// Two metrics of one name; which cannot happen with names of the contract.
    pub fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        let http = HistogramVec::new(
            HistogramOpts::from(opts(family::HTTP_REQUEST_DURATION_SECONDS)).buckets(HTTP_BUCKETS.to_vec()),
            family::HTTP_REQUEST_DURATION_SECONDS.labels,
        )?;
        let live_streams = IntGauge::with_opts(opts(family::LIVE_STREAMS))?;
        let notifications = IntCounterVec::new(opts(family::NOTIFICATIONS), family::NOTIFICATIONS.labels)?;
        let notification_failures =
            IntCounterVec::new(opts(family::NOTIFICATION_FAILURES), family::NOTIFICATION_FAILURES.labels)?;
        registry.register(Box::new(http.clone()))?;
        registry.register(Box::new(live_streams.clone()))?;
        registry.register(Box::new(notifications.clone()))?;
        registry.register(Box::new(notification_failures.clone()))?;
        Ok(Self { registry, http, live_streams, notifications, notification_failures })
    }

    /// Counts one answered request. `route` is the pattern of the route, never the path: paths are unbounded.
    pub fn observe_request(&self, method: &str, route: &str, code: u16, latency: Duration) {
        self.http.with_label_values(&[method, route, &code.to_string()]).observe(latency.as_secs_f64());
    }

    /// Open live streams; the caller adds and takes away.
    pub const fn live_streams(&self) -> &IntGauge {
        &self.live_streams
    }

    /// Makes the counters of a configured receiver appear at 0.
    pub fn register_receiver(&self, receiver: &str) {
        self.notifications.with_label_values(&[receiver]);
        self.notification_failures.with_label_values(&[receiver]);
    }

    /// Counts one notification that was sent, or given up.
    pub fn count_notification(&self, receiver: &str, delivered: bool) {
        self.notifications.with_label_values(&[receiver]).inc();
        if !delivered {
            self.notification_failures.with_label_values(&[receiver]).inc();
        }
    }

    /// For counters of other parts of the same process.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The text of everything registered, with its number of samples.
    ///
    /// # Errors
    /// A family without a sample, or one that cannot be written.
    pub fn encode(&self) -> Result<(String, usize), Error> {
        let text = TextEncoder::new().encode_to_string(&self.registry.gather())?;
        let samples = text.lines().filter(|line| !line.starts_with('#')).count();
        Ok((text, samples))
    }
}

/// Memory of this process that is in use and not swapped out; `None` where the system does not tell it as Linux does.
pub fn resident_bytes() -> Option<u64> {
    resident_in(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1_024)
}

fn opts(family: super::Family) -> Opts {
    debug_assert!(family.kind != Kind::Histogram || family.name.ends_with("_seconds"));
    Opts::new(family.name, family.help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_appears_at_zero_and_counts_failures_as_sent() {
        let metrics = ProcessMetrics::new().unwrap();
        metrics.register_receiver("hook");
        assert!(metrics.encode().unwrap().0.contains("tidemark_notification_failures_total{receiver=\"hook\"} 0"));
        metrics.count_notification("hook", true);
        metrics.count_notification("hook", false);
        let text = metrics.encode().unwrap().0;
        assert!(text.contains("tidemark_notifications_total{receiver=\"hook\"} 2"));
        assert!(text.contains("tidemark_notification_failures_total{receiver=\"hook\"} 1"));
    }

    #[test]
    fn resident_memory_is_read_as_the_kernel_writes_it() {
        assert_eq!(resident_in("Name:\tx\nVmRSS:\t   35408 kB\nVmSwap:\t 0 kB\n"), Some(36_257_792));
        assert_eq!(resident_in("VmRSS: many kB"), None);
        assert_eq!(resident_in(""), None);
    }

    #[test]
    fn requests_are_observed_by_route_and_code() {
        let metrics = ProcessMetrics::new().unwrap();
        metrics.observe_request("GET", "/groups", 200, Duration::from_millis(3));
        let (text, _) = metrics.encode().unwrap();
        assert!(
            text.contains("tidemark_http_request_duration_seconds_count{code=\"200\",method=\"GET\",route=\"/groups\"} 1")
        );
        assert!(text.contains("le=\"0.005\"} 1"));
    }
}
