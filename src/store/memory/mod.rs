//! The ledger in memory: the reference model of the rules, and the store of a demo without Redis.
//!
//! Written from the rules and not from the scripts; the property test holds the two together. It forgets everything
//! with its process. Its clock is passed in.

mod finishes;
mod grants;
mod lanes;
mod record;
mod shard;
mod state;

use self::lanes::Asked;
use self::shard::ShardModel;
use super::calls::{check_count, millis};
use super::*;
use crate::clock::Clock;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Clones share what they remember.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    clock: Clock,
    world: Arc<Mutex<World>>,
}

#[derive(Clone, Debug, Default)]
struct World {
    topics: BTreeMap<(Namespace, String), TopicNumber>,
    ledgers: BTreeMap<LedgerName, Vec<ShardModel>>,
}

impl MemoryStore {
    pub fn new(clock: Clock) -> Self {
        Self { clock, world: Arc::default() }
    }

    /// Another store that knows what this one knows now, as a replica would: from here on each goes its own way.
    pub fn fork(&self, clock: Clock) -> Self {
        Self { clock, world: Arc::new(Mutex::new(self.world().clone())) }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over a ledger that another store has created, so that both answer for the same incarnation.
    #[cfg(test)]
    pub(super) fn adopt(&self, ledger: &Ledger) {
        let now = self.now_us();
        let shards = ledger.shards().map(|_| ShardModel::new(ledger.incarnation.clone(), now)).collect();
        self.world().ledgers.insert(ledger.name.clone(), shards);
    }

    /// The last shard of the ledger was emptied and made again by somebody else.
    #[cfg(test)]
    pub(crate) fn lose_a_shard(&self, ledger: &Ledger) {
        let other = Incarnation::new(uuid::Uuid::new_v4(), ledger.shape());
        let now = self.now_us();
        if let Some(shard) = self.world().ledgers.get_mut(&ledger.name).and_then(|shards| shards.last_mut()) {
            *shard = ShardModel::new(other, now);
        }
    }

    /// The first shard loses what it knows of a lane.
    #[cfg(test)]
    pub(super) fn take_back(&self, ledger: &Ledger, lane: LaneName) {
        if let Some(shard) = self.world().ledgers.get_mut(&ledger.name).and_then(|shards| shards.first_mut()) {
            shard.lanes.take_back(lane);
        }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.clock.now().timestamp_micros()).unwrap_or(0)
    }

    /// Reads from a shard, once its incarnation is as it should be.
    fn look<T>(&self, at: At<'_>, read: impl FnOnce(&mut ShardModel, shard::Now) -> StoreResult<T>) -> StoreResult<T> {
        let mut world = self.world();
        let expected = &at.ledger.incarnation;
        let shard = world.ledgers.get_mut(&at.ledger.name).and_then(|shards| shards.get_mut(at.shard.get() as usize));
        let found = shard.as_ref().map(|shard| shard.incarnation.to_string());
        match shard {
            Some(shard) if shard.incarnation == *expected => read(shard, shard::Now { us: self.now_us() }),
            Some(_) | None => Err(StoreError::Amnesia { expected: expected.to_string(), found }),
        }
    }

    /// Runs a call that writes: its time is the shard's, which never goes back. In a lane, a repeated one is answered as
    /// before.
    fn on<T: Clone + Send + Sync + 'static>(
        &self,
        at: At<'_>,
        asked: impl FnOnce() -> Asked,
        call: impl FnOnce(&mut ShardModel, shard::Now) -> T,
    ) -> StoreResult<T> {
        self.look(at, |shard, server| {
            let now = shard.now(server.us)?;
            let lane = at.lane.filter(|lane| lane.number != LaneNumber::NONE);
            let Some(lane) = lane else {
                shard.begin_call(now);
                return Ok(call(shard, now));
            };
            let asked = asked();
            if let Some(reply) = shard.lanes.find(lane, &asked, server.ms())? {
                return Ok(reply);
            }
            shard.begin_call(now);
            let reply = call(shard, now);
            shard.lanes.keep(lane, asked, reply.clone(), now.ms());
            Ok(reply)
        })
    }

    /// Runs `read` on every shard of a ledger, in order; none when the ledger does not exist.
    fn each<T>(&self, name: &LedgerName, read: impl FnMut((usize, &ShardModel)) -> T) -> Vec<T> {
        self.world().ledgers.get(name).map_or_else(Vec::new, |shards| shards.iter().enumerate().map(read).collect())
    }
}

/// What a relay's call asks for.
fn relay_args<T: AsRef<str>>(args: &[T]) -> packing::Args {
    args.iter().map(AsRef::as_ref).collect()
}

impl Store for MemoryStore {
    async fn open(&self, name: &LedgerName) -> StoreResult<Option<Ledger>> {
        let mut incarnations = self.each(name, |(_, shard)| shard.incarnation.clone()).into_iter();
        let Some(incarnation) = incarnations.next() else { return Ok(None) };
        if let Some(other) = incarnations.find(|other| *other != incarnation) {
            return Err(StoreError::Amnesia { expected: incarnation.to_string(), found: Some(other.to_string()) });
        }
        Ok(Some(Ledger { name: name.clone(), incarnation }))
    }

