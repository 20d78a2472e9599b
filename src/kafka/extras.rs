//! What changes slowly and is read rarely: bytes on disk and retention settings, each kept until it is old.

use super::{
    cluster::{Named, Topology},
    failures::Failures,
    groups::{Links, preferred},
    hedge::first_answer,
    wire::{
        Link, WireError,
        answers::{describe_configs, describe_log_dirs},
        reason_of,
    },
};
use crate::lag::{CleanupPolicy, Reading, Retention, UnknownReason};
use futures_util::future::join_all;
use kafka_protocol::{
    messages::{DescribeConfigsRequest, DescribeLogDirsRequest, describe_configs_request::DescribeConfigsResource},
    protocol::StrBytes,
};
use std::{borrow::Cow, collections::HashMap, sync::Arc, time::Duration};
use tokio::time::Instant;

const TOPICS_PER_REQUEST: usize = 500;
/// Kafka's number for a topic among the resources that have a configuration.
const TOPIC_RESOURCE: i8 = 2;

/// What a topic's configuration says of how long it keeps records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kept {
    retention: Retention,
    cleanup: CleanupPolicy,
}

/// Bytes on disk by topic.
type Sizes = HashMap<Arc<str>, Reading<u64>>;

/// Values read in an earlier collection, with their age.
#[derive(Debug, Default)]
pub struct Extras {
    sizes: Sizes,
    sizes_read: Option<Instant>,
    sizes_failures: Failures,
    retention: HashMap<Arc<str>, (Reading<Kept>, Instant)>,
}

/// How old values may be before they are read again. What could not be read is tried again at the pace of the sizes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub sizes: Duration,
    pub retention: Duration,
}

impl Extras {
    pub fn size_of(&self, topic: &str) -> Reading<u64> {
        self.sizes.get(topic).copied().unwrap_or(Reading::Unknown(UnknownReason::NotReadYet))
    }

    pub fn retention_of(&self, topic: &str) -> Reading<Retention> {
        self.kept_of(topic).map(|kept| kept.retention)
    }

    pub fn cleanup_of(&self, topic: &str) -> Reading<CleanupPolicy> {
        self.kept_of(topic).map(|kept| kept.cleanup)
    }

    fn kept_of(&self, topic: &str) -> Reading<Kept> {
        self.retention.get(topic).map_or(Reading::Unknown(UnknownReason::NotReadYet), |(reading, _)| *reading)
    }

    /// What is old; `None` where nothing is.
    pub fn due(&self, topology: &Topology, pace: Pace) -> Option<Due> {
        let now = Instant::now();
        let is_due = |topic: &Arc<str>| match self.retention.get(topic) {
            Some((Reading::Known(_), read)) => now.duration_since(*read) >= pace.retention,
            Some((Reading::Unknown(_), read)) => now.duration_since(*read) >= pace.sizes,
            None => true,
        };
        let sizes = self.sizes_read.is_none_or(|read| now.duration_since(read) >= pace.sizes);
        let retention: Vec<Arc<str>> = topology.topics.iter().map(|topic| Arc::clone(&topic.name)).filter(is_due).collect();
        (sizes || !retention.is_empty()).then_some(Due { sizes, retention })
    }

    pub fn take_in(&mut self, read: Extra) {
        if let Some((sizes, failures)) = read.sizes {
            self.sizes = sizes;
            self.sizes_failures = failures;
            self.sizes_read = Some(read.begun);
        }
        self.retention.extend(read.retention.into_iter().map(|(topic, reading)| (topic, (reading, read.begun))));
    }

    /// Forgets topics that are gone. What could not be read is a failure of every collection until it can be.
    pub fn keep(&mut self, topology: &Topology, failures: &mut Failures) {
        failures.merge(self.sizes_failures.clone());
        self.retention.retain(|topic, _| matches!(topology.named(topic.as_bytes()), Named::Kept(_)));
        for (topic, (reading, _)) in &self.retention {
            if let Reading::Unknown(reason) = reading {
                failures.add_named("retention of topics", None, *reason, topic);
            }
        }
    }
}

