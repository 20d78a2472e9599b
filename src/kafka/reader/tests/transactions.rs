//! Whose transactions hold partitions back: the producers by the leaders, the rest by the coordinators.

use super::*;
use crate::lag::{Coordinated, History, HistoryLimits, OpenTransaction, ReadFailure, Transactions, held_partitions};
use chrono::DateTime;

type Answers = fn(&Ask) -> Option<Reply>;

/// A broker that knows the requests about transactions and answers them by `reply`. The last stable offset of both partitions
/// lies one before their end.
async fn broker(reply: Answers) -> FakeBroker {
    FakeBroker::start(move |ask| {
        if ask.is::<ApiVersionsRequest>() {
            let mut offered = FULL.to_vec();
            offered.extend([(61, 0, 0), (65, 0, 0), (66, 0, 2)]);
            return Some(ask.answer::<ApiVersionsRequest>(&offers(&offered)));
        }
        reply(ask)
    })
    .await
}

/// One collection, and the transactions that hold its partitions back.
async fn read(broker: &FakeBroker) -> (Transactions, Vec<ReadFailure>) {
    let mut reader = ClusterReader::new(config(&broker.bootstrap()));
    let snapshot = reader.collect().await.unwrap();
    let span = Duration::from_secs(10);
    let mut history = History::new(HistoryLimits { budget_bytes: 1 << 20, horizon: span, spark_bucket: span, window: span });
    let held = held_partitions(&history.look_ahead(&snapshot), 10);
    assert_eq!(held, [(0, 0), (0, 1)]);
    reader.open_transactions(&snapshot, &held).await
}

/// Partition 0 has the producer 4 with a transaction open since offset 9; in partition 1 it has ended meanwhile.
fn producers(ask: &Ask, code: i16) -> Reply {
    use describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
    let request = ask.decoded::<DescribeProducersRequest>();
    let partition = |&index: &i32| {
        let producer = ProducerState::default()
            .with_producer_id(ProducerId(4))
            .with_producer_epoch(2)
            .with_current_txn_start_offset(if index == 0 { 9 } else { -1 });
        PartitionResponse::default().with_partition_index(index).with_error_code(code).with_active_producers(vec![producer])
    };
    let topic = |topic: &describe_producers_request::TopicRequest| {
        TopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(topic.partition_indexes.iter().map(partition).collect())
    };
    let answer = DescribeProducersResponse::default().with_topics(request.topics.iter().map(topic).collect());
    ask.answer::<DescribeProducersRequest>(&answer)
}