    async fn init(&self, name: &LedgerName, shape: Shape) -> StoreResult<Init> {
        if let Some(ledger) = self.open(name).await? {
            return Ok(Init::Exists(ledger));
        }
        let incarnation = Incarnation::new(uuid::Uuid::new_v4(), shape);
        let now = self.now_us();
        let shards = (0..shape.shards).map(|_| ShardModel::new(incarnation.clone(), now)).collect();
        self.world().ledgers.insert(name.clone(), shards);
        Ok(Init::Created(Ledger { name: name.clone(), incarnation }))
    }

    async fn topic_number(&self, namespace: &Namespace, topic: &str) -> StoreResult<TopicNumber> {
        let topics = &mut self.world().topics;
        let next = topics.keys().filter(|(of, _)| of == namespace).count() + 1;
        let full = |_| StoreError::BadArgument("no topic number is left in the namespace".to_owned());
        match topics.get(&(namespace.clone(), topic.to_owned())) {
            Some(known) => Ok(*known),
            None => {
                let number = TopicNumber::new(u16::try_from(next).map_err(full)?);
                topics.insert((namespace.clone(), topic.to_owned()), number);
                Ok(number)
            }
        }
    }

    async fn claim(&self, at: At<'_>, terms: &Terms, deliveries: &[Delivery]) -> StoreResult<Vec<Claim>> {
        check_count(deliveries.len())?;
        self.on(
            at,
            || ("claim", packing::pack_claims(at.ledger.shape(), &millis(terms.lease).to_string(), terms, deliveries).args),
            |shard, now| shard.claim(now, terms, deliveries),
        )
    }

    async fn seen(&self, at: At<'_>, terms: &Terms, report: Report, deliveries: &[Delivery]) -> StoreResult<Vec<Seen>> {
        check_count(deliveries.len())?;
        self.on(
            at,
            || ("seen", packing::pack_claims(at.ledger.shape(), packing::report(report), terms, deliveries).args),
            |shard, now| shard.seen(now, terms, report, deliveries),
        )
    }

    async fn complete(&self, at: At<'_>, owner: &Owner, grants: &[Grant]) -> StoreResult<Vec<Finish>> {
        check_count(grants.len())?;
        self.on(
            at,
            || ("complete", packing::pack_finishes(at.ledger.shape(), owner, grants).args),
            |shard, now| shard.finish(now, record::Settled::Completed, owner, grants),
        )
    }

    async fn fail(&self, at: At<'_>, owner: &Owner, grants: &[Grant]) -> StoreResult<Vec<Finish>> {
        check_count(grants.len())?;
        self.on(
            at,
            || ("fail", packing::pack_finishes(at.ledger.shape(), owner, grants).args),
            |shard, now| shard.finish(now, record::Settled::GivenUp, owner, grants),
        )
    }

    async fn release(
        &self,
        at: At<'_>,
        reason: ReleaseReason,
        delay: Duration,
        grants: &[Grant],
    ) -> StoreResult<Vec<Touch>> {
        check_count(grants.len())?;
        self.on(
            at,
            || ("release", packing::pack_holds(delay, packing::reason(reason), grants).args),
            |shard, now| shard.release(now, reason, millis(delay), grants),
        )
    }

    async fn extend(&self, at: At<'_>, lease: Duration, grants: &[Grant]) -> StoreResult<Vec<Touch>> {
        check_count(grants.len())?;
        self.on(
            at,
            || ("extend", packing::pack_holds(lease, "", grants).args),
            |shard, now| shard.extend(now, millis(lease), grants),
        )
    }

    async fn commit(&self, at: At<'_>, owner: &Owner, requests: &[CommitRequest]) -> StoreResult<Vec<Commit>> {
        check_count(requests.len())?;
        requests.iter().try_for_each(|request| request.change.check())?;
        self.on(
            at,
            || ("commit", packing::pack_commits(at.ledger.shape(), owner, requests).args),
            |shard, now| shard.commit(now, requests),
        )
    }

    async fn begin(&self, at: At<'_>, change: &Change, unsent_max: u64) -> StoreResult<Begin> {
        change.check_root()?;
        self.on(
            at,
            || ("begin", packing::pack_begin(change, unsent_max).args),
            |shard, now| shard.begin(now, change, unsent_max),
        )
    }

    async fn state(&self, at: At<'_>, aggregate: &str) -> StoreResult<Option<AggregateState>> {
        self.look(at, |shard, now| Ok(shard.state(now, aggregate)))
    }

    async fn note(&self, at: At<'_>, findings: Findings) -> StoreResult<()> {
        self.on(at, || ("note", packing::pack_findings(findings, &[]).args), |shard, now| shard.note(now, findings))
    }

    async fn server(&self) -> StoreResult<ServerId> {
        Ok(ServerId::new("memory", "0"))
    }

    async fn confirm(&self, _ledger: &Ledger, _server: &ServerId) -> StoreResult<()> {
        Ok(())
    }

