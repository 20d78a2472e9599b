//! [`Store`] on Redis: each method packs its arguments, makes one call and reads the replies.

use super::calls::{check_count, millis};
use super::layout::{self, Key, Prefix};
use super::redis::{RedisStore, bytes, entries, items, number, pairs, text, unexpected};
use super::scripts::Script;
use super::*;
use ::redis::{Value, cmd};
use std::iter;

impl RedisStore {
    async fn finish(&self, script: &Script, at: At<'_>, owner: &Owner, grants: &[Grant]) -> StoreResult<Vec<Finish>> {
        check_count(grants.len())?;
        let packed = packing::pack_finishes(at.ledger.shape(), owner, grants);
        self.call_each(at, (script, packed), grants.len(), replies::finish).await
    }

    async fn touch(
        &self,
        script: &Script,
        at: At<'_>,
        (time, reason): (Duration, &str),
        grants: &[Grant],
    ) -> StoreResult<Vec<Touch>> {
        check_count(grants.len())?;
        let packed = packing::pack_holds(time, reason, grants);
        self.call_each(at, (script, packed), grants.len(), replies::touch).await
    }

    /// Reads beside the incarnation, so that a store that forgot is not taken for an empty one.
    async fn read(&self, at: At<'_>, command: ::redis::Cmd) -> StoreResult<Value> {
        let prefix = Prefix::new(&at.ledger.name, at.shard);
        let mut incarnation = cmd("HGET");
        incarnation.arg(prefix.books()).arg("inc");
        let mut values = self.pipeline(&prefix.books(), &[incarnation, command]).await?.into_iter();
        check_incarnation(at, values.next())?;
        Ok(values.next().unwrap_or(Value::Nil))
    }

    /// Creates one shard; gives the incarnation that it has then, and whether it is new.
    async fn init_shard(
        &self,
        name: &LedgerName,
        shard: ShardNumber,
        wanted: &Incarnation,
    ) -> StoreResult<(Incarnation, bool)> {
        let args = [wanted.as_str(), &wanted.shape().window_millis().to_string()].into_iter().collect();
        let keys = [Prefix::new(name, shard).books()];
        let reply = self.script(&self.scripts().init, &keys, &args).await?;
        match reply.as_slice() {
            [word, found] if word == "OK" || word == "EXISTS" => Ok((parse_incarnation(found)?, word == "OK")),
            _ => Err(unexpected(&reply)),
        }
    }

    /// The shards that the index knows of a ledger.
    async fn indexed_shards(&self, name: &LedgerName) -> StoreResult<u32> {
        let listed = self.ledgers(&name.namespace).await?;
        Ok(listed.iter().find(|entry| entry.name == *name).map_or(0, |entry| entry.shards))
    }

    pub(super) async fn shard_incarnation(&self, name: &LedgerName, shard: u32) -> StoreResult<Option<Incarnation>> {
        let (mut command, key) = (cmd("HGET"), Prefix::new(name, ShardNumber::new(shard)).books());
        command.arg(&key).arg("inc");
        match bytes(self.command(&key, command).await?)? {
            Some(found) => parse_incarnation(&String::from_utf8_lossy(&found)).map(Some),
            None => Ok(None),
        }
    }

    async fn incarnations(&self, name: &LedgerName, shards: u32) -> StoreResult<Vec<Option<Incarnation>>> {
        futures_util::future::try_join_all((0..shards).map(|shard| self.shard_incarnation(name, shard))).await
    }
}

/// Whether the answer about a shard's incarnation names the ledger's.
pub(super) fn check_incarnation(at: At<'_>, answer: Option<Value>) -> StoreResult<()> {
    let found = bytes(answer.unwrap_or(Value::Nil))?;
    let expected = at.ledger.incarnation.as_str();
    if found.as_deref() == Some(expected.as_bytes()) {
        return Ok(());
    }
    let found = found.map(|found| String::from_utf8_lossy(&found).into_owned());
    Err(StoreError::Amnesia { expected: expected.to_owned(), found })
}

fn parse_incarnation(text: &str) -> StoreResult<Incarnation> {
    Incarnation::parse(text).map_err(|error| StoreError::Refused(error.to_string()))
}

