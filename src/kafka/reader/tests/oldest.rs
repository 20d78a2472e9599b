//! Records whose timestamps are read: what is asked for in which room, what each answer comes to, and what it cost.

use super::*;
use crate::lag::{
    History, HistoryLimits, OldestRecords, ReadFailure, RecordFound, RecordKnown, RecordNeed, Stamp, needed_records,
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Record, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};

const INTERVAL: Duration = Duration::from_secs(10);

/// What the broker offers, Fetch among it.
fn with_fetch() -> Vec<(i16, i16, i16)> {
    let mut offered = FULL.to_vec();
    offered.push((FetchRequest::KEY, 4, 12));
    offered
}

/// One batch from `base` on, whose records were made at these times.
fn batch(base: i64, times: &[i64]) -> Bytes {
    let record = |(step, &timestamp): (i64, &i64)| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset: base + step,
        sequence: i32::try_from(step).unwrap(),
        timestamp,
        key: None,
        value: Some(Bytes::from_static(b"value")),
        headers: Default::default(),
    };
    let records: Vec<Record> = (0..).zip(times).map(record).collect();
    let mut buffer = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut buffer, &records, &options).unwrap();
    buffer.freeze()
}

/// Answers a Fetch with a code and records for each partition, given its number, the offset and the room.
fn fetched(ask: &Ask, of: impl Fn(i32, i64, i32) -> Option<(i16, Bytes)>) -> Reply {
    use fetch_response::{FetchableTopicResponse, PartitionData};
    let request = ask.decoded::<FetchRequest>();
    let partition = |asked: &fetch_request::FetchPartition| {
        let (code, records) = of(asked.partition, asked.fetch_offset, asked.partition_max_bytes)?;
        let answer = PartitionData::default().with_partition_index(asked.partition).with_error_code(code);
        Some(answer.with_high_watermark(10).with_records(Some(records)))
    };
    let topic = |topic: &fetch_request::FetchTopic| {
        FetchableTopicResponse::default()
            .with_topic(topic.topic.clone())
            .with_partitions(topic.partitions.iter().filter_map(partition).collect())
    };
    let answer = FetchResponse::default().with_responses(request.topics.iter().map(topic).collect());
    ask.answer::<FetchRequest>(&answer)
}

/// A broker that answers Fetch by `reply`; group `g` waits at 5 in partition 0 and at 7 in partition 1.
async fn broker(reply: impl Fn(&Ask) -> Reply + Send + Sync + 'static) -> FakeBroker {
    FakeBroker::start(move |ask| {
        if ask.is::<ApiVersionsRequest>() {
            return Some(ask.answer::<ApiVersionsRequest>(&offers(&with_fetch())));
        }
        ask.is::<FetchRequest>().then(|| reply(ask))
    })
    .await
}

/// One collection after the other, as the monitor makes them.
struct Watch {
    reader: ClusterReader,
    history: History,
    records: OldestRecords,
    needs: Vec<RecordNeed>,
}

impl Watch {
    fn new(config: ReaderConfig) -> Self {
        let limits =
            HistoryLimits { budget_bytes: 1 << 20, horizon: INTERVAL * 100, spark_bucket: INTERVAL, window: INTERVAL };
        let (history, records) = (History::new(limits), OldestRecords::new(INTERVAL));
        Self { reader: ClusterReader::new(config), history, records, needs: Vec::new() }
    }

    async fn collect(&mut self) -> Vec<ReadFailure> {
        let snapshot = self.reader.collect().await.unwrap();
        let ahead = self.history.look_ahead(&snapshot);
        self.needs = needed_records(&ahead, INTERVAL, INTERVAL * 3);
        self.records.begin(&self.needs, &ahead);
        let failures = self.reader.oldest_records(&snapshot, &self.needs, &mut self.records).await;
        self.history.observe(&snapshot);
        failures
    }

    /// What is known of the places in both partitions.
    fn known(&self) -> Vec<RecordKnown> {
        self.needs.iter().map(|need| self.records.at(need.place, need.end)).collect()
    }
}

async fn watched(broker: &FakeBroker) -> (Watch, Vec<ReadFailure>) {
    let mut watch = Watch::new(config(&broker.bootstrap()));
    let failures = watch.collect().await;
    (watch, failures)
}

const fn made(ms: i64) -> RecordKnown {
    RecordKnown::At(Stamp::Created(ms))
}

#[tokio::test]
async fn many_are_asked_for_with_little_room_and_a_large_batch_alone() {
    let broker = broker(|ask| {
        fetched(ask, |partition, from, room| match (partition, room) {
            (0, _) => Some((0, batch(3, &[100, 200, 300]))),
            // Kafka gives nothing of a batch that does not fit, unless it is the first of the answer.
            (_, 2..) => Some((0, Bytes::new())),
            _ => Some((0, batch(from, &[900]))),
        })
    })
    .await;
    let (watch, failures) = watched(&broker).await;
    assert_eq!((watch.known(), failures), (vec![made(300), made(900)], Vec::new()));
    assert_eq!(broker.asked::<FetchRequest>(), [12, 12], "both at once, and the large one by itself");
}

#[tokio::test]
async fn what_was_found_is_asked_for_once_while_a_group_waits_there() {
    let broker = broker(|ask| fetched(ask, |_, from, _| Some((0, batch(from, &[700]))))).await;
    let (mut watch, _) = watched(&broker).await;
    for _ in 0..3 {
        watch.collect().await;
    }
    assert_eq!((watch.known(), watch.records.totals().0), (vec![made(700); 2], 2));
    assert_eq!(broker.asked::<FetchRequest>().len(), 1);
}