    /// It loses nothing but with its process.
    async fn take_stock(&self, at: At<'_>) -> StoreResult<u64> {
        self.look(at, |_, _| Ok(0))
    }

    async fn hold_outbox(&self, at: At<'_>, owner: &Owner, lease: Duration) -> StoreResult<RelayLease> {
        self.on(
            at,
            || ("hold", relay_args(&[owner.as_str(), &millis(lease).to_string()])),
            |shard, now| shard.hold_outbox(now, owner, millis(lease)),
        )
    }

    async fn read_outbox(&self, at: At<'_>, limit: usize) -> StoreResult<Vec<OutboxEntry>> {
        self.look(at, |shard, _| Ok(shard.read_outbox(limit)))
    }

    async fn trim_outbox(&self, at: At<'_>, fence: FencingToken, sent: &[OutboxId]) -> StoreResult<Trim> {
        check_count(sent.len())?;
        self.on(
            at,
            || ("trim", relay_args(&sent.iter().map(OutboxId::to_string).chain([fence.to_string()]).collect::<Vec<_>>())),
            |shard, _| shard.trim_outbox(fence, sent),
        )
    }

    async fn let_go_of_outbox(&self, at: At<'_>, fence: FencingToken) -> StoreResult<()> {
        self.on(at, || ("let go", relay_args(&[fence.to_string()])), |shard, _| shard.let_go_of_outbox(fence))
    }

    async fn outbox_stats(&self, at: At<'_>) -> StoreResult<OutboxStats> {
        self.look(at, |shard, _| Ok(shard.outbox_stats()))
    }

    async fn sweep(&self, at: At<'_>, _from: SweepCursor) -> StoreResult<SweepStep> {
        self.on(at, || ("sweep", relay_args::<&str>(&[])), |shard, now| SweepStep { next: None, dropped: shard.sweep(now) })
    }

    async fn stats(&self, at: At<'_>) -> StoreResult<ShardStats> {
        self.look(at, |shard, now| Ok(shard.stats(now.us)))
    }

    async fn ledgers(&self, namespace: &Namespace) -> StoreResult<Vec<LedgerEntry>> {
        let entry = |(name, shards): (&LedgerName, &Vec<ShardModel>)| LedgerEntry {
            name: name.clone(),
            shards: u32::try_from(shards.len()).unwrap_or(u32::MAX),
        };
        let of = |(name, _): &(&LedgerName, &Vec<ShardModel>)| name.namespace == *namespace;
        Ok(self.world().ledgers.iter().filter(of).map(entry).collect())
    }

    async fn books(&self, ledger: &LedgerEntry) -> StoreResult<Books> {
        let now = self.now_us();
        let shards = self.each(&ledger.name, |(_, shard)| ShardBooks::Read(Box::new(shard.stats(now))));
        let incarnation = self.open(&ledger.name).await?.map(|ledger| ledger.incarnation);
        Ok(Books { incarnation, shards })
    }

    async fn recent_duplicates(&self, ledger: &LedgerEntry, limit: usize) -> StoreResult<Vec<DuplicateRecord>> {
        let all = self.each(&ledger.name, |(_, shard)| shard.recent(limit));
        Ok(books::newest(all.into_iter().flatten().collect(), limit))
    }

    async fn passport(&self, ledger: &Ledger, shard: Option<ShardNumber>, event: EventDigest) -> StoreResult<Vec<Passport>> {
        let now = self.now_us();
        let number = |index: usize| ShardNumber::new(u32::try_from(index).unwrap_or(u32::MAX));
        let all = self.each(&ledger.name, |(index, model)| {
            let wanted = shard.is_none_or(|only| only == number(index)) && model.incarnation == ledger.incarnation;
            if wanted { model.passport(now, number(index), event) } else { None }
        });
        Ok(all.into_iter().flatten().collect())
    }

    async fn passports(&self, at: At<'_>, events: &[EventDigest]) -> StoreResult<Vec<Option<Passport>>> {
        self.look(at, |shard, now| Ok(events.iter().map(|event| shard.passport(now.us, at.shard, *event)).collect()))
    }

    async fn saga(&self, at: At<'_>, aggregate: &str) -> StoreResult<Option<SagaStand>> {
        self.look(at, |shard, _| Ok(shard.saga(aggregate)))
    }

    async fn sagas(&self, ledger: &LedgerEntry, limit: usize) -> StoreResult<Sagas> {
        let now = self.now_us();
        Ok(books::merge_sagas(self.each(&ledger.name, |(_, shard)| shard.sagas(now, limit)), limit))
    }

    async fn topics(&self, namespace: &Namespace) -> StoreResult<BTreeMap<TopicNumber, String>> {
        let topics = &self.world().topics;
        let of = topics.iter().filter(|((of, _), _)| of == namespace);
        Ok(of.map(|((_, topic), number)| (*number, topic.clone())).collect())
    }

    async fn server_facts(&self) -> StoreResult<Vec<ServerFact>> {
        Ok(vec![ServerFact { name: "store", value: "in memory, gone with this process".to_owned(), problem: None }])
    }

    fn address(&self) -> String {
        "memory".to_owned()
    }
}