impl Store for RedisStore {
    async fn open(&self, name: &LedgerName) -> StoreResult<Option<Ledger>> {
        let forgotten = |expected: String, found: Option<&Incarnation>| {
            Err(StoreError::Amnesia { expected, found: found.map(Incarnation::to_string) })
        };
        let Some(incarnation) = self.shard_incarnation(name, 0).await? else {
            let listed = self.indexed_shards(name).await?;
            return if listed == 0 { Ok(None) } else { forgotten(format!("a ledger of {listed} shards"), None) };
        };
        let all = self.incarnations(name, incarnation.shape().shards).await?;
        match all.iter().find(|found| found.as_ref() != Some(&incarnation)) {
            Some(other) => forgotten(incarnation.to_string(), other.as_ref()),
            None => Ok(Some(Ledger { name: name.clone(), incarnation })),
        }
    }

    async fn init(&self, name: &LedgerName, shape: Shape) -> StoreResult<Init> {
        let known = self.indexed_shards(name).await?.max(shape.shards);
        let found = self.incarnations(name, known).await?.into_iter().flatten().next();
        let wanted = found.unwrap_or_else(|| Incarnation::new(uuid::Uuid::new_v4(), shape));
        // The first shard decides between two that create the same ledger at once.
        let (incarnation, mut created) = self.init_shard(name, ShardNumber::new(0), &wanted).await?;
        let ledger = Ledger { name: name.clone(), incarnation };
        for shard in ledger.shards().skip(1) {
            let (found, new) = self.init_shard(name, shard, &ledger.incarnation).await?;
            if found != ledger.incarnation {
                let expected = ledger.incarnation.to_string();
                return Err(StoreError::Amnesia { expected, found: Some(found.to_string()) });
            }
            created |= new;
        }
        let mut index = cmd("SADD");
        index.arg(layout::INDEX).arg(layout::index_entry(name, ledger.shape().shards));
        self.command(layout::INDEX, index).await?;
        Ok(if created { Init::Created(ledger) } else { Init::Exists(ledger) })
    }

    async fn topic_number(&self, namespace: &Namespace, topic: &str) -> StoreResult<TopicNumber> {
        let reply = self.script(&self.scripts().topic, &[layout::topics(namespace)], &[topic].into_iter().collect()).await?;
        match reply.as_slice() {
            [ok, number] if ok == "OK" => number.parse().map(TopicNumber::new).map_err(|_| unexpected(&reply)),
            [bad, _] if bad == "BADARG" => {
                Err(StoreError::BadArgument("no topic number is left in the namespace".to_owned()))
            }
            _ => Err(unexpected(&reply)),
        }
    }

    async fn claim(&self, at: At<'_>, terms: &Terms, deliveries: &[Delivery]) -> StoreResult<Vec<Claim>> {
        check_count(deliveries.len())?;
        let lease = millis(terms.lease).to_string();
        let packed = packing::pack_claims(at.ledger.shape(), &lease, terms, deliveries);
        self.call_each(at, (&self.scripts().claim, packed), deliveries.len(), replies::claim).await
    }

    async fn seen(&self, at: At<'_>, terms: &Terms, report: Report, deliveries: &[Delivery]) -> StoreResult<Vec<Seen>> {
        check_count(deliveries.len())?;
        let packed = packing::pack_claims(at.ledger.shape(), packing::report(report), terms, deliveries);
        self.call_each(at, (&self.scripts().seen, packed), deliveries.len(), replies::seen).await
    }

    async fn complete(&self, at: At<'_>, owner: &Owner, grants: &[Grant]) -> StoreResult<Vec<Finish>> {
        self.finish(&self.scripts().complete, at, owner, grants).await
    }

    async fn fail(&self, at: At<'_>, owner: &Owner, grants: &[Grant]) -> StoreResult<Vec<Finish>> {
        self.finish(&self.scripts().fail, at, owner, grants).await
    }

    async fn release(
        &self,
        at: At<'_>,
        reason: ReleaseReason,
        delay: Duration,
        grants: &[Grant],
    ) -> StoreResult<Vec<Touch>> {
        self.touch(&self.scripts().release, at, (delay, packing::reason(reason)), grants).await
    }

