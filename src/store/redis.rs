//! The ledger on Redis 7.0 or later (or Valkey): each call is one script on one shard.
//!
//! Connects when first used and again when the connection was lost; every call has a time limit. The server's clock is
//! the only one: ours merely guesses the generation that a call names, and the server corrects it.

use super::lanes::Lanes;
use super::layout::{self, Prefix};
use super::packing::{self, Args, Packed};
use super::redis_address::Address;
use super::redis_link::Limits;
use super::redis_servers::Servers;
use super::scripts::{Script, Scripts};
use super::{At, Durability, LaneNumber, StoreError, StoreResult};
use crate::clock::Clock;
use crate::fail_point;
use redis::{RedisError, Value};
use sha1::{Digest, Sha1};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Rounds in which a call may be corrected to another generation; one is enough unless the clock is at its turn.
const GENERATION_ROUNDS: usize = 3;

/// Pauses before a call is repeated whose reply was lost; never longer than the limit of one call in all.
const REPEATS_AFTER: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(500)];

/// How long the store waits for its server.
#[derive(Clone, Copy, Debug)]
pub struct RedisTimeouts {
    pub connect: Duration,
    /// For one call, with everything that it needs.
    pub call: Duration,
}

impl Default for RedisTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(1), call: Duration::from_secs(3) }
    }
}

/// Clones share their connections: one for calls, one for waiting until what was written is safe.
#[derive(Clone)]
pub struct RedisStore {
    servers: Arc<Servers>,
    confirming: Arc<Servers>,
    scripts: Arc<Scripts>,
    lanes: Arc<Lanes>,
    clock: Clock,
    address: Arc<str>,
}

