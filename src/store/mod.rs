//! The ledger: processing each event once per consumer group, and proving it.
//!
//! ```text
//!             claim                 complete(fence) / commit(fence)
//!  ABSENT ----------> P(fence,attempt) ------------> C  --(window)--> ABSENT
//!                      |  ^   \ fail(fence)
//!  release(fence,why)  |  |    `-------------------> F  --claim(redrive)--> P
//!                      v  | claim: not-before passed -> retry; lease over -> takeover
//!                      R--'
//! ```
//!
//! [`Store`] is what the rest of the program knows. It does not know Kafka, topics' names or business rules.

mod answers;
mod books;
mod calls;
mod changes;
mod durability;
mod error;
mod ids;
mod lanes;
mod layout;
mod memory;
mod names;
mod packing;
mod redis;
mod redis_address;
mod redis_books;
mod redis_cluster;
mod redis_conformance;
mod redis_facts;
mod redis_info;
mod redis_link;
mod redis_sentinel;
mod redis_servers;
mod redis_slots;
mod redis_store;
mod replies;
mod scripts;
mod shared_wait;

pub use self::redis::{RedisStore, RedisTimeouts};
pub use answers::{
    Begin, Claim, Commit, DuplicateCause, DuplicateOutcome, Finish, GrantKind, Init, RelayLease, Seen, SweepCursor,
    SweepStep, Touch, Trim,
};
pub use books::{
    Books, Counters, DuplicateRecord, LedgerEntry, OutboxStats, Passport, PassportState, RUN_FACT, SagaStand, SagaWait,
    Sagas, ServerFact, ShardBooks, ShardStats, gap_bounds,
};
pub use calls::{At, Delivery, EVENTS_PER_CALL_MAX, Findings, Grant, Intent, LaneCall, ReleaseReason, Report, Terms};
pub use changes::{AggregateState, Change, CommitRequest, Deadline, OutboxEntry, OutboxId, OutboxMessage, StateFields};
pub use durability::{Durability, ServerId};
pub use error::{Remedy, StoreError};
pub use ids::{
    EventDigest, EventKey, FencingToken, LaneName, LaneNumber, PayloadHash, RecordPlace, ShardNumber, TopicNumber,
};
pub use memory::MemoryStore;
pub use names::{Incarnation, InvalidName, Ledger, LedgerName, NAME_BYTES_MAX, Namespace, Owner, Shape};
pub use redis_conformance::{PlayedCase, VECTORS, argument_bytes, play_scripts, without_entry_ids};
pub use scripts::{Script, shipped_scripts};

use std::{collections::BTreeMap, future::Future, time::Duration};

/// What a call to the store gives.
pub type StoreResult<T> = Result<T, StoreError>;