    async fn extend(&self, at: At<'_>, lease: Duration, grants: &[Grant]) -> StoreResult<Vec<Touch>> {
        self.touch(&self.scripts().extend, at, (lease, ""), grants).await
    }

    async fn commit(&self, at: At<'_>, owner: &Owner, requests: &[CommitRequest]) -> StoreResult<Vec<Commit>> {
        check_count(requests.len())?;
        requests.iter().try_for_each(|request| request.change.check())?;
        let packed = packing::pack_commits(at.ledger.shape(), owner, requests);
        self.call_each(at, (&self.scripts().commit, packed), requests.len(), replies::commit).await
    }

    async fn begin(&self, at: At<'_>, change: &Change, unsent_max: u64) -> StoreResult<Begin> {
        change.check_root()?;
        let call = (&self.scripts().begin, packing::pack_begin(change, unsent_max));
        self.call_one(at, call, replies::begin).await
    }

    async fn state(&self, at: At<'_>, aggregate: &str) -> StoreResult<Option<AggregateState>> {
        let mut command = cmd("HGETALL");
        command.arg(Prefix::new(&at.ledger.name, at.shard).state(aggregate));
        let (mut version, mut fields) = (None, StateFields::new());
        for (name, value) in pairs(self.read(at, command).await?)? {
            match name.as_slice() {
                b"_v" => version = String::from_utf8_lossy(&value).parse().ok(),
                [b'_', ..] => {}
                _ => drop(fields.insert(String::from_utf8_lossy(&name).into_owned(), value)),
            }
        }
        Ok(version.map(|version| AggregateState { version, fields }))
    }

    async fn note(&self, at: At<'_>, findings: Findings) -> StoreResult<()> {
        self.call_once(at, &self.scripts().note, &packing::pack_findings(findings, &[])).await.map(drop)
    }

    async fn server(&self) -> StoreResult<ServerId> {
        self.servers().0.server().await
    }

    async fn confirm(&self, ledger: &Ledger, server: &ServerId) -> StoreResult<()> {
        let (writes, confirming) = self.servers();
        let mark = |key: &str| {
            let mut mark = cmd("EVAL");
            mark.arg(&self.scripts().mark.text).arg(1).arg(key);
            mark
        };
        confirming.confirm(writes, server, &Prefix::new(&ledger.name, ShardNumber::new(0)).mark(), mark).await
    }

    async fn take_stock(&self, at: At<'_>) -> StoreResult<u64> {
        let shard = Prefix::new(&at.ledger.name, at.shard);
        let stock = self.lanes().stock(&shard);
        let findings = Findings { lost_calls: stock.lost_calls, ..Findings::default() };
        let reply = self.call(at, &self.scripts().note, packing::pack_findings(findings, &stock.lanes)).await?;
        self.lanes().booked(&shard, &stock);
        reply.first().and_then(|lost| lost.parse().ok()).ok_or_else(|| unexpected(&reply))
    }

    async fn hold_outbox(&self, at: At<'_>, owner: &Owner, lease: Duration) -> StoreResult<RelayLease> {
        let packed = packing::pack(vec![], &[owner.to_string(), millis(lease).to_string()]);
        self.call_one(at, (&self.scripts().hold, packed), replies::relay_lease).await
    }

    async fn read_outbox(&self, at: At<'_>, limit: usize) -> StoreResult<Vec<OutboxEntry>> {
        let mut command = cmd("XRANGE");
        command.arg(Prefix::new(&at.ledger.name, at.shard).outbox()).arg("-").arg("+").arg("COUNT").arg(limit);
        let entry = |(id, fields): (String, _)| {
            let id = replies::outbox_id(&id).ok_or_else(|| unexpected(&[id]))?;
            Ok(OutboxEntry { id, message: layout::message(fields) })
        };
        entries(self.read(at, command).await?)?.into_iter().map(entry).collect()
    }

