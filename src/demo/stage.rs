//! Where the faults are played: what each [`Act`] does to the running shop.

use super::{
    announcer::Announcer,
    faults::{Act, Fault, Pace},
    injector::Injector,
    mail::MailService,
    shop::Shop,
    slow::SlowPartition,
    traffic::{Customers, Fate},
    witness::Witness,
};
use crate::{
    events::{EventType, Topic},
    kafka::{Connection, TailedRecord, rewind},
    monitor::view::Tone,
    services::Service,
    store::Store,
};
use anyhow::Context;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Events that are published again.
const REPEATED: usize = 40;
/// Events whose id is used again for another payload.
const CONFLICTS: usize = 3;
/// The newest events may be on their way still; those behind them have been processed.
const ON_THEIR_WAY: usize = 30;
/// Records that each partition goes back.
const REWOUND: u64 = 25;
/// Orders of each kind that go wrong.
const ODD_ORDERS: usize = 6;
/// Longest time for the group to settle on the member that sets its offsets back.
const SETTLE_TIME: Duration = Duration::from_secs(25);
/// Longest time for a second member to get partitions and work.
const JOIN_TIME: Duration = Duration::from_secs(20);

/// Longest time until the first order has gone through a service.
const FIRST_EVENT_TIME: Duration = Duration::from_secs(10);
/// Longest time until the first order is delivered, which payment may have to come back for.
const FIRST_MAIL_TIME: Duration = Duration::from_secs(40);

/// The shop as faults see it.
pub struct Stage<S> {
    pub shop: Shop<S>,
    pub customers: Customers,
    pub injector: Injector<S>,
    pub mail: MailService,
    pub witness: Arc<Mutex<Witness>>,
    pub slow: SlowPartition,
    pub announcer: Announcer,
    pub connection: Connection,
}

impl<S: Store> Stage<S> {
    /// Plays one fault and puts right what it disturbed; `stop` shortens it.
    ///
    /// # Errors
    /// It could not be played as it should. The shop runs as before all the same, as far as that is possible.
    pub async fn play(&self, fault: &Fault, pace: Pace, stop: &CancellationToken) -> anyhow::Result<()> {
        let group = fault.disturbs();
        self.announcer.say(
            Tone::Warn,
            group,
            format!("Fault, {}: {}. Look at {}.", fault.name, fault.sentence, fault.look_at),
        );
        let hold = fault.hold(pace);
        let came_of_it = match (fault.act, fault.service) {
            (Act::ServiceStops, Some(service)) => self.service_stops(service, hold, stop).await?,
            (Act::MemberCrashes, Some(service)) => self.member_crashes(service, hold, stop).await?,
            (Act::OffsetsGoBack, Some(service)) => self.offsets_go_back(service, hold, stop).await?,
            (Act::PartitionSlows, _) => self.partition_slows(hold, stop).await?,
            (Act::ProducerRepeats, _) => self.producer_repeats(hold, stop).await?,
            (Act::PayloadsConflict, _) => self.payloads_conflict(hold, stop).await?,
            (Act::PoisonArrives, _) => self.poison_arrives(hold, stop).await?,
            (Act::OffsetsAreLost, _) => self.offsets_are_lost(hold, stop).await?,
            (Act::CustomersProvoke, _) => self.customers_provoke(hold, stop).await,
            (Act::ServiceStops | Act::MemberCrashes | Act::OffsetsGoBack, None) => {
                anyhow::bail!("{} needs a service", fault.name)
            }
        };
        self.announcer.say(Tone::Info, group, format!("Fault over, {}: {came_of_it}.", fault.name));
        Ok(())
    }

    async fn service_stops(&self, service: Service, hold: Duration, stop: &CancellationToken) -> anyhow::Result<String> {
        let before = self.customers.counts().accepted;
        self.shop.stop(service).await?;
        pause(hold, stop).await;
        let accepted = self.customers.counts().accepted - before;
        self.shop.start(service).await?;
        Ok(format!("{service} is back, its backlog drains; {accepted} orders were accepted meanwhile"))
    }

    async fn member_crashes(&self, service: Service, hold: Duration, stop: &CancellationToken) -> anyhow::Result<String> {
        let member = self.shop.join_without_commits(service).await?;
        let worked = self.wait_for_work(member.address, stop).await;
        pause(hold, stop).await;
        member.crash().await?;
        anyhow::ensure!(worked, "the second member of {service} got nothing to do within {JOIN_TIME:?}");
        Ok("the member has crashed; its partitions go back, and what it had processed is delivered again".to_owned())
    }

    /// Polls a member's own metrics until it has processed something.
    async fn wait_for_work(&self, member: std::net::SocketAddr, stop: &CancellationToken) -> bool {
        let deadline = tokio::time::Instant::now() + JOIN_TIME;
        while tokio::time::Instant::now() < deadline && !stop.is_cancelled() {
            if self.customers.processed_by(member).await.is_some_and(|processed| processed > 0) {
                return true;
            }
            pause(Duration::from_millis(200), stop).await;
        }
        false
    }

