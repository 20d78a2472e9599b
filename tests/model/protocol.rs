//! What may happen next: the moves, and what each of them leaves.
//!
//! Kafka is the worst that it may be: a partition may be handed to any worker at any time, while earlier owners go on with it.
//! Replies of the store are those of the product's store; what workers do with them is written down here.

use crate::history::{Fate, History, LEASE, Place, at_once, delivery, owner};
use crate::world::{Breach, Committed, Doubt, Ending, Hand, IDS, Spent, Stored, Worker, World};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use tidemark::consumer::{Start, offset_metadata, start};
use tidemark::kafka::poll_loop::CommittedPlace;
use tidemark::lag::TopicPartition;
use tidemark::store::*;

/// Where the effect of an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// In the store's business state: `commit`.
    InStore,
    /// Elsewhere: work, then `complete`.
    Outside,
}

/// What is explored, all of it.
#[derive(Clone, Debug)]
pub struct Bounds {
    pub workers: usize,
    /// The event of each record.
    pub records: &'static [usize],
    pub effect: Effect,
    /// Offsets wait for the replica.
    pub waits: bool,
    pub most: Spent,
}

/// A defect that others have, or a rule of this protocol left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    UnfencedCompletion,
    MarkBeforeWork,
    CheckWorkMark,
    UnconditionalTakeover,
    ClientClocks,
    OffsetBeforeWork,
    OffsetWithoutWaiting,
    NewOwnerDoesNotGoBack,
    LivingOwnerDoesNotGoBack,
    FenceWithoutTime,
    NoLanes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// A process starts, or again after a crash, and is handed the partition.
    Start(usize),
    Claim(usize, usize),
    Work(usize, usize),
    Finish(usize, usize),
    GiveUp(usize, usize),
    Release(usize, usize),
    /// The same calls, made and done, of which no reply is heard.
    ClaimUnheard(usize, usize),
    FinishUnheard(usize, usize),
    Repeat(usize),
    /// It finds that another server answers.
    Notice(usize),
    /// It learns that all that it rests on is safe, as far as it was told to see to that.
    Confirm(usize),
    CommitOffset(usize),
    /// Every lease that runs ends.
    Lapse,
    Replicate,
    FailOver,
}

pub struct Protocol {
    pub bounds: Bounds,
    pub mutant: Option<Mutant>,
    pub place: Place,
    empty: History,
    /// Whether all ends well from where only this matters; see `endings`.
    pub endings: Mutex<HashMap<crate::endings::Outlook, bool>>,
}

impl Protocol {
    pub fn new(bounds: Bounds, mutant: Option<Mutant>) -> Self {
        let (place, empty) = Place::create();
        Self { bounds, mutant, place, empty, endings: Mutex::default() }
    }

    pub fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub fn first_world(&self) -> World {
        World {
            now: 0,
            spent: Spent::default(),
            server: 0,
            primary: self.empty.clone(),
            replica: (self.bounds.most.failovers > 0).then(|| self.empty.clone()),
            is_behind: false,
            workers: vec![None; self.bounds.workers],
            committed: None,
            effects: [0; IDS],
            highest_fence: 0,
            lanes: 0,
            breach: None,
            raw_fences: self.is(Mutant::FenceWithoutTime),
        }
    }

    fn has_lanes(&self) -> bool {
        self.bounds.most.unheard > 0
    }

    /// From where a new owner reads, by the product's own rule.
    pub fn first_record(&self, committed: Option<Committed>, server: u8) -> u64 {
        let id = |server: u8| ServerId::new("run", &server.to_string());
        let metadata = |committed: Committed| offset_metadata(&self.place.ledger, &id(committed.server), 0);
        let place = CommittedPlace {
            partition: TopicPartition { topic: "t".into(), partition: 0 },
            offset: committed.map(|committed| committed.offset),
            metadata: committed.map(metadata).unwrap_or_default(),
        };
        match start(&place, &self.place.ledger, &id(server)) {
            Start::Nowhere => 0,
            Start::Committed { offset, .. } => offset,
            Start::Back { offset, .. } if self.is(Mutant::NewOwnerDoesNotGoBack) => offset,
            Start::Back { floor, .. } => floor,
        }
    }