pub(super) fn hex_sha1(text: &str) -> String {
    Sha1::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl RedisStore {
    /// Names the server, such as `redis://127.0.0.1:6379`, the sentinels that know it (`redis+sentinel://a:26379,b:26379/main`)
    /// or servers of its cluster (`redis+cluster://a:6379,b:6379`); connects with the first call. To be called within a runtime.
    ///
    /// # Errors
    /// `BadArgument` when the URL is none. An unreachable server is not an error here.
    pub fn new(url: &str, timeouts: RedisTimeouts) -> StoreResult<Self> {
        Self::with_scripts(url, timeouts, Clock::System, str::to_owned)
    }

    /// As [`Self::new`], with each script's text passed through `edit` before it is loaded.
    pub(super) fn with_scripts(
        url: &str,
        timeouts: RedisTimeouts,
        clock: Clock,
        edit: impl Fn(&str) -> String,
    ) -> StoreResult<Self> {
        let address = Address::parse(url)?;
        let limits = Limits { connect: timeouts.connect, call: timeouts.call, durability: Durability::None };
        let servers = Servers::new(&address, limits);
        Ok(Self {
            confirming: Arc::new(servers.with_durability(limits.durability)),
            servers: Arc::new(servers),
            scripts: Arc::new(Scripts::new(edit)),
            lanes: Arc::default(),
            clock,
            address: address.shown().into(),
        })
    }

    /// As `self`, with offsets committed only on what is as safe as this. To be called before it is used.
    pub fn with_durability(self, durability: Durability) -> Self {
        let with = |servers: &Servers| Arc::new(servers.with_durability(durability));
        Self { servers: with(&self.servers), confirming: with(&self.confirming), ..self }
    }

    pub(super) fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    pub(super) fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    pub(super) fn shown_address(&self) -> &str {
        &self.address
    }

    /// Our own clock, in microseconds: for ages that are shown and for guesses that the server corrects.
    pub(super) fn local_us(&self) -> u64 {
        u64::try_from(self.clock.now().timestamp_micros()).unwrap_or(0)
    }

    /// Sends several commands at once, all about keys of the slot of `key`, in order; not atomic.
    pub(super) async fn pipeline(&self, key: &str, commands: &[redis::Cmd]) -> StoreResult<Vec<Value>> {
        self.servers.exchange(key, commands).await
    }

    pub(super) async fn command(&self, key: &str, command: redis::Cmd) -> StoreResult<Value> {
        let reply = self.servers.exchange(key, std::slice::from_ref(&command)).await?.into_iter().next();
        reply.ok_or_else(wrong_type)
    }

    /// The connections for calls, and those for waiting.
    pub(super) fn servers(&self) -> (&Servers, &Servers) {
        (&self.servers, &self.confirming)
    }

    /// Runs a script by its digest; a server that does not have it yet is sent the text.
    pub(super) async fn script(&self, script: &Script, keys: &[String], args: &Args) -> StoreResult<Vec<String>> {
        let send = |verb: &str, body: &str| {
            let mut command = redis::cmd(verb);
            command.arg(body).arg(keys.len());
            keys.iter().for_each(|key| {
                command.arg(key);
            });
            args.iter().for_each(|arg| {
                command.arg(arg);
            });
            command
        };
        let key = keys.first().map_or("", String::as_str);
        let reply = match self.command(key, send("EVALSHA", &script.sha)).await {
            Err(StoreError::Refused(why)) if why.starts_with("NOSCRIPT") => {
                self.command(key, send("EVAL", &script.text)).await
            }
            reply => reply,
        };
        items(reply?)?.into_iter().map(text).collect()
    }

    /// Makes a call to a shard in a lane, and gives what follows the reply's `OK`. While its reply is not known the call is
    /// repeated under its number, so that it is done and counted once.
    pub(super) async fn call(&self, at: At<'_>, script: &Script, packed: Packed) -> StoreResult<Vec<String>> {
        if at.lane.is_some() {
            return self.call_once(at, script, &packed).await;
        }
        let slot = self.lanes.take(&Prefix::new(&at.ledger.name, at.shard), at.ledger.incarnation.as_str());
        let (at, begun, limit) = (at.in_lane(slot.call()), Instant::now(), self.servers.limits().call);
        let mut reply = self.call_once(at, script, &packed).await;
        if reply.is_ok() && fail_point::loses_reply() {
            reply = Err(StoreError::Unreachable("the reply was thrown away".to_owned()));
        }
        let mut is_in_doubt = false;
        for pause in REPEATS_AFTER {
            if !matches!(reply, Err(StoreError::Unreachable(_))) {
                break;
            }
            is_in_doubt = true;
            if begun.elapsed() + pause >= limit {
                break;
            }
            tokio::time::sleep(pause).await;
            reply = self.call_once(at, script, &packed).await;
        }
        match &reply {
            Ok(_) => self.lanes.answered(slot),
            Err(StoreError::Lost { last }) => self.lanes.lost(slot, *last),
            // The number may be used up: under it another call would be refused for ever.
            Err(_) if is_in_doubt => drop(slot),
            Err(StoreError::Unreachable(_) | StoreError::Stale { .. }) => drop(slot),
            Err(_) => self.lanes.refused(slot),
        }
        reply
    }

    /// Sends a call once, as it is; only the generation is corrected.
    pub(super) async fn call_once(&self, at: At<'_>, script: &Script, packed: &Packed) -> StoreResult<Vec<String>> {
        let (prefix, incarnation) = (Prefix::new(&at.ledger.name, at.shard), at.ledger.incarnation.as_str());
        let (name, lane_number) = at.lane.map_or((None, LaneNumber::NONE), |lane| (Some(lane.name), lane.number));
        let window_us = at.ledger.shape().window_millis().saturating_mul(1_000).max(1);
        let mut generation = self.local_us() / window_us;
        for _ in 0..GENERATION_ROUNDS {
            let args = packing::arguments(lane_number, generation, incarnation, &packed.args);
            let keys = layout::keys(&prefix, name, generation, &packed.keys);
            let reply = self.script(script, &keys, &args).await?;
            let word = |index: usize| reply.get(index).map(String::as_str);
            let number = || word(1).and_then(|n| n.parse().ok()).unwrap_or(0);
            match word(0) {
                Some("OK") => return Ok(reply.into_iter().skip(1).collect()),
                Some("GEN") => generation = number(),
                Some("AMNESIA") => {
                    let found = word(1).filter(|found| !found.is_empty()).map(str::to_owned);
                    return Err(StoreError::Amnesia { expected: incarnation.to_owned(), found });
                }
                Some("CLOCK") => return Err(StoreError::Clock),
                Some("LOST") => return Err(StoreError::Lost { last: number() }),
                Some("STALE") => return Err(StoreError::Stale { last: number() }),
                Some("BADARG") => return Err(StoreError::BadArgument(word(1).unwrap_or("").to_owned())),
                Some(_) | None => return Err(unexpected(&reply)),
            }
        }
        Err(StoreError::Refused("the generation changed with every attempt".to_owned()))
    }

    /// As [`Self::call`], with each reply read by `parse`; there have to be `expected` of them.
    pub(super) async fn call_each<T>(
        &self,
        at: At<'_>,
        (script, packed): (&Script, Packed),
        expected: usize,
        parse: impl Fn(&str) -> Option<T>,
    ) -> StoreResult<Vec<T>> {
        let reply = self.call(at, script, packed).await?;
        let parsed: Option<Vec<T>> = reply.iter().map(|text| parse(text)).collect();
        parsed.filter(|replies| replies.len() == expected).ok_or_else(|| unexpected(&reply))
    }

    pub(super) async fn call_one<T>(
        &self,
        at: At<'_>,
        call: (&Script, Packed),
        parse: impl Fn(&str) -> Option<T>,
    ) -> StoreResult<T> {
        let replies = self.call_each(at, call, 1, parse).await?;
        replies.into_iter().next().ok_or_else(|| unexpected(&[]))
    }
}

pub(super) fn unexpected(reply: &[String]) -> StoreError {
    StoreError::Refused(format!("unexpected reply {:?}", reply.iter().take(4).collect::<Vec<_>>()))
}

pub(super) fn store_error(error: RedisError) -> StoreError {
    /// Codes of servers that will take the call later: starting, failing over, running a script, or unable to persist or replicate.
    const LATER: [&str; 8] =
        ["LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "NOREPLICAS", "BUSY"];
    let message = error.to_string();
    match error.code() {
        Some("OOM") => StoreError::OutOfMemory,
        Some(code) if LATER.contains(&code) => StoreError::Unreachable(format!("{code}: {message}")),
        Some(code) => StoreError::Refused(format!("{code}: {message}")),
        None if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() => {
            StoreError::Unreachable(message)
        }
        None => StoreError::Refused(message),
    }
}

// ---- values as they come from the server ----------------------------------------------------------------------------

fn wrong_type() -> StoreError {
    StoreError::Refused("a reply of another type than the command gives".to_owned())
}

/// Elements of an array; none for nil.
pub(super) fn items(value: Value) -> StoreResult<Vec<Value>> {
    match value {
        Value::Array(items) | Value::Set(items) => Ok(items),
        Value::Map(pairs) => Ok(pairs.into_iter().flat_map(|(key, value)| [key, value]).collect()),
        Value::Nil => Ok(Vec::new()),
        Value::ServerError(error) => Err(store_error(error.into())),
        _ => Err(wrong_type()),
    }
}

pub(super) fn bytes(value: Value) -> StoreResult<Option<Vec<u8>>> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::SimpleString(text) => Ok(Some(text.into_bytes())),
        Value::VerbatimString { text, .. } => Ok(Some(text.into_bytes())),
        Value::Okay => Ok(Some(b"OK".to_vec())),
        Value::Int(number) => Ok(Some(number.to_string().into_bytes())),
        Value::ServerError(error) => Err(store_error(error.into())),
        _ => Err(wrong_type()),
    }
}

/// Text, with what is not UTF-8 replaced; nil is empty.
pub(super) fn text(value: Value) -> StoreResult<String> {
    Ok(String::from_utf8_lossy(&bytes(value)?.unwrap_or_default()).into_owned())
}

pub(super) fn number(value: Value) -> StoreResult<u64> {
    text(value)?.parse().map_err(|_| wrong_type())
}

/// Names and their values, in the server's order.
pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Alternating names and values.
pub(super) fn pairs(value: Value) -> StoreResult<Pairs> {
    let mut list = Vec::new();
    let mut flat = items(value)?.into_iter();
    while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
        list.push((bytes(name)?.unwrap_or_default(), bytes(value)?.unwrap_or_default()));
    }
    Ok(list)
}

/// Entries of a stream: id and fields.
pub(super) fn entries(value: Value) -> StoreResult<Vec<(String, Pairs)>> {
    let entry = |value: Value| {
        let mut parts = items(value)?.into_iter();
        let (id, fields) = (parts.next().unwrap_or(Value::Nil), parts.next().unwrap_or(Value::Nil));
        Ok((text(id)?, pairs(fields)?))
    };
    items(value)?.into_iter().map(entry).collect()
}