    async fn offsets_go_back(&self, service: Service, hold: Duration, stop: &CancellationToken) -> anyhow::Result<String> {
        pause(hold, stop).await;
        self.shop.stop(service).await?;
        let connection = self.connection.clone();
        let rewound = tokio::task::spawn_blocking(move || {
            let topics: Vec<&str> = service.subscriptions().iter().map(|topic| topic.name()).collect();
            rewind(&connection, service.group(), &topics, REWOUND, SETTLE_TIME)
        })
        .await;
        self.shop.start(service).await?;
        let records = rewound.context("setting offsets back")??;
        anyhow::ensure!(records > 0, "{service} had committed nothing yet");
        Ok(format!("{records} records are read again and recognised"))
    }

    async fn partition_slows(&self, hold: Duration, stop: &CancellationToken) -> anyhow::Result<String> {
        let topic = Topic::Payments.name();
        let partition = self.newest_partition(topic, stop).await.context("nothing was published in payments yet")?;
        self.slow.set(topic, partition);
        pause(hold, stop).await;
        self.slow.clear();
        Ok(format!("{topic}/{partition} is as fast as the others again"))
    }

    /// Where the newest record of a topic lies; early in a run the first one is waited for.
    async fn newest_partition(&self, topic: &str, stop: &CancellationToken) -> Option<i32> {
        let deadline = tokio::time::Instant::now() + FIRST_EVENT_TIME;
        loop {
            let newest = self.witness().recent().find(|record| record.topic == topic).map(|record| record.partition);
            if newest.is_some() || stop.is_cancelled() || tokio::time::Instant::now() >= deadline {
                return newest;
            }
            pause(Duration::from_millis(200), stop).await;
        }
    }

    async fn producer_repeats(&self, hold: Duration, stop: &CancellationToken) -> anyhow::Result<String> {
        let events = self.take(REPEATED, |_| true);
        let gap = hold / u32::try_from(events.len().max(1)).unwrap_or(u32::MAX);
        for event in events.iter().rev() {
            self.injector.repeat(event).await?;
            pause(gap, stop).await;
        }
        anyhow::ensure!(!events.is_empty(), "nothing was published yet");
        Ok(format!("{} events lie twice in the topics, and were processed once", events.len()))
    }

    async fn payloads_conflict(&self, hold: Duration, stop: &CancellationToken) -> anyhow::Result<String> {
        let created = EventType::OrderCreated.name();
        let events = self.take(CONFLICTS, |record| record.header("ce_type") == Some(created));
        for event in &events {
            self.injector.conflict(event).await?;
        }
        anyhow::ensure!(!events.is_empty(), "no order was published yet");
        pause(hold, stop).await;
        Ok(format!("{} conflicting payloads were kept out and copied to the dead-letter topic", events.len()))
    }

    async fn poison_arrives(&self, hold: Duration, stop: &CancellationToken) -> anyhow::Result<String> {
        self.injector.garbage().await?;
        self.injector.failing().await?;
        pause(hold, stop).await;
        Ok("both were given up and lie in dead-letter topics; the records behind them went on".to_owned())
    }

    async fn offsets_are_lost(&self, hold: Duration, stop: &CancellationToken) -> anyhow::Result<String> {
        let deadline = tokio::time::Instant::now() + FIRST_MAIL_TIME;
        loop {
            let again = self.mail.lose_offsets(REWOUND, hold).await?;
            if again > 0 {
                return Ok(format!("{again} mails went out a second time: nobody was asked before"));
            }
            // Early in a run nothing was mailed yet.
            anyhow::ensure!(tokio::time::Instant::now() < deadline && !stop.is_cancelled(), "nothing was mailed yet");
            pause(Duration::from_millis(200), stop).await;
        }
    }

    async fn customers_provoke(&self, hold: Duration, stop: &CancellationToken) -> String {
        for _ in 0..ODD_ORDERS {
            self.customers.order(Fate::Declined).await;
            self.customers.order(Fate::Undeliverable).await;
        }
        pause(hold, stop).await;
        format!("{ODD_ORDERS} orders were declined, {ODD_ORDERS} could not be delivered; all are cancelled, nobody paid")
    }

    /// Events that have been processed, newest first.
    fn take(&self, count: usize, wanted: impl Fn(&TailedRecord) -> bool) -> Vec<TailedRecord> {
        let witness = self.witness();
        let processed = witness.recent().skip(ON_THEIR_WAY).filter(|record| wanted(record));
        let mut events: Vec<TailedRecord> = processed.take(count).cloned().collect();
        if events.is_empty() {
            // Early in a run there is nothing older.
            events = witness.recent().filter(|record| wanted(record)).take(count).cloned().collect();
        }
        events
    }

    fn witness(&self) -> MutexGuard<'_, Witness> {
        self.witness.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits, or until stopped.
pub async fn pause(time: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}