    // ---- what is possible -------------------------------------------------------------------------------------------

    pub fn moves(&self, world: &World, moves: &mut Vec<Move>) {
        if world.breach.is_some() {
            return;
        }
        let (spent, most) = (&world.spent, &self.bounds.most);
        for (w, worker) in world.workers.iter().enumerate() {
            // Workers that have not started yet are the same: only the first of them does.
            let is_spare = worker.is_none() && world.workers[..w].iter().any(Option::is_none);
            if spent.starts < most.starts && !is_spare {
                moves.push(Move::Start(w));
            }
            if let Some(worker) = worker {
                self.moves_of(world, w, worker, moves);
            }
        }
        let runs = |fate: &Fate| matches!(fate, Fate::InFlight { lease_end, .. } if *lease_end > world.now);
        if spent.lapses < most.lapses && world.primary.fates.iter().any(runs) {
            moves.push(Move::Lapse);
        }
        if world.replica.is_some() && world.is_behind {
            moves.push(Move::Replicate);
        }
        if spent.failovers < most.failovers && world.replica.is_some() {
            moves.push(Move::FailOver);
        }
    }

    fn moves_of(&self, world: &World, w: usize, worker: &Worker, moves: &mut Vec<Move>) {
        if worker.doubt.is_some() {
            moves.push(Move::Repeat(w));
            return;
        }
        if worker.server != world.server {
            moves.push(Move::Notice(w));
        }
        for (record, hand) in worker.hands.iter().enumerate() {
            self.moves_of_hand(world, (w, record), *hand, moves);
        }
        if worker.server == world.server && self.to_confirm(worker).is_some() && !(self.has_to_wait() && world.is_behind) {
            moves.push(Move::Confirm(w));
        }
        if worker.confirmed.is_some() {
            moves.push(Move::CommitOffset(w));
        }
    }

    fn moves_of_hand(&self, world: &World, (w, record): (usize, usize), hand: Hand, moves: &mut Vec<Move>) {
        let (spent, most) = (&world.spent, &self.bounds.most);
        let may_be_unheard = spent.unheard < most.unheard;
        match hand {
            Hand::NotRead | Hand::Settled { .. } => {}
            Hand::Unclaimed => {
                moves.push(Move::Claim(w, record));
                if may_be_unheard {
                    moves.push(Move::ClaimUnheard(w, record));
                }
            }
            Hand::Held { work, .. } => {
                if spent.returns < most.returns {
                    moves.push(Move::GiveUp(w, record));
                    moves.push(Move::Release(w, record));
                }
                if work.is_none() && !self.is(Mutant::MarkBeforeWork) {
                    moves.push(Move::Work(w, record));
                    return;
                }
                moves.push(Move::Finish(w, record));
                if may_be_unheard {
                    moves.push(Move::FinishUnheard(w, record));
                }
            }
            Hand::Looked { worked: true } => moves.push(Move::Finish(w, record)),
            Hand::Looked { worked: false } if self.is(Mutant::UnconditionalTakeover) => moves.push(Move::Claim(w, record)),
            Hand::Looked { worked: false } | Hand::Marked { .. } => moves.push(Move::Work(w, record)),
        }
    }

    fn has_to_wait(&self) -> bool {
        self.bounds.waits && !self.is(Mutant::OffsetWithoutWaiting)
    }

    fn to_confirm(&self, worker: &Worker) -> Option<u64> {
        let offset =
            if self.is(Mutant::OffsetBeforeWork) { Some(worker.hands.len() as u64) } else { worker.offsets.to_commit() };
        offset.filter(|offset| worker.confirmed.is_none_or(|confirmed| confirmed.offset < *offset))
    }

    // ---- what follows -----------------------------------------------------------------------------------------------

