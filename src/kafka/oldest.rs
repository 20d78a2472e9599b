//! Reads the timestamps of records that groups wait at, from the leaders of their partitions, under a budget.
//!
//! A broker gives whole batches only, and none that is larger than what a partition may take, but for the first of an
//! answer. So many partitions are asked for at once with little room each; those whose batch is larger are asked for one
//! by one, and give exactly that batch.

use super::{
    failures::Failures,
    groups::Links,
    wire::{
        Link, Scan, WireError,
        answers::{FetchedPartition, fetch},
        first_record, reason_of,
    },
};
use crate::lag::{ClusterSnapshot, OldestRecords, RecordFound, RecordNeed, RecordWanted, UnknownReason};
use futures_util::future::join_all;
use kafka_protocol::{
    messages::{
        BrokerId, FetchRequest, TopicName,
        fetch_request::{FetchPartition, FetchTopic},
    },
    protocol::StrBytes,
};
use std::collections::BTreeMap;

/// What one collection may read at most: the timestamps of some thousand records at once, and what they usually weigh.
/// What does not fit is read in the next collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordBudget {
    pub records: usize,
    /// Passed by one wave of batches at most.
    pub bytes: u64,
}

impl RecordBudget {
    pub const DEFAULT: Self = Self { records: 2_000, bytes: 8 << 20 };
}

/// Rounds of questions in one collection: enough to halve the number of records that are kept sixteen times.
const MOST_ROUNDS: usize = 24;
const PARTITIONS_PER_REQUEST: usize = 100;
/// Room for each partition when many are asked for: 0.8 % of 256 KiB.
const ROOM_BYTES: i32 = 2 << 10;
/// Batches that are asked for one by one before the budget is looked at again.
const WAVE: usize = 16;

/// What stands before an answer: its length, and whose it is.
const FRAME_HEAD: u64 = 8;

type Answer = Result<RecordFound, UnknownReason>;

/// Reads what `needs` asks for, round by round, until all is known or the budget is used up.
pub async fn read(
    links: &mut Links,
    snapshot: &ClusterSnapshot,
    needs: &[RecordNeed],
    records: &mut OldestRecords,
    budget: RecordBudget,
) {
    let mut received = 0;
    let mut room = budget.records;
    for _ in 0..MOST_ROUNDS {
        let left = budget.bytes.saturating_sub(received);
        let wanted = records.next_round(needs, if left > 0 { room } else { 0 });
        if wanted.is_empty() {
            break;
        }
        room -= wanted.len().min(room);
        let (answers, bytes) = ask_leaders(links, snapshot, &wanted, left).await;
        received += bytes;
        records.count_bytes(bytes);
        for (wanted, answer) in answers {
            records.take(wanted, answer);
        }
    }
}

/// Lists what could not be read, and the right that is missing where one is.
pub fn failures(snapshot: &ClusterSnapshot, needs: &[RecordNeed], records: &OldestRecords) -> Failures {
    let mut failures = Failures::default();
    let partitions = needs.chunk_by(|a, b| (a.place.slot, a.place.partition) == (b.place.slot, b.place.partition));
    for need in partitions.filter_map(<[RecordNeed]>::first) {
        let Some(reason) = records.failure(need.place) else { continue };
        let name = || snapshot.topics.get(need.topic as usize).map_or("", |topic| topic.name.as_ref());
        failures.add("timestamps of records", None, reason, 1, || match reason {
            UnknownReason::NotAuthorized => format!("takes READ on topic {}", name()),
            _ => format!("first: topic {}", name()),
        });
    }
    failures
}

/// Gives the answers, and what they weighed.
async fn ask_leaders(
    links: &mut Links,
    snapshot: &ClusterSnapshot,
    wanted: &[RecordWanted],
    bytes: u64,
) -> (Vec<(RecordWanted, Answer)>, u64) {
    let mut work: BTreeMap<i32, Vec<RecordWanted>> = BTreeMap::new();
    let mut answers = Vec::with_capacity(wanted.len());
    for one in wanted {
        match leader(snapshot, one).filter(|id| links.contains_key(id)) {
            Some(id) => work.entry(id).or_default().push(*one),
            None => answers.push((*one, Err(UnknownReason::NoLeader))),
        }
    }
    let share = bytes / work.len().max(1) as u64;
    let asking = links.iter_mut().filter_map(|(id, link)| {
        let wanted = work.remove(id)?;
        Some(async move { ask_leader(link, snapshot, wanted, share).await })
    });
    let mut received = 0;
    for asked in join_all(asking).await {
        received += asked.weighed;
        answers.extend(asked.answers);
    }
    (answers, received)
}

fn leader(snapshot: &ClusterSnapshot, wanted: &RecordWanted) -> Option<i32> {
    let partition = usize::try_from(wanted.need.place.partition).ok()?;
    snapshot.topics.get(wanted.need.topic as usize)?.partitions.get(partition)?.leader
}

/// Asks one broker: all at once with little room each, then one by one for what did not fit. What the share of the budget
/// did not reach has no answer.
async fn ask_leader<'a>(link: &mut Link, snapshot: &'a ClusterSnapshot, wanted: Vec<RecordWanted>, share: u64) -> Asked<'a> {
    let mut asked = Asked { snapshot, weighed: 0, answers: Vec::with_capacity(wanted.len()) };
    let crowds = crowds(wanted);
    let room = ROOM_BYTES;
    let mut large = Vec::new();
    let mut outcome = asked.exchange(link, &crowds, room, &mut large).await;
    for wave in large.chunks(WAVE) {
        if outcome.is_err() || asked.weighed >= share {
            break;
        }
        let alone: Vec<Vec<RecordWanted>> = wave.iter().map(|one| vec![*one]).collect();
        let mut still_cut = Vec::new();
        outcome = asked.exchange(link, &alone, 1, &mut still_cut).await;
        // Alone a batch comes whole, unless the log was cut or moved meanwhile.
        asked.answers.extend(still_cut.into_iter().map(|one| (one, Err(UnknownReason::NotLeader))));
    }
    if let Err(error) = outcome {
        let reason = error.reason();
        let unanswered: Vec<RecordWanted> = crowds
            .iter()
            .flatten()
            .filter(|one| !asked.answers.iter().any(|(answered, _)| answered == *one))
            .copied()
            .collect();
        asked.answers.extend(unanswered.into_iter().map(|one| (one, Err(reason))));
    }
    asked
}

