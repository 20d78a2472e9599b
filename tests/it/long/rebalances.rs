//! Every service hands its partitions over under every way to agree on who reads what.

use crate::rebalances::{BY_BROKERS, COOPERATIVE, EAGER, Handover, RANGE};
use tidemark::services::Service;

#[tokio::test(flavor = "multi_thread")]
async fn every_service_hands_over_under_every_protocol() {
    let mut handover = Handover::open().await;
    for protocol in [COOPERATIVE, BY_BROKERS, EAGER, RANGE] {
        for service in Service::ALL {
            handover.goes_to_another_and_on(service, protocol).await;
        }
    }
}