#[tokio::test]
async fn bytes_that_are_counted_are_those_of_the_answers_with_records_alone() {
    let broker = broker(|ask| fetched(ask, |_, from, _| Some((0, batch(from, &[700; 10]))))).await;
    let (watch, _) = watched(&broker).await;
    let read = watch.records.totals().1;
    let records = 2 * batch(5, &[700; 10]).len() as u64;
    assert!((records..records + 250).contains(&read), "{read} for {records} bytes of records");
    assert!(read < watch.reader.totals().received_bytes, "sizes, offsets and all else come beside it");
}

#[tokio::test]
async fn where_a_log_holds_no_record_the_lag_is_markers_only() {
    // Both logs end at 10; the batch at 7 reaches to the end and holds only a marker.
    let broker = broker(|ask| {
        fetched(ask, |partition, from, _| {
            let mut marker = batch(from, &[1]).to_vec();
            marker[21..23].copy_from_slice(&0x30_i16.to_be_bytes());
            // The last offset of the batch, as a difference to its first.
            marker[23..27].copy_from_slice(&i32::try_from(9 - from).unwrap().to_be_bytes());
            Some((0, if partition == 1 { marker.into() } else { batch(from, &[100]) }))
        })
    })
    .await;
    let (watch, _) = watched(&broker).await;
    assert_eq!(watch.known(), [made(100), RecordKnown::Nothing]);
}

#[tokio::test]
async fn a_partition_that_may_not_be_read_names_the_right_and_is_left_alone_for_a_while() {
    let broker = broker(|ask| {
        fetched(ask, |partition, from, _| Some(if partition == 0 { (29, Bytes::new()) } else { (0, batch(from, &[700])) }))
    })
    .await;
    let (mut watch, failures) = watched(&broker).await;
    assert_eq!(watch.known(), [RecordKnown::NotRead(UnknownReason::NotAuthorized), made(700)]);
    let [failure] = &failures[..] else { panic!("{failures:?}") };
    assert_eq!((failure.kind, failure.reason), ("timestamps of records", UnknownReason::NotAuthorized));
    assert!(failure.what.contains("takes READ on topic t"), "{}", failure.what);
    let again = watch.collect().await;
    assert_eq!(again, failures, "it is said as long as it lasts");
    assert_eq!(broker.asked::<FetchRequest>().len(), 1, "and not asked each time");
}

#[tokio::test]
async fn codes_gaps_and_broken_batches_make_their_own_partition_unknown() {
    type Answer = fn(i64) -> Option<(i16, Bytes)>;
    let cases: [(&str, Answer, UnknownReason); 5] = [
        ("its leader has moved", |_| Some((6, Bytes::new())), UnknownReason::NotLeader),
        ("the offset is gone", |_| Some((1, Bytes::new())), UnknownReason::KafkaError(1)),
        ("it is not in the answer", |_| None, UnknownReason::BadResponse),
        (
            "its batch is of a format that nobody knows",
            |from| {
                let mut odd = batch(from, &[1]).to_vec();
                odd[16] = 9;
                Some((0, odd.into()))
            },
            UnknownReason::BadResponse,
        ),
        ("its batch does not even come alone", |_| Some((0, Bytes::new())), UnknownReason::NotLeader),
    ];
    for (name, answer, reason) in cases {
        let broker = broker(move |ask| {
            fetched(ask, |partition, from, _| if partition == 0 { answer(from) } else { Some((0, batch(from, &[700]))) })
        })
        .await;
        let (watch, failures) = watched(&broker).await;
        assert_eq!(watch.known(), [RecordKnown::NotRead(reason), made(700)], "{name}");
        assert_eq!(failures.iter().map(|one| (one.reason, one.affected)).collect::<Vec<_>>(), [(reason, 1)], "{name}");
    }
}

#[tokio::test]
async fn an_answer_that_is_garbage_cut_or_never_comes_leaves_what_it_was_about_unknown() {
    let garbage = broker(|_| Reply::Body { flexible: true, body: vec![0xff; 40] }).await;
    let (watch, failures) = watched(&garbage).await;
    assert_eq!(watch.known(), [RecordKnown::NotRead(UnknownReason::BadResponse); 2]);
    assert_eq!(failures.iter().map(|one| one.affected).sum::<usize>(), 2);

    let closed = broker(|_| Reply::Close).await;
    let (watch, _) = watched(&closed).await;
    assert_eq!(watch.known(), [RecordKnown::NotRead(UnknownReason::Unreachable); 2]);

    let silent = broker(|_| Reply::Silence).await;
    let mut watch = Watch::new(config_with_timeout(&silent.bootstrap(), SHORT_TIMEOUT_MS));
    watch.collect().await;
    assert_eq!(watch.known(), [RecordKnown::NotRead(UnknownReason::Timeout); 2]);
}

#[tokio::test]
async fn what_the_budget_leaves_out_is_read_in_the_next_collection() {
    let broker = broker(|ask| fetched(ask, |_, from, _| Some((0, batch(from, &[700]))))).await;
    let budget = crate::kafka::oldest::RecordBudget { records: 1, bytes: 1 << 20 };
    let mut watch = Watch::new(ReaderConfig { records: budget, ..config(&broker.bootstrap()) });
    watch.collect().await;
    assert_eq!(watch.known(), [made(700), RecordKnown::NotRead(UnknownReason::OverBudget)]);
    watch.collect().await;
    assert_eq!(watch.known(), [made(700); 2]);
}

#[test]
fn the_batches_of_this_test_are_those_that_the_scanner_reads() {
    let found = crate::kafka::wire::first_record(&batch(3, &[100, 200]), Offset::new(4), Offset::new(10));
    let expected = RecordFound::Record { offset: Offset::new(4), stamp: Stamp::Created(200) };
    assert_eq!(found.unwrap(), crate::kafka::wire::Scan::Found(expected));
}