/// Splits questions, sorted by place, into requests: one names a partition once.
fn crowds(wanted: Vec<RecordWanted>) -> Vec<Vec<RecordWanted>> {
    let mut layers: Vec<Vec<RecordWanted>> = Vec::new();
    for of_partition in wanted.chunk_by(|a, b| partition_of(a) == partition_of(b)) {
        for (depth, one) in of_partition.iter().enumerate() {
            match layers.get_mut(depth) {
                Some(layer) => layer.push(*one),
                None => layers.push(vec![*one]),
            }
        }
    }
    layers.iter().flat_map(|layer| layer.chunks(PARTITIONS_PER_REQUEST)).map(<[RecordWanted]>::to_vec).collect()
}

const fn partition_of(wanted: &RecordWanted) -> (u32, i32) {
    (wanted.need.topic, wanted.need.place.partition)
}

struct Asked<'a> {
    snapshot: &'a ClusterSnapshot,
    /// Bytes of the answers that have come, whole.
    weighed: u64,
    answers: Vec<(RecordWanted, Answer)>,
}

impl Asked<'_> {
    /// Asks; what came without a whole batch goes into `cut`.
    async fn exchange(
        &mut self,
        link: &mut Link,
        crowds: &[Vec<RecordWanted>],
        room: i32,
        cut: &mut Vec<RecordWanted>,
    ) -> Result<(), WireError> {
        let snapshot = self.snapshot;
        link.ask(
            |version| crowds.iter().map(|crowd| request(snapshot, version, crowd, room)).collect(),
            |version, index, cursor| {
                self.weighed += cursor.rest().len() as u64 + FRAME_HEAD;
                let crowd = crowds.get(index).map_or(&[][..], Vec::as_slice);
                let mut heard = vec![None; crowd.len()];
                let mut hint = 0;
                let code = fetch(cursor, version, |fetched| {
                    if let Some(place) = find(snapshot, crowd, &fetched, hint) {
                        hint = place + 1;
                        if let (Some(slot), Some(one)) = (heard.get_mut(place), crowd.get(place)) {
                            *slot = Some(answer_of(one, &fetched));
                        }
                    }
                })?;
                let silent = if code == 0 { UnknownReason::BadResponse } else { reason_of(code) };
                for (one, heard) in crowd.iter().zip(heard) {
                    match heard {
                        Some(Heard::Answer(answer)) => self.answers.push((*one, answer)),
                        Some(Heard::Cut) => cut.push(*one),
                        None => self.answers.push((*one, Err(silent))),
                    }
                }
                Ok(())
            },
        )
        .await
    }
}

#[derive(Clone, Copy)]
enum Heard {
    Answer(Answer),
    Cut,
}

fn answer_of(wanted: &RecordWanted, fetched: &FetchedPartition<'_>) -> Heard {
    match fetched.code {
        0 => match first_record(fetched.records, wanted.from, wanted.need.end) {
            Ok(Scan::Found(found)) => Heard::Answer(Ok(found)),
            Ok(Scan::Cut) => Heard::Cut,
            Err(_) => Heard::Answer(Err(UnknownReason::BadResponse)),
        },
        code => Heard::Answer(Err(reason_of(code))),
    }
}

/// Answers mostly keep the order of the request, so `hint` is tried first.
fn find(snapshot: &ClusterSnapshot, crowd: &[RecordWanted], fetched: &FetchedPartition<'_>, hint: usize) -> Option<usize> {
    let is_same = |one: &RecordWanted| {
        let topic = snapshot.topics.get(one.need.topic as usize);
        one.need.place.partition == fetched.partition && topic.is_some_and(|topic| topic.name.as_bytes() == fetched.topic)
    };
    crowd.get(hint).is_some_and(is_same).then_some(hint).or_else(|| crowd.iter().position(is_same))
}

/// A request that waits for nothing; uncommitted records count, as they do for the lag.
fn request(snapshot: &ClusterSnapshot, version: i16, crowd: &[RecordWanted], room: i32) -> FetchRequest {
    let partition = |one: &RecordWanted| {
        FetchPartition::default()
            .with_partition(one.need.place.partition)
            .with_fetch_offset(i64::try_from(one.from.get()).unwrap_or(i64::MAX))
            .with_partition_max_bytes(room)
    };
    let topic = |of_topic: &[RecordWanted]| {
        let index = of_topic.first().map_or(0, |one| one.need.topic as usize);
        let name = snapshot.topics.get(index).map_or_else(String::new, |topic| topic.name.to_string());
        FetchTopic::default()
            .with_topic(TopicName(StrBytes::from_string(name)))
            .with_partitions(of_topic.iter().map(partition).collect())
    };
    let mut request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_max_wait_ms(0)
        .with_min_bytes(0)
        .with_max_bytes(room.saturating_mul(i32::try_from(crowd.len()).unwrap_or(i32::MAX)))
        .with_topics(crowd.chunk_by(|a, b| a.need.topic == b.need.topic).map(topic).collect());
    if version >= 7 {
        // No session: each request stands for itself.
        request.session_epoch = -1;
    }
    request
}
