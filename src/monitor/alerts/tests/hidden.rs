//! Alerts about what cannot be read any more.

use super::*;

#[test]
fn records_that_were_lost_are_no_less_lost_while_their_log_cannot_be_read() {
    let mut engine = Engine::new(EngineSettings::default());
    let mut states = |minute: i64, partition, expired| {
        let mut reader = reading(group("g"), vec![("orders", vec![partition])]);
        reader.topics[0].troubles.get_or_insert_default().expired = expired;
        let mut cluster = fixture::cluster("c", at(60 * minute), vec![reader]);
        cluster.ledger = None;
        let view = View { clusters: vec![Arc::new(cluster)], ..fixture::empty_view(at(60 * minute)) };
        let alerts = evaluate(&view, &mut engine, view.at).alerts;
        alerts.iter().map(|alert| (alert.name, alert.state)).collect::<Vec<_>>()
    };
    let name = "KafkaConsumerMessagesLost";
    assert_eq!(states(0, pair(0, Some(9), 9), Some(50)), [(name, AlertState::Firing)]);
    assert_eq!(states(1, fixture::unknown_pair(0), None), [(name, AlertState::Firing)]);
    assert_eq!(states(2, pair(0, Some(9), 9), Some(0)), [(name, AlertState::Resolved)]);
}
