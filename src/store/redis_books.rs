//! What the monitor reads from Redis, with commands that write nothing: books, recent duplicates, passports, sagas, facts.

use super::books::{merge_sagas, newest};
use super::layout::{self, Prefix};
use super::redis::{RedisStore, bytes, entries, number, pairs};
use super::redis_facts::{facts, several};
use super::redis_store::check_incarnation;
use super::*;
use ::redis::{Cmd, Value, cmd};
use futures_util::future::try_join_all;
use std::collections::HashMap;

/// Deadlines of a shard that are looked through for that of one saga.
const DEADLINES_SEARCHED: usize = 1_000;
/// Readings of a shard's books until two agree. Commands that are sent together run together, so that one is the rule.
const BOOKS_ROUNDS: usize = 5;

fn command(name: &str, args: &[&str]) -> Cmd {
    let mut command = cmd(name);
    args.iter().for_each(|arg| {
        command.arg(*arg);
    });
    command
}

/// Whole milliseconds of an outbox entry's id as a time.
fn entry_time(id: &str) -> Option<chrono::DateTime<chrono::Utc>> {
    replies::outbox_id(id).map(|id| ids::from_micros(id.millis.saturating_mul(1_000)))
}

/// The fields of `T:m`.
struct Fields(HashMap<String, String>);

impl Fields {
    fn number(&self, name: &str) -> u64 {
        self.0.get(name).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    fn counters(&self) -> Counters {
        let n = |name: &str| self.number(name);
        let of = |cause: DuplicateCause, outcome: DuplicateOutcome| n(&format!("dup:{}:{}", cause.label(), outcome.label()));
        let by_type = self.0.keys().filter_map(|name| Some((name.strip_prefix("type:")?.to_owned(), n(name))));
        Counters {
            granted: ["first", "retry", "takeover", "redrive"].map(|how| n(&format!("granted_{how}"))),
            completed: n("completed"),
            released: n("released"),
            handed_back: n("handed_back"),
            failed: n("failed"),
            superseded: n("superseded"),
            abandoned: n("abandoned"),
            waiting_dropped: n("waiting_dropped"),
            orphans: n("orphan"),
            fenced: n("fenced"),
            busy: n("busy"),
            not_yet: n("later"),
            version_mismatches: n("cas"),
            gone: n("gone"),
            late: n("late"),
            reported: n("reported"),
            lost_calls: n("lost"),
            reread: n("reread"),
            duplicates: DuplicateCause::ALL.map(|cause| DuplicateOutcome::ALL.map(|outcome| of(cause, outcome))),
            gaps: std::array::from_fn(|index| n(&format!("gap:{index}"))),
            outbox_by_type: by_type.collect(),
        }
    }

    /// The books at a time of the store's clock, or of ours when it is the monitor that reads.
    fn stats(&self, now_us: u64, open_records: u64, outbox: OutboxStats) -> Option<ShardStats> {
        let incarnation = Incarnation::parse(self.0.get("inc")?).ok()?;
        let generation = now_us / incarnation.shape().window_millis().saturating_mul(1_000).max(1);
        let (ids, fill) = match generation.saturating_sub(self.number("gen")) {
            0 => (self.number("ids") + self.number("ids_before"), self.number("fill").max(self.number("fill_before"))),
            1 => (self.number("ids"), self.number("fill")),
            2.. => (0, 0),
        };
        let oldest = self.number("oldest_lease");
        let overdue = if oldest == 0 { 0 } else { self.number("swept").saturating_sub(oldest) };
        let now_ms = now_us / 1_000;
        let waits = now_ms < self.number("unconfirmed_till");
        let unconfirmed = if waits { now_ms.saturating_sub(self.number("unconfirmed_since")) } else { 0 };
        Some(ShardStats {
            counters: self.counters(),
            incarnation,
            open_records,
            last_fence: FencingToken::new(self.number("fence")),
            remembered_ids: ids,
            fullest_bucket: fill,
            overdue: Duration::from_millis(overdue),
            unconfirmed: Duration::from_millis(unconfirmed),
            outbox,
        })
    }
}

/// Reads the reply of the script `stats`: time, open records, outbox entries, oldest entry, then fields.
pub(super) fn stats_reply(reply: &[String]) -> Option<ShardStats> {
    let [now, open, entries, oldest, fields @ ..] = reply else { return None };
    let fields = fields.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    let outbox = OutboxStats { entries: entries.parse().ok()?, oldest: entry_time(oldest) };
    Fields(fields).stats(now.parse().ok()?, open.parse().ok()?, outbox)
}

impl RedisStore {
    pub(super) async fn read_books(&self, ledger: &LedgerEntry) -> StoreResult<Books> {
        let numbers = (0..ledger.shards).map(ShardNumber::new);
        let read = try_join_all(numbers.map(|shard| self.read_shard(&ledger.name, shard))).await?;
        let incarnation = read.iter().flatten().map(|stats| stats.incarnation.clone()).next();
        let shards = read.into_iter().map(|stats| match stats {
            Some(stats) if Some(&stats.incarnation) == incarnation.as_ref() => ShardBooks::Read(Box::new(stats)),
            other => ShardBooks::Forgotten { found: other.map(|stats| stats.incarnation) },
        });
        Ok(Books { shards: shards.collect(), incarnation })
    }

