//! How long Kafka keeps the offsets of a group that nobody is in (`offsets.retention.minutes`): a setting of the brokers, read
//! rarely, and only where some group is empty.

use super::{
    groups::Links,
    wire::{Link, WireError, answers::describe_configs, reason_of},
};
use crate::lag::{GroupKind, GroupSnapshot, Reading, UnknownReason};
use kafka_protocol::{
    messages::{DescribeConfigsRequest, describe_configs_request::DescribeConfigsResource},
    protocol::StrBytes,
};
use std::time::Duration;
use tokio::time::Instant;

/// Kafka's number for a broker among the resources that have a configuration; each broker answers for itself alone.
const BROKER_RESOURCE: i8 = 4;
const KEY: &str = "offsets.retention.minutes";

/// The setting as it was read last.
#[derive(Debug, Default)]
pub struct OffsetsRetention {
    read: Option<(Reading<Duration>, Instant)>,
}

impl OffsetsRetention {
    /// Reads it again when it is older than `every`. A failure is tried again as late as a success is.
    pub async fn refresh(&mut self, links: &mut Links, groups: &[GroupSnapshot], every: Duration) -> Reading<Duration> {
        let now = Instant::now();
        let known = self.read.filter(|(_, read)| now.duration_since(*read) < every);
        if known.is_none() && groups.iter().any(is_empty) {
            self.read = Some((read(links).await, now));
        }
        self.read.map_or(Reading::Unknown(UnknownReason::NotReadYet), |(reading, _)| reading)
    }
}

/// Whether the group's offsets may expire: share groups keep theirs in another way.
fn is_empty(group: &GroupSnapshot) -> bool {
    group.kind != GroupKind::Share && matches!(&group.members, Reading::Known(members) if members.is_empty())
}

/// Asks the first broker that answers.
async fn read(links: &mut Links) -> Reading<Duration> {
    let mut last = UnknownReason::Unreachable;
    for (broker, link) in links.iter_mut() {
        match read_at(*broker, link).await {
            Ok(reading) => return reading,
            Err(error) => last = error.reason(),
        }
    }
    Reading::Unknown(last)
}

async fn read_at(broker: i32, link: &mut Link) -> Result<Reading<Duration>, WireError> {
    let mut found = Reading::Unknown(UnknownReason::BadResponse);
    let resource = DescribeConfigsResource::default()
        .with_resource_type(BROKER_RESOURCE)
        .with_resource_name(StrBytes::from_string(broker.to_string()))
        .with_configuration_keys(Some(vec![StrBytes::from_static_str(KEY)]));
    link.ask(
        |_| vec![DescribeConfigsRequest::default().with_resources(vec![resource])],
        |version, _, cursor| {
            describe_configs(cursor, version, |code, _, entries| {
                let value = entries.iter().find(|entry| entry.0 == KEY.as_bytes());
                let minutes = value.and_then(|entry| entry.1.parse::<u64>().ok());
                found = match (code, minutes) {
                    (0, Some(minutes)) => Reading::Known(Duration::from_secs(minutes.saturating_mul(60))),
                    (0, None) => Reading::Unknown(UnknownReason::BadResponse),
                    (code, _) => Reading::Unknown(reason_of(code)),
                };
            })
        },
    )
    .await?;
    Ok(found)
}
