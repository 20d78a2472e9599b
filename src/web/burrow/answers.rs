//! The envelope of every answer: `error`, `message`, what was asked for, and the request.

use crate::{
    lag::CommitSample,
    monitor::{
        burrow::{BurrowGroup, BurrowPartition},
        view::ClusterView,
    },
};
use axum::{
    Json,
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::{collections::BTreeMap, convert::Infallible};

/// What was asked for: the path without its query, and the name under which we were asked.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Request {
    url: String,
    host: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Request {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("");
        let url = percent_encoding::percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned();
        Ok(Self { url, host: host.to_owned() })
    }
}

#[derive(Serialize)]
struct Envelope<'a, B> {
    error: bool,
    message: &'a str,
    #[serde(flatten)]
    body: B,
    request: &'a Request,
}

/// What an answer carries, under Burrow's name for it.
#[derive(Serialize)]
pub(super) enum Answer<'a> {
    #[serde(rename = "clusters")]
    Clusters(Vec<&'a str>),
    #[serde(rename = "module")]
    Module(ClusterModule<'a>),
    #[serde(rename = "topics")]
    Topics(Vec<&'a str>),
    /// Log ends by partition; null where one is not known.
    #[serde(rename = "offsets")]
    Offsets(Vec<Option<u64>>),
    #[serde(rename = "consumers")]
    Consumers(Vec<&'a str>),
    #[serde(rename = "topics")]
    Consumer(BTreeMap<&'a str, Vec<Consumed<'a>>>),
    #[serde(rename = "status")]
    Status(Status<'a>),
}

#[derive(Serialize)]
struct Nothing {}

pub(super) fn ok(request: &Request, message: &str, body: Answer<'_>) -> Response {
    answer(StatusCode::OK, Envelope { error: false, message, body, request })
}

/// An answer that is no error to Burrow, though its code is one.
pub(super) fn ok_with(request: &Request, code: StatusCode, message: &str, body: Answer<'_>) -> Response {
    answer(code, Envelope { error: false, message, body, request })
}

pub(super) fn error(request: &Request, code: StatusCode, message: &str) -> Response {
    answer(code, Envelope { error: true, message, body: Nothing {}, request })
}

fn answer(code: StatusCode, body: impl Serialize) -> Response {
    (code, Json(body)).into_response()
}

/// How a cluster is read.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ClusterModule<'a> {
    class_name: &'static str,
    servers: Vec<&'a str>,
    client_profile: ClientProfile,
    /// Seconds.
    topic_refresh: u64,
    offset_refresh: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ClientProfile {
    name: &'static str,
    client_id: &'static str,
    kafka_version: &'static str,
    tls: Option<()>,
    sasl: Option<()>,
}

impl<'a> ClusterModule<'a> {
    pub fn of(cluster: &'a ClusterView) -> Self {
        let profile = ClientProfile { name: "", client_id: "", kafka_version: "", tls: None, sasl: None };
        let refresh = cluster.interval.as_secs().max(1);
        Self {
            class_name: "kafka",
            servers: cluster.bootstrap.split(',').map(str::trim).collect(),
            client_profile: profile,
            topic_refresh: refresh,
            offset_refresh: refresh,
        }
    }
}

/// One commit; when it was made and when it was seen are the same to a reader of committed offsets.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Commit {
    offset: u64,
    timestamp: i64,
    #[serde(rename = "observedAt")]
    observed_at: i64,
    lag: Option<u64>,
}

impl From<&CommitSample> for Commit {
    fn from(sample: &CommitSample) -> Self {
        let CommitSample { offset, timestamp_ms, lag } = *sample;
        Self { offset, timestamp: timestamp_ms, observed_at: timestamp_ms, lag }
    }
}

/// One partition of a consumer's detail. Here alone Burrow writes `current-lag`.
#[derive(Default, Serialize)]
pub(super) struct Consumed<'a> {
    offsets: Vec<Commit>,
    owner: &'a str,
    client_id: &'a str,
    #[serde(rename = "current-lag")]
    current_lag: Option<u64>,
}

impl<'a> Consumed<'a> {
    pub fn of(partition: &'a BurrowPartition) -> Self {
        Self {
            offsets: partition.commits.iter().map(Commit::from).collect(),
            owner: &partition.owner,
            client_id: &partition.client_id,
            current_lag: partition.current_lag,
        }
    }

    /// A partition in which nothing was committed: its lag is not known, where Burrow writes 0.
    pub fn nothing() -> Self {
        Self::default()
    }
}

#[derive(Serialize)]
pub(super) struct Status<'a> {
    cluster: &'a str,
    group: &'a str,
    status: &'static str,
    complete: f64,
    partitions: Vec<Partition<'a>>,
    partition_count: usize,
    maxlag: Option<Partition<'a>>,
    totallag: u64,
}

#[derive(Serialize)]
struct Partition<'a> {
    topic: &'a str,
    partition: i32,
    owner: &'a str,
    client_id: &'a str,
    status: &'static str,
    start: Option<Commit>,
    end: Option<Commit>,
    current_lag: Option<u64>,
    complete: f64,
}

impl<'a> Partition<'a> {
    fn of(partition: &'a BurrowPartition) -> Self {
        Self {
            topic: &partition.topic,
            partition: partition.partition,
            owner: &partition.owner,
            client_id: &partition.client_id,
            status: partition.status.label(),
            start: partition.commits.first().map(Commit::from),
            end: partition.commits.last().map(Commit::from),
            current_lag: partition.current_lag,
            complete: partition.complete,
        }
    }
}

impl<'a> Status<'a> {
    /// `shown` picks the partitions that are listed one by one.
    pub fn of(cluster: &'a str, group: &'a str, judged: &'a BurrowGroup, shown: impl Fn(&&BurrowPartition) -> bool) -> Self {
        Self {
            cluster,
            group,
            status: judged.status.label(),
            complete: judged.complete,
            partitions: judged.partitions.iter().filter(shown).map(Partition::of).collect(),
            partition_count: judged.partitions.len(),
            maxlag: judged.max_lag().map(Partition::of),
            totallag: judged.total_lag,
        }
    }

    pub fn not_found(cluster: &'a str, group: &'a str) -> Self {
        let status = crate::lag::BurrowStatus::NotFound.label();
        let (partitions, maxlag) = (Vec::new(), None);
        Self { cluster, group, status, complete: 1.0, partitions, partition_count: 0, maxlag, totallag: 0 }
    }
}