    /// Reads counters, then records, then counters again: equal counters mean that nothing came between.
    async fn read_shard(&self, name: &LedgerName, shard: ShardNumber) -> StoreResult<Option<ShardStats>> {
        let prefix = Prefix::new(name, shard);
        let books = command("HGETALL", &[&prefix.books()]);
        let round = [
            books.clone(),
            command("HLEN", &[&prefix.open()]),
            command("XLEN", &[&prefix.outbox()]),
            command("XRANGE", &[&prefix.outbox(), "-", "+", "COUNT", "1"]),
            books,
        ];
        for _ in 0..BOOKS_ROUNDS {
            let values = self.pipeline(&prefix.books(), &round).await?;
            let Ok([before, open, sent, oldest, after]) = <[Value; 5]>::try_from(values) else {
                return Err(StoreError::Refused("a pipeline gave another number of replies".to_owned()));
            };
            if before != after {
                continue;
            }
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            let fields = pairs(before)?.into_iter().map(|(name, value)| (text(name), text(value))).collect();
            let oldest = entries(oldest)?.first().and_then(|(id, _)| entry_time(id));
            let outbox = OutboxStats { entries: number(sent)?, oldest };
            return Ok(Fields(fields).stats(self.local_us(), number(open)?, outbox));
        }
        Err(StoreError::Unreachable("the books changed with every reading".to_owned()))
    }

    pub(super) async fn read_duplicates(&self, ledger: &LedgerEntry, limit: usize) -> StoreResult<Vec<DuplicateRecord>> {
        let limit_text = limit.to_string();
        let shard = |number: u32| {
            let prefix = Prefix::new(&ledger.name, ShardNumber::new(number));
            let read = |key: String| command("XREVRANGE", &[&key, "+", "-", "COUNT", &limit_text]);
            let commands = [read(prefix.suppressed()), read(prefix.incidents())];
            async move { self.pipeline(&prefix.suppressed(), &commands).await }
        };
        let mut all = Vec::new();
        for stream in try_join_all((0..ledger.shards).map(shard)).await?.into_iter().flatten() {
            all.extend(entries(stream)?.into_iter().filter_map(|(_, fields)| duplicate(fields)));
        }
        Ok(newest(all, limit))
    }