    /// `None` when nothing changes.
    pub fn after(&self, world: &World, next: &Move) -> Option<World> {
        let mut world = world.clone();
        match *next {
            Move::Start(w) => {
                world.spent.starts += 1;
                world.lanes += 1;
                let from = self.first_record(world.committed, world.server);
                world.workers[w] = Some(Worker::new(world.lanes, world.server, from, self.bounds.records.len()));
            }
            Move::Claim(w, record) => self.claim(&mut world, w, record)?,
            Move::Work(w, record) => self.work(&mut world, w, record),
            Move::Finish(w, record) => self.finish(&mut world, w, record),
            Move::GiveUp(w, record) => self.give_up(&mut world, w, record),
            Move::Release(w, record) => self.release(&mut world, w, record),
            Move::ClaimUnheard(w, record) => self.unheard(&mut world, w, Doubt::Claim { record, stored: Stored::default() }),
            Move::FinishUnheard(w, record) => {
                self.unheard(&mut world, w, Doubt::Finish { record, stored: Stored::default() })
            }
            Move::Repeat(w) => self.repeat(&mut world, w),
            Move::Notice(w) => self.notice(&mut world, w),
            Move::Confirm(w) => self.confirm(&mut world, w),
            Move::CommitOffset(w) => {
                let confirmed = world.worker(w).confirmed.take();
                let worker = world.worker(w);
                // What was confirmed by a server before says nothing of what is read again.
                if let Some(confirmed) = confirmed.filter(|confirmed| confirmed.server == worker.server) {
                    worker.offsets.committed(confirmed.offset);
                }
                world.committed = confirmed;
            }
            Move::Lapse => {
                world.spent.lapses += 1;
                world.now += millis(LEASE) + 1;
            }
            Move::Replicate => {
                world.replica = Some(world.primary.clone());
                world.is_behind = false;
            }
            Move::FailOver => self.fail_over(&mut world),
        }
        if !world.primary.books_balance {
            world.breaks(Breach::Books);
        }
        Some(world)
    }

    fn fail_over(&self, world: &mut World) {
        world.spent.failovers += 1;
        world.server += 1;
        // A failover takes longer than the grants of one moment run ahead of the clock.
        world.now += u64::from(!self.is(Mutant::FenceWithoutTime));
        world.primary = world.replica.clone().expect("there is a replica");
        world.is_behind = false;
        if world.spent.failovers == self.bounds.most.failovers {
            world.replica = None;
        }
    }