/// What is to be read again.
#[derive(Debug)]
pub struct Due {
    sizes: bool,
    /// Topics by name.
    retention: Vec<Arc<str>>,
}

/// What was read again.
#[derive(Debug)]
pub struct Extra {
    begun: Instant,
    sizes: Option<(Sizes, Failures)>,
    retention: HashMap<Arc<str>, Reading<Kept>>,
}

/// Reads what is due. Retention comes first: sizes can take long, and nothing is judged by them.
pub async fn read(links: &mut Links, topology: &Topology, due: Due) -> Extra {
    let mut extra = Extra { begun: Instant::now(), sizes: None, retention: HashMap::new() };
    if !due.retention.is_empty() {
        extra.retention = read_retention(links, &due.retention).await;
    }
    if due.sizes {
        let mut failures = Failures::default();
        let sizes = read_sizes(links, topology, &mut failures).await;
        extra.sizes = Some((sizes, failures));
    }
    extra
}

/// Sums the replicas on all brokers. A topic with a replica on a broker that did not answer has no known size.
async fn read_sizes(links: &mut Links, topology: &Topology, failures: &mut Failures) -> Sizes {
    let asking = links.iter_mut().map(|(broker, link)| async move { (*broker, sizes_on(link, topology).await) });
    let mut total = vec![0_u64; topology.topics.len()];
    let mut silent: HashMap<i32, UnknownReason> = HashMap::new();
    let mut answered = Vec::new();
    for (broker, answer) in join_all(asking).await {
        match answer {
            Ok(sizes) => {
                answered.push(broker);
                total.iter_mut().zip(sizes).for_each(|(total, size)| *total = total.saturating_add(size));
            }
            Err((reason, detail)) => {
                failures.add("sizes on disk", Some(broker), reason, 0, || detail);
                silent.insert(broker, reason);
            }
        }
    }
    let missing = |broker: &i32| {
        let reason = silent.get(broker).copied().unwrap_or(UnknownReason::Unreachable);
        (!answered.contains(broker)).then_some(reason)
    };
    let size = |(topic, total): (&super::cluster::Topic, u64)| {
        let reading =
            topic.replicas.iter().find_map(missing).or(topic.error).map_or(Reading::Known(total), Reading::Unknown);
        (Arc::clone(&topic.name), reading)
    };
    topology.topics.iter().zip(total).map(size).collect()
}

async fn sizes_on(link: &mut Link, topology: &Topology) -> Result<Vec<u64>, (UnknownReason, String)> {
    let mut sizes = vec![0_u64; topology.topics.len()];
    let mut code = 0;
    link.ask(
        |_| vec![DescribeLogDirsRequest::default().with_topics(None)],
        |version, _, cursor| {
            sizes.fill(0);
            let mut last: (&[u8], Option<u32>) = (&[], None);
            code = describe_log_dirs(cursor, version, |topic, bytes| {
                if last.0 != topic {
                    let Named::Kept(index) = topology.named(topic) else { return last = (topic, None) };
                    last = (topic, Some(index));
                }
                if let Some(size) = last.1.and_then(|index| sizes.get_mut(index as usize)) {
                    *size = size.saturating_add(bytes);
                }
            })?;
            Ok(())
        },
    )
    .await
    .map_err(|error| (error.reason(), error.to_string()))?;
    match code {
        0 => Ok(sizes),
        code => Err((reason_of(code), format!("error {code}"))),
    }
}

/// Asks one broker, for every broker knows every topic's configuration; and others where it does not answer.
async fn read_retention(links: &mut Links, topics: &[Arc<str>]) -> HashMap<Arc<str>, Reading<Kept>> {
    let (order, patience) = preferred(links.values_mut());
    let asking = order.into_iter().map(|link| retention_at(link, topics)).collect();
    first_answer(asking, 1, patience).await.unwrap_or_else(|errors| {
        let reason = errors.last().map_or(UnknownReason::Unreachable, WireError::reason);
        topics.iter().map(|topic| (Arc::clone(topic), Reading::Unknown(reason))).collect()
    })
}