    pub(super) async fn read_passport(
        &self,
        ledger: &Ledger,
        shard: Option<ShardNumber>,
        event: EventDigest,
    ) -> StoreResult<Vec<Passport>> {
        let shards: Vec<ShardNumber> = shard.map_or_else(|| ledger.shards().collect(), |only| vec![only]);
        let found = try_join_all(shards.into_iter().map(|shard| self.shard_passport(ledger, shard, event))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn shard_passport(
        &self,
        ledger: &Ledger,
        shard: ShardNumber,
        event: EventDigest,
    ) -> StoreResult<Option<Passport>> {
        let prefix = Prefix::new(&ledger.name, shard);
        let commands = self.passport_commands(&prefix, ledger, event);
        let mut values = self.pipeline(&prefix.open(), &commands).await?.into_iter();
        passport_of(shard, &mut values)
    }

    /// In one exchange for all of them, beside the incarnation: a shard that forgot must not be taken for one that never knew.
    pub(super) async fn read_passports(&self, at: At<'_>, events: &[EventDigest]) -> StoreResult<Vec<Option<Passport>>> {
        let prefix = Prefix::new(&at.ledger.name, at.shard);
        let mut commands = vec![command("HGET", &[&prefix.books(), "inc"])];
        commands.extend(events.iter().flat_map(|event| self.passport_commands(&prefix, at.ledger, *event)));
        let mut values = self.pipeline(&prefix.open(), &commands).await?.into_iter();
        check_incarnation(at, values.next())?;
        events.iter().map(|_| passport_of(at.shard, &mut values)).collect()
    }

    /// What is asked of one event; [`passport_of`] reads the answers.
    fn passport_commands(&self, prefix: &Prefix, ledger: &Ledger, event: EventDigest) -> [Cmd; 4] {
        let shape = ledger.shape();
        let generation = self.local_us() / shape.window_millis().saturating_mul(1_000).max(1);
        let remembered = |generation: u64| {
            let mut command = cmd("HGET");
            command.arg(prefix.bucket(generation, event.bucket(shape.buckets))).arg(event.bucket_key());
            command
        };
        let mut open = cmd("HGET");
        open.arg(prefix.open()).arg(event.open_key());
        // One generation more than ours says: the server's clock may be a little ahead.
        [open, remembered(generation + 1), remembered(generation), remembered(generation.saturating_sub(1))]
    }

    pub(super) async fn read_sagas(&self, ledger: &LedgerEntry, limit: usize) -> StoreResult<Sagas> {
        let now = (self.local_us() / 1_000).to_string();
        let limit_text = limit.to_string();
        let shard = |number: u32| {
            let key = Prefix::new(&ledger.name, ShardNumber::new(number)).deadlines();
            let range = [&key, "-inf", "+inf", "BYSCORE", "LIMIT", "0", &limit_text, "WITHSCORES"];
            let commands = [
                command("ZCOUNT", &[&key, "-inf", "+inf"]),
                command("ZCOUNT", &[&key, "-inf", &now]),
                command("ZRANGE", &range),
            ];
            async move { self.pipeline(&key, &commands).await }
        };
        let mut all = Vec::new();
        for values in try_join_all((0..ledger.shards).map(shard)).await? {
            let mut values = values.into_iter();
            let mut next = || values.next().unwrap_or(Value::Nil);
            let (open, stuck) = (number(next())?, number(next())?);
            let waiting = pairs(next())?.into_iter().filter_map(|(member, score)| saga_wait(&member, &score));
            all.push(Sagas { open, stuck, waiting: waiting.collect() });
        }
        Ok(merge_sagas(all, limit))
    }

    pub(super) async fn read_saga(&self, at: At<'_>, aggregate: &str) -> StoreResult<Option<SagaStand>> {
        let prefix = Prefix::new(&at.ledger.name, at.shard);
        let (state, deadlines) = (prefix.state(aggregate), prefix.deadlines());
        let mut values = self.pipeline(&state, &[command("HGET", &[&state, "_wait"])]).await?.into_iter();
        let Some(member) = bytes(values.next().unwrap_or(Value::Nil))? else { return Ok(None) };
        let Some((since_ms, wait)) = wait_member(&member) else { return Ok(None) };
        // A deadline does not lie before the time from which on it is waited.
        let limit = DEADLINES_SEARCHED.to_string();
        let range = [&deadlines, &since_ms.to_string(), "+inf", "BYSCORE", "LIMIT", "0", &limit, "WITHSCORES"];
        let mut values = self.pipeline(&deadlines, &[command("ZRANGE", &range)]).await?.into_iter();
        let found = pairs(values.next().unwrap_or(Value::Nil))?.into_iter().find(|(other, _)| *other == member);
        let deadline = found.and_then(|(member, score)| saga_wait(&member, &score)).map(|wait| wait.deadline);
        Ok(Some(SagaStand { step: wait.step, missing: wait.missing, since: wait.since, deadline }))
    }

    pub(super) async fn read_server_facts(&self) -> StoreResult<Vec<ServerFact>> {
        Ok(several(self.servers().0.infos().await?.iter().map(|info| facts(info)).collect()))
    }
}

/// Reads the four answers about one event.
fn passport_of(shard: ShardNumber, values: &mut impl Iterator<Item = Value>) -> StoreResult<Option<Passport>> {
    let mut next = || bytes(values.next().unwrap_or(Value::Nil));
    let (open, remembered) = (next()?, [(next()?, false), (next()?, false), (next()?, true)]);
    if let Some(record) = open {
        return Ok(layout::open_record(shard, &record));
    }
    let found = remembered.into_iter().find_map(|(record, late)| Some((record?, late)));
    Ok(found.and_then(|(record, late)| layout::remembered(shard, &record, late)))
}

fn duplicate(fields: Vec<(Vec<u8>, Vec<u8>)>) -> Option<DuplicateRecord> {
    let fields: HashMap<Vec<u8>, Vec<u8>> = fields.into_iter().collect();
    let field = |name: &str| fields.get(name.as_bytes()).map_or(&[][..], Vec::as_slice);
    let text = |name: &str| String::from_utf8_lossy(field(name)).into_owned();
    let time = |name: &str| text(name).parse().ok().map(ids::from_micros);
    let outcome = text("outcome");
    Some(DuplicateRecord {
        at: time("at")?,
        event_id: text("id"),
        source: text("source"),
        cause: DuplicateCause::from_label(&text("cause"))?,
        outcome: DuplicateOutcome::ALL.into_iter().find(|known| known.label() == outcome)?,
        late: field("late") == b"1",
        place: layout::entry_place(field("place")),
        owner: text("owner"),
        first_at: time("first")?,
        first_place: layout::entry_place(field("first_place")),
        first_owner: Some(text("first_owner")).filter(|owner| !owner.is_empty()),
    })
}

/// Reads a deadline: `since_ms|step|missing|aggregate` with its time in milliseconds.
fn saga_wait(member: &[u8], score: &[u8]) -> Option<SagaWait> {
    let deadline = String::from_utf8_lossy(score).parse().ok().map(from_millis)?;
    wait_member(member).map(|(_, wait)| SagaWait { deadline, ..wait })
}

/// The milliseconds from which on it is waited, and the wait; its deadline stands elsewhere.
fn wait_member(member: &[u8]) -> Option<(u64, SagaWait)> {
    let member = String::from_utf8_lossy(member);
    let mut parts = member.splitn(4, '|');
    let mut next = || parts.next().map(str::to_owned);
    let since_ms: u64 = next()?.parse().ok()?;
    let since = from_millis(since_ms);
    let (step, missing, aggregate) = (next()?, next()?, next()?);
    Some((since_ms, SagaWait { aggregate, step, missing, since, deadline: since }))
}

fn from_millis(ms: u64) -> chrono::DateTime<chrono::Utc> {
    ids::from_micros(ms.saturating_mul(1_000))
}