/// The ledger, the business state, the outbox and the sagas' deadlines of any number of consumer groups.
///
/// Calls that take several events carry 1 to [`EVENTS_PER_CALL_MAX`] of them, all of one shard, and answer each in the
/// order given. Calls to different shards may run at the same time. Times are those of the store's own clock.
pub trait Store: Clone + Send + Sync + 'static {
    // ---- creation -------------------------------------------------------------------------------------------------

    /// Reads which ledger exists under this name; `None` when there is none.
    ///
    /// # Errors
    /// `Amnesia` when part of it is missing or its parts do not belong together.
    fn open(&self, name: &LedgerName) -> impl Future<Output = StoreResult<Option<Ledger>>> + Send;

    /// Creates the ledger, or what is missing of it. Only when asked: a consumer whose group has committed offsets must
    /// not call it by itself, because an empty store then means that the ledger was lost.
    fn init(&self, name: &LedgerName, shape: Shape) -> impl Future<Output = StoreResult<Init>> + Send;

    /// The number that stands for a topic in [`RecordPlace`]; assigned at the first call, the same ever after.
    fn topic_number(&self, namespace: &Namespace, topic: &str) -> impl Future<Output = StoreResult<TopicNumber>> + Send;

    // ---- processing -----------------------------------------------------------------------------------------------

    fn claim(
        &self,
        at: At<'_>,
        terms: &Terms,
        deliveries: &[Delivery],
    ) -> impl Future<Output = StoreResult<Vec<Claim>>> + Send;

    /// Claim and completion in one, for consumers that do not ask before they work. Of the terms the lease is not used.
    fn seen(
        &self,
        at: At<'_>,
        terms: &Terms,
        report: Report,
        deliveries: &[Delivery],
    ) -> impl Future<Output = StoreResult<Vec<Seen>>> + Send;

    /// The work outside the store is done.
    fn complete(&self, at: At<'_>, owner: &Owner, grants: &[Grant])
    -> impl Future<Output = StoreResult<Vec<Finish>>> + Send;

    /// The event is given up; its copy in the dead-letter topic has been acknowledged.
    fn fail(&self, at: At<'_>, owner: &Owner, grants: &[Grant]) -> impl Future<Output = StoreResult<Vec<Finish>>> + Send;

    /// Gives grants back; they may be claimed again after `delay`.
    fn release(
        &self,
        at: At<'_>,
        reason: ReleaseReason,
        delay: Duration,
        grants: &[Grant],
    ) -> impl Future<Output = StoreResult<Vec<Touch>>> + Send;

    /// Sets the leases to end `lease` from now.
    fn extend(&self, at: At<'_>, lease: Duration, grants: &[Grant]) -> impl Future<Output = StoreResult<Vec<Touch>>> + Send;

    /// Completion, business state, outbox and deadline of each event in one step, or nothing of it.
    fn commit(
        &self,
        at: At<'_>,
        owner: &Owner,
        requests: &[CommitRequest],
    ) -> impl Future<Output = StoreResult<Vec<Commit>>> + Send;

    /// Starts an aggregate that no event led to (a POST). Refused while the shard's outbox holds `unsent_max` entries.
    fn begin(&self, at: At<'_>, change: &Change, unsent_max: u64) -> impl Future<Output = StoreResult<Begin>> + Send;

    /// Business state of one aggregate; `None` when it has none. To be read after the claim.
    fn state(&self, at: At<'_>, aggregate: &str) -> impl Future<Output = StoreResult<Option<AggregateState>>> + Send;

    /// Writes into the books what a consumer has found out about the store itself. One without findings still says whether
    /// the shard takes calls.
    fn note(&self, at: At<'_>, findings: Findings) -> impl Future<Output = StoreResult<()>> + Send;

    /// Counts the calls that this process was answered and that the shard does not know any more, writes them into the books
    /// and begins new lanes: for who has heard that the store lost something. Gives their number.
    fn take_stock(&self, at: At<'_>) -> impl Future<Output = StoreResult<u64>> + Send;

    /// The server that answers now. Another one than before may not know what that one has answered.
    fn server(&self) -> impl Future<Output = StoreResult<ServerId>> + Send;

    /// Waits until all that `server` has answered is as safe as the store was told to see to; bounded, and short where the
    /// server is well.
    ///
    /// # Errors
    /// `Unconfirmed` when it is not safe yet, `Replaced` when another server answers.
    fn confirm(&self, ledger: &Ledger, server: &ServerId) -> impl Future<Output = StoreResult<()>> + Send;

    // ---- relay and clean-up ---------------------------------------------------------------------------------------

    /// Takes the shard's outbox for `lease`, or renews it for the owner that holds it.
    fn hold_outbox(
        &self,
        at: At<'_>,
        owner: &Owner,
        lease: Duration,
    ) -> impl Future<Output = StoreResult<RelayLease>> + Send;

    /// The oldest unsent entries, at most `limit`, in the order in which they were committed.
    fn read_outbox(&self, at: At<'_>, limit: usize) -> impl Future<Output = StoreResult<Vec<OutboxEntry>>> + Send;

    /// Removes entries that Kafka has acknowledged.
    fn trim_outbox(
        &self,
        at: At<'_>,
        fence: FencingToken,
        sent: &[OutboxId],
    ) -> impl Future<Output = StoreResult<Trim>> + Send;

    /// Lets go of the outbox, so that another relay need not wait for the lease to end.
    fn let_go_of_outbox(&self, at: At<'_>, fence: FencingToken) -> impl Future<Output = StoreResult<()>> + Send;

    fn outbox_stats(&self, at: At<'_>) -> impl Future<Output = StoreResult<OutboxStats>> + Send;

    /// One bounded step of the clean-up: open records whose lease or delay ended more than a window ago are dropped and
    /// counted. Run by whoever holds the outbox; a finished pass also notes the oldest lapsed lease for the books.
    fn sweep(&self, at: At<'_>, from: SweepCursor) -> impl Future<Output = StoreResult<SweepStep>> + Send;

    /// One shard's books.
    fn stats(&self, at: At<'_>) -> impl Future<Output = StoreResult<ShardStats>> + Send;

    // ---- reading only, for the monitor: needs no right to write -----------------------------------------------------

    /// Ledgers of a namespace, sorted by group.
    fn ledgers(&self, namespace: &Namespace) -> impl Future<Output = StoreResult<Vec<LedgerEntry>>> + Send;

    fn books(&self, ledger: &LedgerEntry) -> impl Future<Output = StoreResult<Books>> + Send;

    /// Newest first, at most `limit` of the suppressed ones and as many of those executed twice and of conflicts.
    fn recent_duplicates(
        &self,
        ledger: &LedgerEntry,
        limit: usize,
    ) -> impl Future<Output = StoreResult<Vec<DuplicateRecord>>> + Send;

    /// What the ledger knows of the event, in each shard that knows it. `shard` narrows the search.
    fn passport(
        &self,
        ledger: &Ledger,
        shard: Option<ShardNumber>,
        event: EventDigest,
    ) -> impl Future<Output = StoreResult<Vec<Passport>>> + Send;

    /// What one shard knows of each of many events, in their order.
    fn passports(
        &self,
        at: At<'_>,
        events: &[EventDigest],
    ) -> impl Future<Output = StoreResult<Vec<Option<Passport>>>> + Send;

    /// Open sagas and those past their deadline, with the `limit` that are first by deadline.
    fn sagas(&self, ledger: &LedgerEntry, limit: usize) -> impl Future<Output = StoreResult<Sagas>> + Send;

    /// What the aggregate's saga waits for; `None` when it waits for nothing, or is not known.
    fn saga(&self, at: At<'_>, aggregate: &str) -> impl Future<Output = StoreResult<Option<SagaStand>>> + Send;

    /// Topics by their numbers.
    fn topics(&self, namespace: &Namespace) -> impl Future<Output = StoreResult<BTreeMap<TopicNumber, String>>> + Send;

    fn server_facts(&self) -> impl Future<Output = StoreResult<Vec<ServerFact>>> + Send;

    /// Address without credentials, for people.
    fn address(&self) -> String;
}

#[cfg(test)]
mod tests;
