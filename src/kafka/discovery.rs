//! Finding the cluster: who describes it, which brokers it has, and what is said when nobody can be reached.

use super::{
    BrokerAttempt, CollectError,
    cluster::{BrokerAddress, MetadataFailure, Topology, Wanted, read_topology},
    groups::{Links, preferred},
    hedge::first_answer,
    properties::ClientProperties,
    wire::{Backoff, ConnectionSettings, Link, WireError},
};
use crate::lag::UnknownReason;
use std::{sync::Arc, time::Duration};

/// Brokers that are asked for metadata at the same time while none is connected.
const METADATA_AT_ONCE: usize = 4;

/// Asks a broker that is connected; where it does not answer soon, others as well. Gives the cluster, and the address of
/// the broker that described it.
pub async fn find<'a>(
    known: impl Iterator<Item = &'a mut Link>,
    wanted: Wanted<'_>,
) -> Result<(Topology, String), CollectError> {
    let (order, patience) = preferred(known);
    let at_once = if order.first().is_some_and(|link| link.is_connected()) { 1 } else { METADATA_AT_ONCE };
    // Made at once: a stream that makes them one by one would tie this future to one thread.
    let asking = order.into_iter().map(|link| ask_for_topology(link, wanted)).collect();
    first_answer(asking, at_once, patience).await.map_err(|mut tried| {
        tried.sort_by(|a, b| a.address.cmp(&b.address));
        tried.dedup_by(|a, b| a.address == b.address);
        CollectError::NoBroker { tried }
    })
}

/// Metadata of a bootstrap server alone is worth nothing: an error if no broker has answered under its own address.
/// `source` is the address that described the cluster.
pub fn nobody_answered(links: &Links, source: &str) -> Option<CollectError> {
    let silent = |link: &Link| link.silence().map(|error| failed_attempt(link, error));
    let tried: Vec<BrokerAttempt> = links.values().map(silent).collect::<Option<_>>()?;
    let elsewhere = tried.iter().all(|attempt| attempt.address != source);
    match tried.is_empty() {
        true => None,
        false if elsewhere => Some(CollectError::Unreached { described_by: source.to_owned(), tried }),
        false => Some(CollectError::NoBroker { tried }),
    }
}

/// Keeps one link for each broker of the cluster, at the address that the cluster advertises. A new one may take `within` for
/// its exchanges of this collection.
pub fn meet(
    mut known: Links,
    topology: &Topology,
    settings: &Arc<ConnectionSettings>,
    properties: &ClientProperties,
    within: Duration,
) -> Links {
    let link = |broker: &BrokerAddress| {
        let address = address_of(&broker.host, broker.port);
        let link = known.remove(&broker.id).filter(|link| link.address() == address);
        let begun = || {
            let mut link = Link::new(address, Arc::clone(settings), backoff(properties));
            link.begin(within);
            link
        };
        (broker.id, link.unwrap_or_else(begun))
    };
    topology.brokers.iter().map(link).collect()
}

pub fn backoff(properties: &ClientProperties) -> Backoff {
    Backoff { first: properties.backoff, longest: properties.backoff_max }
}

pub fn address_of(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Gives the cluster, and the address of the broker that described it.
async fn ask_for_topology(link: &mut Link, wanted: Wanted<'_>) -> Result<(Topology, String), BrokerAttempt> {
    match read_topology(link, wanted).await {
        Ok(topology) => Ok((topology, link.address().to_owned())),
        Err(failure) => Err(attempt(link, failure)),
    }
}

fn failed_attempt(link: &Link, error: &WireError) -> BrokerAttempt {
    BrokerAttempt { address: link.address().to_owned(), reason: error.reason(), detail: error.to_string() }
}

fn attempt(link: &Link, failure: MetadataFailure) -> BrokerAttempt {
    let (reason, detail) = match failure {
        // A listener that wants TLS or SASL closes where Kafka would answer.
        MetadataFailure::Wire(error @ WireError::Closed(_)) => {
            (UnknownReason::BadResponse, format!("{error}, as a listener does that wants another security.protocol"))
        }
        MetadataFailure::Wire(error) => return failed_attempt(link, &error),
        MetadataFailure::Kafka(reason) => (reason, reason.to_string()),
        MetadataFailure::NoBrokers => (
            UnknownReason::Unreachable,
            "it names no broker of the cluster: it has just started, or is cut off from its controllers".to_owned(),
        ),
    };
    BrokerAttempt { address: link.address().to_owned(), reason, detail }
}