async fn retention_at(link: &mut Link, topics: &[Arc<str>]) -> Result<HashMap<Arc<str>, Reading<Kept>>, WireError> {
    let mut read = HashMap::new();
    link.ask(
        |_| topics.chunks(TOPICS_PER_REQUEST).map(configs_of).collect(),
        |version, _, cursor| {
            describe_configs(cursor, version, |code, topic, entries| {
                let reading = match code {
                    0 => kept(&entries),
                    code => Reading::Unknown(reason_of(code)),
                };
                read.insert(String::from_utf8_lossy(topic).into(), reading);
            })
        },
    )
    .await?;
    Ok(read)
}

fn configs_of(topics: &[Arc<str>]) -> DescribeConfigsRequest {
    let keys = || Some(["cleanup.policy", "retention.ms"].map(StrBytes::from_static_str).to_vec());
    let resource = |topic: &Arc<str>| {
        DescribeConfigsResource::default()
            .with_resource_type(TOPIC_RESOURCE)
            .with_resource_name(StrBytes::from_string(topic.as_ref().to_owned()))
            .with_configuration_keys(keys())
    };
    DescribeConfigsRequest::default().with_resources(topics.iter().map(resource).collect())
}

fn kept(entries: &[(&[u8], Cow<'_, str>)]) -> Reading<Kept> {
    let value = |key: &str| entries.iter().find(|entry| entry.0 == key.as_bytes()).map(|entry| entry.1.as_ref());
    let (Some(policy), Some(ms)) = (value("cleanup.policy"), value("retention.ms")) else {
        return Reading::Unknown(UnknownReason::BadResponse);
    };
    let Ok(ms) = ms.parse::<i64>() else { return Reading::Unknown(UnknownReason::BadResponse) };
    let does = |what: &str| policy.split(',').any(|policy| policy.trim() == what);
    let by_time = u64::try_from(ms).map_or(Retention::Forever, |ms| Retention::Time(Duration::from_millis(ms)));
    let (cleanup, retention) = match (does("compact"), does("delete")) {
        (false, true) => (CleanupPolicy::Delete, by_time),
        (true, true) => (CleanupPolicy::CompactAndDelete, by_time),
        (true, false) => (CleanupPolicy::Compact, Retention::Compacted),
        (false, false) => (CleanupPolicy::Nothing, Retention::Forever),
    };
    Reading::Known(Kept { retention, cleanup })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(policy: &'static str, ms: &'static str) -> Reading<Retention> {
        both(policy, ms).map(|kept| kept.retention)
    }

    fn both(policy: &'static str, ms: &'static str) -> Reading<Kept> {
        kept(&[(b"cleanup.policy", policy.into()), (b"retention.ms", ms.into())])
    }

    #[test]
    fn the_policy_is_told_as_kafka_writes_it_whatever_its_order() {
        let label = |policy| both(policy, "1000").known().unwrap().cleanup.label();
        let labels = ["delete", "compact", "compact,delete", "delete, compact", ""].map(label);
        assert_eq!(labels, ["delete", "compact", "compact,delete", "compact,delete", ""]);
        assert_eq!(of("", "1000"), Reading::Known(Retention::Forever), "nothing is taken away");
    }

    #[test]
    fn retention_counts_only_where_the_topic_deletes() {
        assert_eq!(of("delete", "60000"), Reading::Known(Retention::Time(Duration::from_secs(60))));
        assert_eq!(of("compact,delete", "1000"), Reading::Known(Retention::Time(Duration::from_secs(1))));
        assert_eq!(of("compact", "60000"), Reading::Known(Retention::Compacted));
        assert_eq!(of("compact", "-1"), Reading::Known(Retention::Compacted));
        assert_eq!(of("compact,delete", "-1"), Reading::Known(Retention::Forever));
        assert_eq!(of("delete", "-1"), Reading::Known(Retention::Forever));
    }

    #[test]
    fn a_setting_that_is_missing_or_garbled_is_unknown() {
        assert_eq!(of("delete", "soon"), Reading::Unknown(UnknownReason::BadResponse));
        assert_eq!(kept(&[]), Reading::Unknown(UnknownReason::BadResponse));
    }
}
