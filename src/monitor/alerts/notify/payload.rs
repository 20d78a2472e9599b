//! What a receiver is sent: Alertmanager's webhook message, version 4.

use crate::monitor::{
    alerts::definition,
    view::{AlertState, AlertView},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sha1::{Digest, Sha1};
use std::{collections::BTreeMap, fmt::Write as _};

type Pairs = BTreeMap<String, String>;

/// One message. Field names and shapes are Alertmanager's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    version: &'static str,
    group_key: String,
    truncated_alerts: u64,
    status: &'static str,
    receiver: String,
    group_labels: Pairs,
    common_labels: Pairs,
    common_annotations: Pairs,
    #[serde(rename = "externalURL")]
    external_url: String,
    alerts: Vec<Alert>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    status: &'static str,
    labels: Pairs,
    annotations: Pairs,
    starts_at: DateTime<Utc>,
    /// The zero time while it fires.
    ends_at: DateTime<Utc>,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

impl Message {
    pub(super) fn new(receiver: &str, external_url: &str, alerts: &[&AlertView]) -> Self {
        Self::of(receiver, external_url, alerts.iter().map(|alert| Alert::new(alert, external_url)).collect())
    }

    /// An alert that says that nothing is the matter, to see whether it arrives.
    pub(super) fn test(receiver: &str, external_url: &str, now: DateTime<Utc>) -> Self {
        let pairs =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let labels: Pairs = pairs(&[("alertname", TEST_ALERT), ("severity", "none")]);
        let summary = format!("A test of the receiver {receiver}: nothing is the matter");
        let description = "Sent by hand from the page of alerts. It is not resolved by another message.";
        let alert = Alert {
            status: "firing",
            fingerprint: fingerprint(&labels),
            labels,
            annotations: pairs(&[("summary", &summary), ("description", description)]),
            starts_at: now,
            ends_at: ZERO_TIME,
            generator_url: page_of(external_url),
        };
        Self::of(receiver, external_url, vec![alert])
    }

    fn of(receiver: &str, external_url: &str, alerts: Vec<Alert>) -> Self {
        let firing = alerts.iter().any(|alert| alert.status == "firing");
        Self {
            version: "4",
            group_key: format!("tidemark/{receiver}"),
            truncated_alerts: 0,
            status: if firing { "firing" } else { "resolved" },
            receiver: receiver.to_owned(),
            group_labels: Pairs::new(),
            common_labels: common(alerts.iter().map(|alert| &alert.labels)),
            common_annotations: common(alerts.iter().map(|alert| &alert.annotations)),
            external_url: external_url.to_owned(),
            alerts,
        }
    }
}

impl Alert {
    fn new(alert: &AlertView, external_url: &str) -> Self {
        let mut labels: Pairs = alert.labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        labels.insert("alertname".to_owned(), alert.name.to_owned());
        labels.insert("cluster_name".to_owned(), alert.cluster.to_string());
        labels.insert("severity".to_owned(), alert.severity.label().to_owned());
        if let Some(group) = &alert.group {
            labels.insert("group".to_owned(), group.to_string());
        }
        let runbook = runbook(alert.name, external_url);
        let annotations = [("summary", &alert.summary), ("description", &alert.description), ("runbook_url", &runbook)];
        let resolved = alert.state == AlertState::Resolved;
        Self {
            status: if resolved { "resolved" } else { "firing" },
            fingerprint: fingerprint(&labels),
            labels,
            annotations: annotations.map(|(name, text)| (name.to_owned(), text.clone())).into(),
            starts_at: alert.active_since,
            ends_at: alert.resolved_at.filter(|_| resolved).unwrap_or(ZERO_TIME),
            generator_url: page_of(external_url),
        }
    }
}

/// The name of the alert that a test sends.
const TEST_ALERT: &str = "TidemarkTest";

fn page_of(external_url: &str) -> String {
    if external_url.is_empty() { String::new() } else { format!("{external_url}/alerts") }
}

/// The page of the monitor itself, where it is known how to reach it; else the file of the project.
fn runbook(alert: &str, external_url: &str) -> String {
    match definition(alert) {
        Some(_) if !external_url.is_empty() => format!("{external_url}/runbooks/{alert}"),
        Some(row) => row.runbook(),
        None => String::new(),
    }
}

/// Year 1: how Alertmanager writes "not ended".
const ZERO_TIME: DateTime<Utc> = match DateTime::from_timestamp(-62_135_596_800, 0) {
    Some(time) => time,
    None => DateTime::UNIX_EPOCH,
};

/// What all of them have in common.
fn common<'a>(mut all: impl Iterator<Item = &'a Pairs>) -> Pairs {
    let mut shared = all.next().cloned().unwrap_or_default();
    for pairs in all {
        shared.retain(|name, value| pairs.get(name) == Some(value));
    }
    shared
}

/// The same labels have the same fingerprint: receivers match a resolved alert to the firing one by it.
fn fingerprint(labels: &Pairs) -> String {
    let mut hash = Sha1::new();
    for (name, value) in labels {
        hash.update(name.as_bytes());
        hash.update([0xff]);
        hash.update(value.as_bytes());
        hash.update([0xff]);
    }
    hash.finalize().iter().take(8).fold(String::with_capacity(16), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
