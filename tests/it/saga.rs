//! A thousand orders through four processes: each ends in one terminal state, nobody pays or gets a parcel twice, and the
//! monitor counts the duplicates that the test makes, by cause.

use crate::support::{Duplicates, GROUPS, Placed, Record, Shop, TOPICS, eventually};
use std::time::Duration;

const FIRST: usize = 500;
const ALL: usize = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_orders_end_once_and_every_duplicate_is_counted_with_its_cause() {
    let mut shop = Shop::start().await;

    // Quiet: no duplicates at all, though refunds and cancellations run.
    let mut orders = shop.place(0..FIRST).await;
    shop.until_ended(&orders).await;
    shop.until_drained().await;
    for (group, _) in GROUPS {
        shop.until_shown(group, &Duplicates::default()).await;
    }
    let quiet = shop.records().await;
    assert!(GROUPS.iter().all(|(group, _)| quiet.copies(group) == 0), "nobody publishes an event twice");

    // Every event once more, from a producer that knows nothing of the services.
    for topic in TOPICS {
        let of_topic = quiet.records.iter().filter(|entry| rdkafka::Message::topic(&entry.message) == topic);
        let copies: Vec<Record> = of_topic.map(|entry| Record::copy_of(&entry.message)).collect();
        shop.kafka.produce(topic, &copies).await;
    }
    shop.until_drained().await;
    for (group, _) in GROUPS {
        shop.until_shown(group, &Duplicates::expect(&[("republish", quiet.events(group))])).await;
    }
    let republished = shop.records().await;
    for (group, _) in GROUPS {
        assert_eq!(republished.copies(group), quiet.events(group), "a suppressed copy makes {group} publish nothing");
    }

    // Payment is killed twice while orders come in.
    orders.extend(place_while_payment_is_killed(&mut shop).await);
    shop.until_ended(&orders).await;
    shop.until_drained().await;
    let killed = shop.records().await;
    let mut after_kill = Vec::new();
    for (group, _) in GROUPS {
        let shown = settled_duplicates(&shop, group).await;
        // What a dead relay had sent and not ticked off is sent again: each such record is there to be counted.
        assert_eq!(shown.count("republish"), killed.copies(group), "{group}: {shown:?}");
        let bound = if group == "payment-service" { 2 * (killed.events(group) - republished.events(group)) } else { 0 };
        assert!(shown.count("redelivery") <= bound, "{group}: {shown:?}, at most {bound}");
        let known = shown.count("republish") + shown.count("redelivery");
        assert_eq!(shown.0.values().sum::<u64>() as usize, known, "{group} has no other cause: {shown:?}");
        after_kill.push(shown);
    }

    // Drained, then one group reads everything again from the start.
    assert!(shop.payment.terminate().success(), "a clean stop: {}", shop.payment.log());
    for topic in ["orders", "deliveries"] {
        let starts: Vec<(i32, i64)> = (0..).zip(shop.kafka.ends(topic).await).map(|(id, (start, _))| (id, start)).collect();
        shop.kafka.commit("payment-service", topic, &starts).await;
    }
    shop.payment.start_again().await;
    shop.until_drained().await;
    for ((group, _), before) in GROUPS.iter().zip(&after_kill) {
        let (again, copies) = match *group {
            "payment-service" => (killed.events(group), killed.copies(group)),
            _ => (0, 0),
        };
        let redelivery = before.count("redelivery") + again;
        let republish = before.count("republish") + copies;
        shop.until_shown(group, &Duplicates::expect(&[("redelivery", redelivery), ("republish", republish)])).await;
    }

    let log = shop.records().await;
    assert_eq!(log.records.len(), killed.records.len(), "reading again publishes nothing");
    assert_eq!(orders.len(), ALL);
    orders.iter().for_each(|order| order.assert_ended_once(&log));
    shop.until_ended(&orders).await;
}

/// Posts the second half of the orders one after the other, in two parts; payment is killed early in each, while orders come in.
async fn place_while_payment_is_killed(shop: &mut Shop) -> Vec<Placed> {
    let mut placed = Vec::new();
    for numbers in [FIRST..FIRST + 250, FIRST + 250..ALL] {
        let enough = payments(shop).await + numbers.len() / 10;
        let traffic = shop.place_slowly(numbers);
        let crash = async {
            eventually(Duration::from_secs(120), "payments go on", || async {
                let now = payments(shop).await;
                if now >= enough { Ok(()) } else { Err(format!("{now} of {enough}")) }
            })
            .await;
            shop.payment.kill();
        };
        placed.extend(tokio::join!(traffic, crash).0);
        shop.payment.start_again().await;
        shop.until_ended(&placed).await;
    }
    placed
}

async fn payments(shop: &Shop) -> usize {
    shop.kafka.ends("payments").await.iter().map(|(_, end)| *end as usize).sum()
}

/// The duplicates of a group once the monitor has seen the last of them: when its books say that every record was reported.
async fn settled_duplicates(shop: &Shop, group: &str) -> Duplicates {
    eventually(Duration::from_secs(60), "two scrapes with a collection between them agree", || async {
        let first = shop.metrics().await?;
        let collected = |metrics: &crate::support::Metrics| metrics.value("tidemark_last_collection_timestamp_seconds", &[]);
        let later = eventually(Duration::from_secs(30), "another collection", || async {
            let metrics = shop.metrics().await?;
            if collected(&metrics) > collected(&first) { Ok(metrics) } else { Err("not yet".to_string()) }
        })
        .await;
        let (first, later) = (Duplicates::of(&first, group), Duplicates::of(&later, group));
        if first == later { Ok(later) } else { Err(format!("{first:?} became {later:?}")) }
    })
    .await
}
