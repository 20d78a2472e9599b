//! What each fault does to the running shop. Whoever disturbs something holds its lock until it is as before.

use super::{
    dice::Dice,
    evidence::MadeUp,
    fault::Fault,
    injector::{Early, MARK, uuid},
    plan::Step,
    process::Signal,
    rest::read_books,
    shop::LEASE,
    world::World,
};
use crate::{
    effects::{Effect, EffectKind, read_log},
    effects_log::EffectsLog,
    events::{EventType, order_id_for_key},
    fail_point::FailPoint,
    kafka::TailedRecord,
    services::Service,
};
use anyhow::Context;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::time::sleep;
use uuid::Uuid;

/// Longest time until a crash point is reached; then the process is killed where it is.
const POINT_TIME: Duration = Duration::from_secs(8);
/// Longest time until all services have closed on an empty ledger.
const CLOSE_TIME: Duration = Duration::from_secs(30);
/// For so long they are watched doing nothing.
const CLOSED_FOR: Duration = Duration::from_millis(800);
/// Longest time for something to happen that a step needs.
const WAIT: Duration = Duration::from_secs(10);
/// Offsets of what is done are committed by then.
const COMMIT_TIME: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl World {
    /// Plays one step and puts right what it disturbed.
    ///
    /// # Errors
    /// It could not be played as it should: the run says nothing.
    pub async fn play(&self, step: &Step, phase: usize) -> anyhow::Result<()> {
        let mut dice = Dice::new(self.seed ^ u64::try_from(step.number).unwrap_or(0).rotate_left(32));
        tracing::info!(step = step.number, "{}", step.fault);
        match step.fault {
            Fault::Kill { service, down } => self.kill(service, down).await,
            Fault::Crash { service, point, nth } => self.crash(service, point, nth).await,
            Fault::Zombie { service, hold } => self.zombie(service, hold).await,
            Fault::Storm { service, joins, each } => self.storm(service, joins, each).await,
            Fault::RedisCut { hold } => self.redis_cut(hold).await,
            Fault::RedisSlow { delay, hold } => self.redis_slow(delay, hold).await,
            Fault::RedisRestart { hard, down } => {
                self.disturb(2, hard);
                self.redis.lock().await.restart(hard, down).await
            }
            Fault::Promotion { lost } => {
                self.disturb(4, true);
                self.redis.lock().await.promote(lost).await
            }
            Fault::Flushall => self.flushall(phase).await,
            Fault::BrokerStop { hard, down } => {
                self.disturb(4, false);
                self.broker.write().await.restart(hard, down).await
            }
            Fault::Duplicate { events, times } => {
                let chosen = self.choose(&mut dice, events, phase).await;
                self.put(step, &chosen, async |record| self.injector.repeat(record, times).await).await
            }
            Fault::Conflict { events } => {
                let chosen = self.choose(&mut dice, events, phase).await;
                self.put(step, &chosen, async |record| self.injector.conflict(record).await).await
            }
            Fault::Late { events } => {
                let mut oldest = self.events(phase);
                oldest.truncate(usize::try_from(events).unwrap_or(1));
                self.put(step, &oldest, async |record| self.injector.repeat(record, 1).await).await
            }
            Fault::OutOfOrder { orders } => {
                let _broker = self.broker.read().await;
                for number in 0..orders {
                    let early = if number % 2 == 0 { Early::Cancel } else { Early::Refund };
                    let id = uuid(&mut dice);
                    self.notes().made_up.push((MadeUp { id, early, exposed: false }, Instant::now(), phase));
                    self.injector.end_first(id, early).await?;
                }
                Ok(())
            }
            Fault::Poison { events, repeats } => {
                let _broker = self.broker.read().await;
                for _ in 0..events {
                    self.injector.poison(&mut dice, repeats).await?;
                }
                Ok(())
            }
            Fault::Forged => self.forge(step).await,
        }
    }

    /// Notes that records may be delivered again so often, and whether writes may be lost.
    fn disturb(&self, rebalances: u64, lost_writes: bool) {
        let damage = &mut self.notes().damage;
        damage.rebalances += rebalances;
        damage.lost_writes |= lost_writes;
    }

    async fn kill(&self, service: Service, down: Duration) -> anyhow::Result<()> {
        let mut held = self.shop.hold(service).await;
        self.disturb(2, false);
        held.as_mut().context("a member")?.kill().await?;
        sleep(down).await;
        self.shop.start(service, &mut held, None).await
    }

    async fn crash(&self, service: Service, point: FailPoint, nth: u64) -> anyhow::Result<()> {
        let mut held = self.shop.hold(service).await;
        self.disturb(4, false);
        self.shop.stop(&mut held).await?;
        self.shop.start(service, &mut held, Some((point, nth))).await?;
        let member = held.as_mut().context("a member")?;
        if member.until_ended(POINT_TIME).await.is_none() {
            member.kill().await?;
        }
        self.shop.start(service, &mut held, None).await
    }

    async fn zombie(&self, service: Service, hold: Duration) -> anyhow::Result<()> {
        let mut held = self.shop.hold(service).await;
        self.disturb(4, false);
        let member = held.as_mut().context("a member")?;
        member.signal(Signal::Stop)?;
        let other = self.shop.join(service).await;
        // Longer than the session and than the lease that was extended last.
        sleep(hold.max(self.shop.session() + LEASE)).await;
        member.signal(Signal::Continue)?;
        let other = other?;
        sleep(Duration::from_secs(1)).await;
        self.shop.leave(other).await?;
        Ok(())
    }

    async fn storm(&self, service: Service, joins: u64, each: Duration) -> anyhow::Result<()> {
        let _held = self.shop.hold(service).await;
        self.disturb(2 * joins + 2, false);
        for number in 0..joins {
            let mut other = self.shop.join(service).await?;
            sleep(each).await;
            if number % 2 == 1 {
                other.process.kill().await?;
            } else {
                self.shop.leave(other).await?;
            }
        }
        Ok(())
    }

    async fn redis_cut(&self, hold: Duration) -> anyhow::Result<()> {
        let redis = self.redis.lock().await;
        self.disturb(2, false);
        redis.cut();
        sleep(hold).await;
        redis.heal();
        Ok(())
    }

    async fn redis_slow(&self, delay: Duration, hold: Duration) -> anyhow::Result<()> {
        let redis = self.redis.lock().await;
        self.disturb(2, false);
        redis.slow(delay);
        sleep(hold).await;
        redis.heal();
        Ok(())
    }

    /// Waits until every group has done something, and so has committed an offset: a ledger of one that has not is made anew
    /// without a word, and rightly.
    async fn until_all_have_begun(&self) -> bool {
        let end = Instant::now() + WAIT;
        loop {
            let books = read_books(&self.store, &self.namespace).await;
            if books.is_ok_and(|books| books.values().all(|group| group.counters.completed > 0)) {
                sleep(COMMIT_TIME).await;
                return true;
            }
            if Instant::now() > end {
                return false;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Empties the ledger, sees to it that everybody stops, and accepts the loss as an operator would.
    async fn flushall(&self, phase: usize) -> anyhow::Result<()> {
        if !self.until_all_have_begun().await {
            self.notes().skipped.push("the ledger was not emptied: a group had done nothing yet".to_owned());
            return Ok(());
        }
        // Nobody is being killed meanwhile: who is asked must be there to answer.
        let _order = self.shop.hold(Service::Order).await;
        let _payment = self.shop.hold(Service::Payment).await;
        let _delivery = self.shop.hold(Service::Delivery).await;
        let redis = self.redis.lock().await;
        let _broker = self.broker.read().await;
        {
            let mut notes = self.notes();
            notes.damage.emptied = true;
            notes.damage.rebalances += 2;
        }
        redis.empty().await?;
        let end = Instant::now() + CLOSE_TIME;
        for service in Service::ALL {
            loop {
                if self.shop.not_ready(service).await.is_some_and(|why| why.contains("accept-loss")) {
                    break;
                }
                if Instant::now() > end {
                    self.notes().open.push(format!("{service} did not close on an empty ledger"));
                    break;
                }
                sleep(LOOK_EVERY).await;
            }
        }
        // What was acknowledged a moment ago may still be on its way to us.
        sleep(LOOK_EVERY * 4).await;
        let before = self.records_by_services();
        sleep(CLOSED_FOR).await;
        let after = self.records_by_services();
        if after > before {
            let more = after - before;
            self.notes().open.push(format!("{more} events were published while the ledger was closed"));
        }
        for service in Service::ALL {
            let arguments = ["ledger", "init", "--accept-loss", "--expect", "10000", "--group", service.group()];
            self.shop.run_tool(&arguments).await?;
        }
        self.notes().accepted.push((Instant::now(), phase));
        for service in Service::ALL {
            self.shop.until_ready(service).await?;
        }
        Ok(())
    }

    fn records_by_services(&self) -> usize {
        self.records_seen().iter().filter(|record| record.header(MARK).is_none()).count()
    }

    /// Does something with each chosen record while the broker is there.
    async fn put(
        &self,
        step: &Step,
        records: &[TailedRecord],
        mut put: impl AsyncFnMut(&TailedRecord) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let _broker = self.broker.read().await;
        if records.is_empty() {
            self.notes().skipped.push(format!("step {}: nothing that the ledger knows was published yet", step.number));
        }
        for record in records {
            put(record).await?;
        }
        Ok(())
    }

    /// Draws events among those that were published; waits for the first ones.
    async fn choose(&self, dice: &mut Dice, count: u64, phase: usize) -> Vec<TailedRecord> {
        let end = Instant::now() + WAIT;
        let mut events = self.events(phase);
        while events.is_empty() && Instant::now() < end {
            sleep(LOOK_EVERY).await;
            events = self.events(phase);
        }
        (0..count).filter_map(|_| dice.pick(&events).cloned()).collect()
    }

    /// Events of orders that the ledger knows, as the services wrote them, the oldest first.
    fn events(&self, phase: usize) -> Vec<TailedRecord> {
        let since = self.notes().known_since();
        let wanted = self.customers.wanted();
        let begun: BTreeMap<Uuid, (Instant, usize)> =
            wanted.iter().map(|order| (order.id, (order.asked, order.phase))).collect();
        let is_known = |record: &TailedRecord| {
            let order = record.header("ce_correlationid").and_then(|id| Uuid::parse_str(id).ok());
            let begun = order.and_then(|id| begun.get(&id));
            begun.is_some_and(|(asked, of)| *of <= phase && since.is_none_or(|since| *asked > since))
        };
        let is_event = |record: &TailedRecord| record.header("ce_type").and_then(EventType::parse).is_some();
        let seen = self.records_seen().into_iter();
        seen.filter(|record| record.header(MARK).is_none() && is_event(record) && is_known(record)).collect()
    }

    /// Writes a second charge for a paid order into the effects log.
    async fn forge(&self, step: &Step) -> anyhow::Result<()> {
        let end = Instant::now() + WAIT;
        let charge = loop {
            let text = tokio::fs::read_to_string(&self.effects).await.unwrap_or_default();
            let calls = read_log(&text)?;
            if let Some(charge) = calls.into_iter().find(|call| call.effect == EffectKind::Capture) {
                break charge;
            }
            anyhow::ensure!(Instant::now() < end, "nobody was charged yet");
            sleep(LOOK_EVERY).await;
        };
        let name = format!("forged-{}", step.number);
        let forged = Effect {
            event_id: order_id_for_key(&name).to_string(),
            idempotency_key: name,
            fence: charge.fence + 1,
            ..charge
        };
        EffectsLog::open(&self.effects).map_err(anyhow::Error::from)?.append(&forged)?;
        Ok(())
    }
}