fn listed(ask: &Ask, ids: &[(&'static str, i64)], code: i16) -> Reply {
    use list_transactions_response::TransactionState;
    let state = |&(id, producer): &(&'static str, i64)| {
        TransactionState::default()
            .with_transactional_id(TransactionalId(id.into()))
            .with_producer_id(ProducerId(producer))
            .with_transaction_state("Ongoing".into())
    };
    let answer =
        ListTransactionsResponse::default().with_error_code(code).with_transaction_states(ids.iter().map(state).collect());
    ask.answer::<ListTransactionsRequest>(&answer)
}

fn described(ask: &Ask, state: &'static str, code: i16) -> Reply {
    use describe_transactions_response::TransactionState;
    let asked = ask.decoded::<DescribeTransactionsRequest>();
    let state = |id: &TransactionalId| {
        TransactionState::default()
            .with_error_code(code)
            .with_transactional_id(id.clone())
            .with_transaction_state(state.into())
            .with_transaction_timeout_ms(60_000)
            .with_transaction_start_time_ms(1_700_000_000_000)
            // What is refused is named by its id alone.
            .with_producer_id(ProducerId(if code == 0 { 4 } else { 0 }))
    };
    let states = asked.transactional_ids.iter().map(state).collect();
    let answer = DescribeTransactionsResponse::default().with_transaction_states(states);
    ask.answer::<DescribeTransactionsRequest>(&answer)
}

fn of_producer(coordinated: Coordinated) -> Transactions {
    let open = OpenTransaction { producer_id: 4, producer_epoch: 2, start: Offset::new(9), coordinated };
    Transactions::from([((0, 0), Reading::Known(open))])
}

#[tokio::test]
async fn a_transaction_is_told_with_its_producer_and_what_its_coordinator_says() {
    let broker = broker(|ask| {
        if ask.is::<DescribeProducersRequest>() {
            return Some(producers(ask, 0));
        }
        if ask.is::<ListTransactionsRequest>() {
            return Some(listed(ask, &[("other", 7), ("writer", 4)], 0));
        }
        ask.is::<DescribeTransactionsRequest>().then(|| {
            let asked = ask.decoded::<DescribeTransactionsRequest>();
            assert_eq!(asked.transactional_ids, [TransactionalId("writer".into())], "only whom it is about");
            described(ask, "Ongoing", 0)
        })
    })
    .await;
    let (found, failures) = read(&broker).await;
    let coordinated = Coordinated::Known {
        transactional_id: "writer".into(),
        began: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
        timeout: Duration::from_secs(60),
    };
    assert_eq!((found, failures), (of_producer(coordinated), Vec::new()), "and nothing of the one that has ended");
}

#[tokio::test]
async fn a_transaction_that_no_coordinator_names_or_has_ended_there_is_nobodys() {
    let nobody = broker(|ask| {
        if ask.is::<DescribeProducersRequest>() {
            return Some(producers(ask, 0));
        }
        ask.is::<ListTransactionsRequest>().then(|| listed(ask, &[("other", 7)], 0))
    })
    .await;
    assert_eq!(read(&nobody).await, (of_producer(Coordinated::ByNobody), Vec::new()));
    assert!(nobody.asked::<DescribeTransactionsRequest>().is_empty());

    let ended = broker(|ask| {
        if ask.is::<DescribeProducersRequest>() {
            return Some(producers(ask, 0));
        }
        if ask.is::<ListTransactionsRequest>() {
            return Some(listed(ask, &[("writer", 4)], 0));
        }
        ask.is::<DescribeTransactionsRequest>().then(|| described(ask, "CompleteCommit", 0))
    })
    .await;
    assert_eq!(read(&ended).await.0, of_producer(Coordinated::ByNobody));
}

#[tokio::test]
async fn a_missing_right_is_named_where_it_is_missing() {
    let topic = broker(|ask| ask.is::<DescribeProducersRequest>().then(|| producers(ask, 29))).await;
    let (found, failures) = read(&topic).await;
    let refused = Reading::Unknown(UnknownReason::NotAuthorized);
    assert_eq!(found, Transactions::from([((0, 0), refused.clone()), ((0, 1), refused)]));
    let [failure] = &failures[..] else { panic!("{failures:?}") };
    assert_eq!((failure.reason, failure.affected), (UnknownReason::NotAuthorized, 2));
    assert!(failure.what.contains("takes READ on topic t"), "{}", failure.what);

    let ids = broker(|ask| {
        if ask.is::<DescribeProducersRequest>() {
            return Some(producers(ask, 0));
        }
        ask.is::<ListTransactionsRequest>().then(|| listed(ask, &[], 53))
    })
    .await;
    let (found, failures) = read(&ids).await;
    let [failure] = &failures[..] else { panic!("{failures:?}") };
    assert_eq!(found, of_producer(Coordinated::Unread(failure.reason)));
    assert!(failure.what.contains("DESCRIBE on transactional ids"), "{}", failure.what);
}

#[tokio::test]
async fn a_transaction_whose_description_is_refused_stays_with_its_producer() {
    let broker = broker(|ask| {
        if ask.is::<DescribeProducersRequest>() {
            return Some(producers(ask, 0));
        }
        if ask.is::<ListTransactionsRequest>() {
            return Some(listed(ask, &[("writer", 4)], 0));
        }
        ask.is::<DescribeTransactionsRequest>().then(|| described(ask, "", 16))
    })
    .await;
    let (found, _) = read(&broker).await;
    let Some(Reading::Known(open)) = found.get(&(0, 0)) else { panic!("{found:?}") };
    assert!(matches!(open.coordinated, Coordinated::Unread(_)), "{open:?}");
}

#[tokio::test]
async fn a_broker_before_3_0_and_one_that_answers_with_garbage_leave_it_unknown_why() {
    let old = FakeBroker::start(|_| None).await;
    let (found, failures) = read(&old).await;
    let unsupported = Reading::Unknown(UnknownReason::Unsupported);
    assert_eq!(found, Transactions::from([((0, 0), unsupported.clone()), ((0, 1), unsupported)]));
    assert_eq!(failures.iter().map(|one| one.reason).collect::<Vec<_>>(), [UnknownReason::Unsupported]);

    let garbage =
        broker(|ask| ask.is::<DescribeProducersRequest>().then(|| Reply::Body { flexible: true, body: vec![0xff; 20] }))
            .await;
    let (found, _) = read(&garbage).await;
    assert_eq!(found.values().filter_map(Reading::reason).collect::<Vec<_>>(), [UnknownReason::BadResponse; 2]);

    // What the leader told stands, though no coordinator answers.
    let silent = broker(|ask| {
        if ask.is::<DescribeProducersRequest>() {
            return Some(producers(ask, 0));
        }
        ask.is::<ListTransactionsRequest>().then_some(Reply::Close)
    })
    .await;
    let (found, failures) = read(&silent).await;
    assert_eq!(found, of_producer(Coordinated::Unread(failures[0].reason)));
}
