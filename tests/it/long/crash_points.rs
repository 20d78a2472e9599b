//! Every service dies at every point at which a process can die.

use crate::crash_points::{Death, Ward};
use tidemark::fail_point::FailPoint;
use tidemark::services::Service;

#[tokio::test(flavor = "multi_thread")]
async fn every_service_dies_at_every_point_and_nothing_is_lost_or_doubled() {
    const POINTS: [(FailPoint, u32); 7] = [
        // The very first: nothing else is under way then.
        (FailPoint::K0, 1),
        (FailPoint::K1, 2),
        (FailPoint::K2, 2),
        (FailPoint::K3, 2),
        (FailPoint::K4, 2),
        (FailPoint::K5, 2),
        (FailPoint::K12, 1),
    ];
    let mut ward = Ward::open(&[]).await;
    for (point, nth) in POINTS {
        for service in Service::ALL {
            ward.dies(Death { service, point, nth }).await;
        }
    }
}
