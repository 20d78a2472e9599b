//! Which transactions hold partitions back: their producers by the partitions' leaders, the rest by their coordinators.
//!
//! Asked only while something is held back. Brokers before 3.0 know none of these requests: then the reason says so.

use super::{
    failures::Failures,
    groups::Links,
    wire::{
        Link, WireError,
        answers::{ActiveProducer, describe_producers, describe_transactions, list_transactions},
        reason_of,
    },
};
use crate::lag::{ClusterSnapshot, Coordinated, Offset, OpenTransaction, ReadFailure, Reading, Transactions, UnknownReason};
use chrono::DateTime;
use futures_util::future::join_all;
use kafka_protocol::{
    messages::{
        DescribeProducersRequest, DescribeTransactionsRequest, ListTransactionsRequest, ProducerId, TopicName,
        TransactionalId, describe_producers_request::TopicRequest,
    },
    protocol::StrBytes,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

/// Topic of the snapshot, and partition.
type Place = (u32, i32);
type Found = BTreeMap<Place, Result<Option<ActiveProducer>, UnknownReason>>;

/// Reads the transactions that hold `held` back; gives them, and what failed.
pub async fn read(links: &mut Links, snapshot: &ClusterSnapshot, held: &[Place]) -> (Transactions, Vec<ReadFailure>) {
    let mut transactions = Transactions::new();
    if held.is_empty() {
        return (transactions, Vec::new());
    }
    let mut failures = Failures::default();
    let found = find_producers(links, snapshot, held, &mut failures).await;
    let producers: BTreeSet<i64> = found.values().filter_map(|one| (*one).ok().flatten()).map(|one| one.id).collect();
    let coordinated =
        if producers.is_empty() { HashMap::new() } else { find_coordinated(links, &producers, &mut failures).await };
    for (place, producer) in found {
        let reading = match producer {
            Ok(Some(producer)) => {
                let coordinated = coordinated.get(&producer.id).cloned().unwrap_or(Coordinated::ByNobody);
                Reading::Known(OpenTransaction {
                    producer_id: producer.id,
                    producer_epoch: producer.epoch,
                    start: Offset::from_wire(producer.transaction_start).unwrap_or(Offset::ZERO),
                    coordinated,
                })
            }
            // It ended between the two readings.
            Ok(None) => continue,
            Err(reason) => Reading::Unknown(reason),
        };
        transactions.insert(place, reading);
    }
    (transactions, failures.into_list())
}

async fn find_producers(links: &mut Links, snapshot: &ClusterSnapshot, held: &[Place], failures: &mut Failures) -> Found {
    let mut work: BTreeMap<i32, Vec<Place>> = BTreeMap::new();
    for place in held {
        let log = usize::try_from(place.1)
            .ok()
            .and_then(|partition| snapshot.topics.get(place.0 as usize)?.partitions.get(partition));
        if let Some(leader) = log.and_then(|log| log.leader) {
            work.entry(leader).or_default().push(*place);
        }
    }
    work.values_mut().for_each(|places| places.sort_unstable());
    let asking = links.iter_mut().filter_map(|(broker, link)| {
        let places = work.remove(broker)?;
        Some(async move { (producers_of(link, snapshot, &places).await, places) })
    });
    let answered = join_all(asking).await;
    let mut found: Found = work.into_values().flatten().map(|place| (place, Err(UnknownReason::Unreachable))).collect();
    for (answer, places) in answered {
        match answer {
            Ok(answered) => found.extend(answered),
            Err(error) => found.extend(places.into_iter().map(|place| (place, Err(error.reason())))),
        }
    }
    for (place, reason) in found.iter().filter_map(|(place, one)| Some((place, one.err()?))) {
        let name = || snapshot.topics.get(place.0 as usize).map_or("", |topic| topic.name.as_ref());
        failures.add("producers of open transactions", None, reason, 1, || match reason {
            UnknownReason::NotAuthorized => format!("takes READ on topic {}", name()),
            _ => format!("first: topic {}", name()),
        });
    }
    found
}

async fn producers_of(link: &mut Link, snapshot: &ClusterSnapshot, places: &[Place]) -> Result<Found, WireError> {
    let name = |topic: u32| snapshot.topics.get(topic as usize).map_or("", |topic| topic.name.as_ref());
    let mut found = Found::new();
    link.ask(
        |_| {
            let topic = |places: &[Place]| {
                let topic = places.first().map_or("", |place| name(place.0)).to_owned();
                TopicRequest::default()
                    .with_name(TopicName(StrBytes::from_string(topic)))
                    .with_partition_indexes(places.iter().map(|place| place.1).collect())
            };
            vec![DescribeProducersRequest::default().with_topics(places.chunk_by(|a, b| a.0 == b.0).map(topic).collect())]
        },
        |_, _, cursor| {
            describe_producers(cursor, |topic, partition, code, first| {
                let place = places.iter().find(|place| place.1 == partition && name(place.0).as_bytes() == topic);
                if let Some(place) = place {
                    found.insert(*place, if code == 0 { Ok(first) } else { Err(reason_of(code)) });
                }
            })
        },
    )
    .await?;
    Ok(found)
}

/// What the coordinators say of these producers. One that is not in the answer has no open transaction anywhere.
async fn find_coordinated(
    links: &mut Links,
    producers: &BTreeSet<i64>,
    failures: &mut Failures,
) -> HashMap<i64, Coordinated> {
    let asking = links.iter_mut().map(|(broker, link)| async move { (*broker, ask_coordinator(link, producers).await) });
    let mut coordinated = HashMap::new();
    let mut silent = None;
    for (broker, answer) in join_all(asking).await {
        match answer {
            Ok(known) => coordinated.extend(known),
            Err((reason, detail)) => {
                failures.add("open transactions", Some(broker), reason, 1, || detail);
                silent = Some(reason);
            }
        }
    }
    if let Some(reason) = silent {
        for producer in producers {
            coordinated.entry(*producer).or_insert(Coordinated::Unread(reason));
        }
    }
    coordinated
}

type Refused = (UnknownReason, String);

async fn ask_coordinator(link: &mut Link, producers: &BTreeSet<i64>) -> Result<HashMap<i64, Coordinated>, Refused> {
    let refused = |error: WireError| (error.reason(), error.to_string());
    // Where one of them cannot be described, the answer names it by its id alone.
    let mut ids: HashMap<String, i64> = HashMap::new();
    let mut code = 0;
    link.ask(
        |version| {
            let mut request = ListTransactionsRequest::default()
                .with_producer_id_filters(producers.iter().map(|id| ProducerId(*id)).collect());
            if version >= 1 {
                request.duration_filter = -1;
            }
            vec![request]
        },
        |_, _, cursor| {
            ids.clear();
            code = list_transactions(cursor, |id, producer, _| {
                if producers.contains(&producer) {
                    ids.insert(id.into_owned(), producer);
                }
            })?;
            Ok(())
        },
    )
    .await
    .map_err(refused)?;
    if code != 0 {
        return Err((reason_of(code), format!("error {code}; it takes DESCRIBE on transactional ids")));
    }
    let mut known = HashMap::new();
    if ids.is_empty() {
        return Ok(known);
    }
    let wanted = ids.keys().map(|id| TransactionalId(StrBytes::from_string(id.clone()))).collect();
    link.ask(
        |_| vec![DescribeTransactionsRequest::default().with_transactional_ids(wanted)],
        |_, _, cursor| {
            describe_transactions(cursor, |one| {
                let began = DateTime::from_timestamp_millis(one.began_ms).filter(|_| one.began_ms >= 0);
                match (one.code, began) {
                    (0, Some(began)) if is_open(&one.state) => {
                        let timeout = Duration::from_millis(u64::try_from(one.timeout_ms).unwrap_or(0));
                        let transactional_id = Arc::from(one.id.as_ref());
                        known.insert(one.producer, Coordinated::Known { transactional_id, began, timeout });
                    }
                    (0, _) => {}
                    (code, _) => {
                        let producer = ids.get(one.id.as_ref()).copied();
                        known.extend(producer.map(|producer| (producer, Coordinated::Unread(reason_of(code)))));
                    }
                }
            })
        },
    )
    .await
    .map_err(refused)?;
    Ok(known)
}

/// Whether its markers are still to be written.
fn is_open(state: &str) -> bool {
    matches!(state, "Ongoing" | "PrepareCommit" | "PrepareAbort" | "PrepareEpochFence")
}