    /// Makes a call for a worker, in its lane if it has one.
    fn call<T>(
        &self,
        world: &mut World,
        w: usize,
        call: impl FnOnce(&MemoryStore, At<'_>) -> StoreResult<T>,
    ) -> StoreResult<T> {
        let (now, worker) = (world.now, world.workers[w].as_ref().expect("the worker runs"));
        let (lane, number) = (worker.lane, worker.answered + 1);
        let at = match self.has_lanes() && !self.is(Mutant::NoLanes) {
            true => self.place.at().in_lane(LaneCall { name: LaneName::new(lane), number: LaneNumber::new(number) }),
            false => self.place.at(),
        };
        let reply = self.place.call(&mut world.primary, now, |store| call(store, at));
        world.is_behind = world.replica.is_some();
        if self.has_lanes() && reply.is_ok() {
            world.primary.lanes.insert(lane, number);
        }
        reply
    }

    fn id(&self, record: usize) -> usize {
        self.bounds.records[record]
    }

    // ---- claiming ---------------------------------------------------------------------------------------------------

    fn claim(&self, world: &mut World, w: usize, record: usize) -> Option<()> {
        let id = self.id(record);
        match (self.mutant, world.primary.fates[id], world.worker(w).hands[record]) {
            (Some(Mutant::CheckWorkMark), fate, _) => {
                if fate.is_settled() {
                    world.worker(w).settle(record, None);
                } else {
                    world.worker(w).hands[record] = Hand::Looked { worked: false };
                }
                return Some(());
            }
            (Some(Mutant::UnconditionalTakeover), Fate::InFlight { lease_end, .. }, Hand::Unclaimed)
                if lease_end <= world.now =>
            {
                world.worker(w).hands[record] = Hand::Looked { worked: false };
                return Some(());
            }
            (Some(Mutant::UnconditionalTakeover), Fate::InFlight { fence, .. }, Hand::Looked { .. }) => {
                // A plain SET: whoever holds it by now loses it.
                let grant = Grant::of(&delivery(id, record), FencingToken::new(fence));
                let now = world.now;
                let taken = self.place.call(&mut world.primary, now, |store| {
                    at_once(store.release(self.place.at(), ReleaseReason::HandedBack, Duration::ZERO, &[grant]))
                });
                taken.expect("the store takes it");
            }
            _ => {}
        }
        let reply = self.call_claim(world, w, record);
        match reply {
            Ok(claim) => {
                self.note_grant(world, w, id, &claim);
                self.hear_claim(world, w, record, &claim)
            }
            Err(error) => {
                self.refused(world, w, &error);
                Some(())
            }
        }
    }

    fn call_claim(&self, world: &mut World, w: usize, record: usize) -> StoreResult<Claim> {
        let terms = Terms { owner: owner(w), lease: LEASE, intent: Intent::Normal };
        let (id, real) = (self.id(record), world.now);
        if self.is(Mutant::ClientClocks) && w == 1 {
            world.now += millis(LEASE) + 1;
        }
        let claim = self.call(world, w, |store, at| at_once(store.claim(at, &terms, &[delivery(id, record)])));
        world.now = real;
        claim.map(|mut claims| claims.remove(0))
    }

    /// Holds a grant against the rules when it is made.
    fn note_grant(&self, world: &mut World, w: usize, id: usize, claim: &Claim) {
        let Claim::Granted { fence, how, .. } = claim else { return };
        let fence = fence.get();
        if fence <= world.highest_fence {
            world.breaks(Breach::FenceReused);
        }
        if *how == GrantKind::First && world.primary.first[id] {
            world.breaks(Breach::SecondFirst);
        }
        let latest = world.primary.latest[id];
        let lapses = world.spent.lapses;
        let holds = |hand: &Hand| matches!(hand, Hand::Held { fence, lapses: then, .. } if Some(*fence) == latest && *then == lapses);
        let others = world.workers.iter().enumerate().filter(|(other, _)| *other != w);
        let is_held = others
            .filter_map(|(_, other)| other.as_ref())
            .any(|other| other.hands.iter().enumerate().any(|(record, hand)| self.id(record) == id && holds(hand)));
        if is_held {
            world.breaks(Breach::NotAlone);
        }
        world.primary.latest[id] = Some(fence);
        world.primary.first[id] |= *how == GrantKind::First;
        world.highest_fence = world.highest_fence.max(fence);
    }

    /// What a worker does with the reply; `None` when that is to ask again.
    fn hear_claim(&self, world: &mut World, w: usize, record: usize, claim: &Claim) -> Option<()> {
        let (now, fate) = (world.now, world.primary.fates[self.id(record)]);
        let runs = |granted: u64| matches!(fate, Fate::InFlight { fence, lease_end } if fence == granted && lease_end > now);
        // A grant that was heard of late may have lapsed already.
        let lapses = |granted: u64| if runs(granted) { world.spent.lapses } else { u8::MAX };
        let lapses = if let Claim::Granted { fence, .. } = claim { lapses(fence.get()) } else { 0 };
        let worker = world.worker(w);
        worker.answered += u64::from(self.has_lanes());
        match claim {
            Claim::Granted { fence, .. } => {
                worker.hands[record] = Hand::Held { fence: fence.get(), lapses, work: None };
            }
            Claim::Duplicate { .. } => worker.settle(record, None),
            // Without lanes asking in vain leaves everything as it was; in a lane it has used a number.
            Claim::Busy { .. } | Claim::NotYet { .. } => return worker.doubt.is_some().then_some(()),
            Claim::Conflict { .. } => unreachable!("no payload is given"),
        }
        Some(())
    }

    // ---- working and finishing --------------------------------------------------------------------------------------

    fn work(&self, world: &mut World, w: usize, record: usize) {
        let (id, version) = (self.id(record), world.primary.version);
        if self.bounds.effect == Effect::Outside {
            world.effects[id] = (world.effects[id] + 1).min(2);
        }
        let is_looking = |worker: &Worker| {
            let hands = worker.hands.iter().enumerate();
            hands.filter(|(other, _)| self.id(*other) == id).any(|(_, hand)| matches!(hand, Hand::Looked { worked: true }))
        };
        match &mut world.worker(w).hands[record] {
            Hand::Held { work, .. } => *work = Some(if self.bounds.effect == Effect::InStore { version } else { 0 }),
            Hand::Looked { .. } => {
                if world.workers.iter().flatten().any(is_looking) {
                    world.breaks(Breach::NotAlone);
                }
                world.worker(w).hands[record] = Hand::Looked { worked: true };
            }
            Hand::Marked { .. } => world.worker(w).settle(record, None),
            Hand::NotRead | Hand::Unclaimed | Hand::Settled { .. } => unreachable!("there is nothing to do"),
        }
    }

    fn finish(&self, world: &mut World, w: usize, record: usize) {
        if let Hand::Looked { .. } = world.worker(w).hands[record] {
            // The mark is a plain SET: `complete` of an event that may be unknown.
            let grant = Grant::of(&delivery(self.id(record), record), FencingToken::new(0));
            let _ = self.call(world, w, |store, at| at_once(store.complete(at, &owner(w), &[grant])));
            return world.worker(w).settle(record, None);
        }
        match self.call_finish(world, w, record) {
            Ok(finished) => self.hear_finish(world, w, record, finished),
            Err(error) => self.refused(world, w, &error),
        }
    }

    /// Makes the call, and holds its reply against the rules.
    fn call_finish(&self, world: &mut World, w: usize, record: usize) -> StoreResult<Finished> {
        let Hand::Held { fence, work, .. } = world.worker(w).hands[record] else { unreachable!("it is held") };
        let (id, version) = (self.id(record), work.unwrap_or(0));
        let sent = match (self.is(Mutant::UnfencedCompletion), world.primary.fates[id]) {
            (true, Fate::InFlight { fence, .. }) => fence,
            _ => fence,
        };
        let grant = Grant::of(&delivery(id, record), FencingToken::new(sent));
        let latest = world.primary.latest[id];
        let finished = match self.bounds.effect {
            Effect::Outside => {
                let call = |store: &MemoryStore, at: At<'_>| at_once(store.complete(at, &owner(w), &[grant]));
                self.call(world, w, call).map(|replies| match replies[0] {
                    Finish::Done => Finished::Done,
                    Finish::Again => Finished::Again,
                    Finish::Fenced => Finished::Lost,
                    Finish::Orphan => Finished::Unknown,
                })
            }
            Effect::InStore => {
                let request = self.place.request(grant, version);
                let call = |store: &MemoryStore, at: At<'_>| at_once(store.commit(at, &owner(w), &[request]));
                self.call(world, w, call).map(|replies| match replies[0] {
                    Commit::Done { .. } => Finished::Done,
                    Commit::Again => Finished::Again,
                    Commit::Fenced => Finished::Lost,
                    Commit::Gone => Finished::Gone,
                    Commit::VersionMismatch { .. } => Finished::DecideAgain,
                })
            }
        }?;
        if finished == Finished::Done && latest != Some(fence) {
            world.breaks(Breach::StaleHolder);
        }
        if matches!(finished, Finished::Unknown | Finished::Gone) && world.spent.failovers == 0 {
            world.breaks(Breach::UnknownWithoutFailover);
        }
        Ok(finished)
    }

    fn hear_finish(&self, world: &mut World, w: usize, record: usize, finished: Finished) {
        let has_lanes = self.has_lanes();
        let (is_outside, is_marking) = (self.bounds.effect == Effect::Outside, self.is(Mutant::MarkBeforeWork));
        let worker = world.worker(w);
        worker.answered += u64::from(has_lanes);
        let Hand::Held { fence, work, .. } = &mut worker.hands[record] else { unreachable!("it is held") };
        let fence = *fence;
        match finished {
            Finished::Done if is_marking => worker.hands[record] = Hand::Marked { fence },
            Finished::Done | Finished::Again | Finished::Unknown => {
                worker.settle(record, is_outside.then_some((fence, Ending::Completed)));
            }
            Finished::Lost | Finished::Gone => worker.hands[record] = Hand::Unclaimed,
            Finished::DecideAgain => *work = None,
        }
    }

    /// The dead-letter copy is acknowledged: the ledger is told.
    fn give_up(&self, world: &mut World, w: usize, record: usize) {
        world.spent.returns += 1;
        let Hand::Held { fence, .. } = world.worker(w).hands[record] else { unreachable!("it is held") };
        let id = self.id(record);
        let latest = world.primary.latest[id];
        let grant = Grant::of(&delivery(id, record), FencingToken::new(fence));
        let reply = self.call(world, w, |store, at| at_once(store.fail(at, &owner(w), &[grant])));
        match reply.map(|replies| replies[0]) {
            Ok(Finish::Done) if latest != Some(fence) => world.breaks(Breach::StaleHolder),
            Ok(Finish::Done | Finish::Again | Finish::Orphan) => {
                let own = (self.bounds.effect == Effect::Outside).then_some((fence, Ending::Failed));
                world.worker(w).settle(record, own);
            }
            Ok(Finish::Fenced) => world.worker(w).hands[record] = Hand::Unclaimed,
            Err(error) => return self.refused(world, w, &error),
        }
        world.worker(w).answered += u64::from(self.has_lanes());
    }

    fn release(&self, world: &mut World, w: usize, record: usize) {
        world.spent.returns += 1;
        if let Err(error) = self.hand_back(world, w, record, ReleaseReason::Failed) {
            return self.refused(world, w, &error);
        }
        world.worker(w).answered += u64::from(self.has_lanes());
        world.worker(w).hands[record] = Hand::Unclaimed;
    }

    fn hand_back(&self, world: &mut World, w: usize, record: usize, why: ReleaseReason) -> StoreResult<()> {
        let Hand::Held { fence, .. } = world.worker(w).hands[record] else { return Ok(()) };
        let grant = Grant::of(&delivery(self.id(record), record), FencingToken::new(fence));
        self.call(world, w, |store, at| at_once(store.release(at, why, Duration::ZERO, &[grant]))).map(drop)
    }

    // ---- lost replies -----------------------------------------------------------------------------------------------

    fn unheard(&self, world: &mut World, w: usize, doubt: Doubt) {
        world.spent.unheard += 1;
        if let Ok(heard) = self.make(world, w, &doubt) {
            world.worker(w).doubt = Some(doubt.with(heard.stored()));
        }
    }

    /// Makes the call that is in doubt; whatever it grants is noted.
    fn make(&self, world: &mut World, w: usize, doubt: &Doubt) -> StoreResult<Heard> {
        let had_it = self.is_done(world, w);
        match *doubt {
            Doubt::Claim { record, .. } => {
                let claim = self.call_claim(world, w, record)?;
                if !had_it {
                    self.note_grant(world, w, self.id(record), &claim);
                }
                Ok(Heard::Claim(claim))
            }
            Doubt::Finish { record, .. } => {
                // What was done is held against the rules once.
                let breach = world.breach;
                let finished = self.call_finish(world, w, record)?;
                if had_it {
                    world.breach = breach;
                }
                Ok(Heard::Finish(finished))
            }
        }
    }

    /// Whether the primary has done the call that is next in the worker's lane.
    fn is_done(&self, world: &World, w: usize) -> bool {
        let worker = world.workers[w].as_ref().expect("the worker runs");
        world.primary.lanes.get(&worker.lane).is_some_and(|last| *last > worker.answered)
    }

    fn repeat(&self, world: &mut World, w: usize) {
        let Some(doubt) = world.worker(w).doubt else { unreachable!("nothing is in doubt") };
        let (had_it, counted) = (self.is_done(world, w), world.primary.counted());
        let reply = self.make(world, w, &doubt);
        if had_it && reply.is_ok() && world.primary.counted() != counted {
            world.breaks(Breach::CountedAgain);
        }
        match (reply, doubt) {
            (Ok(Heard::Claim(claim)), Doubt::Claim { record, .. }) => {
                let _ = self.hear_claim(world, w, record, &claim);
            }
            (Ok(Heard::Finish(finished)), Doubt::Finish { record, .. }) => self.hear_finish(world, w, record, finished),
            (Err(error), _) => return self.refused(world, w, &error),
            (Ok(_), _) => unreachable!("a call has its own kind of reply"),
        }
        world.worker(w).doubt = None;
    }

    // ---- what was lost ----------------------------------------------------------------------------------------------

    /// The store says that it lost calls of this lane.
    fn refused(&self, world: &mut World, w: usize, error: &StoreError) {
        assert!(matches!(error, StoreError::Lost { .. }), "{error}");
        self.notice(world, w);
    }

    /// Settles again what the store may have lost of its own work, hands back what it holds, and reads everything again.
    fn notice(&self, world: &mut World, w: usize) {
        let server = world.server;
        world.lanes += 1;
        let lane = world.lanes;
        let worker = world.worker(w);
        (worker.server, worker.lane, worker.answered, worker.doubt) = (server, lane, 0, None);
        if self.is(Mutant::LivingOwnerDoesNotGoBack) {
            return;
        }
        for record in 0..self.bounds.records.len() {
            let (id, hand) = (self.id(record), world.worker(w).hands[record]);
            let latest = world.primary.latest[id];
            let answered = match hand {
                Hand::Held { .. } => self.hand_back(world, w, record, ReleaseReason::HandedBack).is_ok(),
                Hand::Settled { own: Some((fence, ending)) } => {
                    let grants = [Grant::of(&delivery(id, record), FencingToken::new(fence))];
                    let reply = self.call(world, w, |store, at| match ending {
                        Ending::Completed => at_once(store.complete(at, &owner(w), &grants)),
                        Ending::Failed => at_once(store.fail(at, &owner(w), &grants)),
                    });
                    let reply = reply.expect("a new lane has lost nothing");
                    if reply[0] == Finish::Done && latest != Some(fence) {
                        world.breaks(Breach::StaleHolder);
                    }
                    true
                }
                Hand::NotRead
                | Hand::Unclaimed
                | Hand::Settled { own: None }
                | Hand::Looked { .. }
                | Hand::Marked { .. } => false,
            };
            world.worker(w).answered += u64::from(answered && self.has_lanes());
        }
        world.worker(w).read_from(0);
    }

    fn confirm(&self, world: &mut World, w: usize) {
        let server = world.server;
        let Some(offset) = self.to_confirm(world.worker(w)) else { return };
        let settled = |record: usize| world.primary.fates[self.id(record)].is_settled();
        if !(0..self.bounds.records.len()).take_while(|record| (*record as u64) < offset).all(settled) {
            world.breaks(Breach::PastUnsettled);
        }
        world.worker(w).confirmed = Some(Committed { offset, server });
    }
}

/// How a worker is answered that finishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finished {
    Done,
    Again,
    /// The event was unknown; it is settled now.
    Unknown,
    /// Somebody else has it.
    Lost,
    /// The event is unknown; nothing was written.
    Gone,
    DecideAgain,
}

enum Heard {
    Claim(Claim),
    Finish(Finished),
}

impl Heard {
    fn stored(&self) -> Stored {
        let (kind, fence) = match self {
            Self::Claim(Claim::Granted { fence, .. }) => (0, fence.get()),
            Self::Claim(Claim::Duplicate { .. }) => (1, 0),
            Self::Claim(Claim::Busy { .. }) => (2, 0),
            Self::Claim(Claim::NotYet { .. }) => (3, 0),
            Self::Claim(Claim::Conflict { .. }) => (4, 0),
            Self::Finish(finished) => (5 + *finished as u8, 0),
        };
        Stored { kind, fence }
    }
}

pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