    async fn trim_outbox(&self, at: At<'_>, fence: FencingToken, sent: &[OutboxId]) -> StoreResult<Trim> {
        check_count(sent.len())?;
        let args: Vec<String> = iter::once(fence.to_string()).chain(sent.iter().map(OutboxId::to_string)).collect();
        let packed = packing::pack(vec![Key::Outbox], &args);
        self.call_one(at, (&self.scripts().trim, packed), replies::trim).await
    }

    async fn let_go_of_outbox(&self, at: At<'_>, fence: FencingToken) -> StoreResult<()> {
        let packed = packing::pack(vec![], &[fence.to_string()]);
        self.call(at, &self.scripts().let_go, packed).await.map(drop)
    }

    async fn outbox_stats(&self, at: At<'_>) -> StoreResult<OutboxStats> {
        Ok(self.stats(at).await?.outbox)
    }

    async fn sweep(&self, at: At<'_>, from: SweepCursor) -> StoreResult<SweepStep> {
        let packed = packing::pack(vec![], &[from.position.to_string(), from.oldest_lease_end.to_string()]);
        let call = (&self.scripts().sweep, packed);
        let parse = |text: &str| text.parse::<u64>().ok();
        match self.call_each(at, call, 3, parse).await?.as_slice() {
            [position, dropped, oldest] => {
                let next = SweepCursor { position: *position, oldest_lease_end: *oldest };
                Ok(SweepStep { next: (*position != 0).then_some(next), dropped: *dropped })
            }
            _ => Err(unexpected(&[])),
        }
    }

    async fn stats(&self, at: At<'_>) -> StoreResult<ShardStats> {
        let reply = self.call_once(at, &self.scripts().stats, &packing::pack(vec![Key::Outbox], &[])).await?;
        super::redis_books::stats_reply(&reply).ok_or_else(|| unexpected(&reply))
    }

    async fn ledgers(&self, namespace: &Namespace) -> StoreResult<Vec<LedgerEntry>> {
        let mut command = cmd("SMEMBERS");
        command.arg(layout::INDEX);
        let mut list = Vec::new();
        for entry in items(self.command(layout::INDEX, command).await?)? {
            let parsed = layout::parse_index_entry(&text(entry)?);
            list.extend(parsed.map(|(name, shards)| LedgerEntry { name, shards }));
        }
        list.retain(|entry| entry.name.namespace == *namespace);
        list.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(list)
    }

    async fn books(&self, ledger: &LedgerEntry) -> StoreResult<Books> {
        self.read_books(ledger).await
    }

    async fn recent_duplicates(&self, ledger: &LedgerEntry, limit: usize) -> StoreResult<Vec<DuplicateRecord>> {
        self.read_duplicates(ledger, limit).await
    }

    async fn passports(&self, at: At<'_>, events: &[EventDigest]) -> StoreResult<Vec<Option<Passport>>> {
        self.read_passports(at, events).await
    }

    async fn passport(&self, ledger: &Ledger, shard: Option<ShardNumber>, event: EventDigest) -> StoreResult<Vec<Passport>> {
        self.read_passport(ledger, shard, event).await
    }

    async fn saga(&self, at: At<'_>, aggregate: &str) -> StoreResult<Option<SagaStand>> {
        self.read_saga(at, aggregate).await
    }

    async fn sagas(&self, ledger: &LedgerEntry, limit: usize) -> StoreResult<Sagas> {
        self.read_sagas(ledger, limit).await
    }

    async fn topics(&self, namespace: &Namespace) -> StoreResult<BTreeMap<TopicNumber, String>> {
        let (mut command, key) = (cmd("HGETALL"), layout::topics(namespace));
        command.arg(&key);
        let mut topics = BTreeMap::new();
        let mut flat = items(self.command(&key, command).await?)?.into_iter();
        while let (Some(topic), Some(assigned)) = (flat.next(), flat.next()) {
            if let Ok(assigned) = u16::try_from(number(assigned)?) {
                topics.insert(TopicNumber::new(assigned), text(topic)?);
            }
        }
        Ok(topics)
    }

    async fn server_facts(&self) -> StoreResult<Vec<ServerFact>> {
        self.read_server_facts().await
    }

    fn address(&self) -> String {
        self.shown_address().to_owned()
    }
}
