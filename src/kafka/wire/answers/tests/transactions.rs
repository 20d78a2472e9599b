//! Producers and transactions, in every version that is spoken.

use super::*;
use crate::kafka::wire::answers::transactions::DescribedTransaction;

pub fn producers(cursor: &mut Cursor<'_>, _: i16, seen: &mut Seen) -> Result<(), Malformed> {
    describe_producers(cursor, |topic, partition, code, first| {
        seen.push(format!("{} {partition} {code} {first:?}", String::from_utf8_lossy(topic)));
    })
}

pub fn listed(cursor: &mut Cursor<'_>, _: i16, seen: &mut Seen) -> Result<(), Malformed> {
    let code = list_transactions(cursor, |id, producer, state| seen.push(format!("{id} {producer} {state}")))?;
    seen.push(format!("code {code}"));
    Ok(())
}

pub fn described(cursor: &mut Cursor<'_>, _: i16, seen: &mut Seen) -> Result<(), Malformed> {
    describe_transactions(cursor, |one| seen.push(format!("{one:?}")))
}

#[test]
fn of_a_partitions_producers_the_one_whose_transaction_began_first_is_read() {
    use describe_producers_response::{PartitionResponse, ProducerState, TopicResponse};
    let producer = |id, start| {
        ProducerState::default().with_producer_id(ProducerId(id)).with_producer_epoch(3).with_current_txn_start_offset(start)
    };
    let partition = PartitionResponse::default()
        .with_partition_index(2)
        .with_error_message(Some(text("words")))
        .with_active_producers(vec![producer(1, -1), producer(2, 70), producer(3, 50), producer(4, 60)]);
    let refused = PartitionResponse::default().with_error_code(29);
    let topic = TopicResponse::default().with_name(topic_name("t")).with_partitions(vec![partition, refused]);
    let answer = DescribeProducersResponse::default().with_topics(vec![topic]).with_unknown_tagged_fields(tagged(true));
    let first = ActiveProducer { id: 3, epoch: 3, transaction_start: 50 };
    let expected = vec![format!("t 2 0 {:?}", Some(first)), "t 0 29 None".to_owned()];
    check::<DescribeProducersRequest>(&answer, 0, producers, &expected);
}

#[test]
fn listed_transactions_are_read_in_every_version() {
    use list_transactions_response::TransactionState;
    for version in versions::<ListTransactionsRequest>() {
        let state = TransactionState::default()
            .with_transactional_id(TransactionalId(text("tx")))
            .with_producer_id(ProducerId(7))
            .with_transaction_state(text("Ongoing"));
        let answer = ListTransactionsResponse::default()
            .with_error_code(14)
            .with_unknown_state_filters(vec![text("Odd")])
            .with_transaction_states(vec![state]);
        let expected = ["tx 7 Ongoing", "code 14"].map(str::to_owned).to_vec();
        check::<ListTransactionsRequest>(&answer, version, listed, &expected);
    }
}

#[test]
fn described_transactions_are_read() {
    use describe_transactions_response::{TopicData, TransactionState};
    let topic = TopicData::default().with_topic(topic_name("t")).with_partitions(vec![1, 2]);
    let state = TransactionState::default()
        .with_transactional_id(TransactionalId(text("tx")))
        .with_transaction_state(text("Ongoing"))
        .with_transaction_timeout_ms(60_000)
        .with_transaction_start_time_ms(5)
        .with_producer_id(ProducerId(7))
        .with_topics(vec![topic]);
    let answer = DescribeTransactionsResponse::default().with_transaction_states(vec![state]);
    let expected = DescribedTransaction {
        code: 0,
        id: "tx".into(),
        state: "Ongoing".into(),
        timeout_ms: 60_000,
        began_ms: 5,
        producer: 7,
    };
    check::<DescribeTransactionsRequest>(&answer, 0, described, &vec![format!("{expected:?}")]);
}
