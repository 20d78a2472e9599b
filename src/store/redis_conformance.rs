//! Holds the scripts to the vectors on a Redis of their own: calls as they go over the wire, their replies, and the books.
//!
//! Nothing of the store's own packing or reading is used. The server's clock is replaced by two keys, so that the scripts
//! that run are the shipped ones but for that line.

use super::redis::{bytes, items, number, pairs, store_error, text};
use super::replies;
use super::scripts::{Script, Scripts};
use super::{StoreError, StoreResult};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value as Reply, cmd};
use serde_json::{Map, Value, json};

/// The vectors that are shipped: tests/vectors/ledger.json.
pub const VECTORS: &str = include_str!("../../tests/vectors/ledger.json");

/// Fields of `T:m` that are not counters.
const META: [&str; 8] = ["inc", "window", "fence", "gen", "ids", "ids_before", "fill", "fill_before"];

/// One case that was played to its end or to the first difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayedCase {
    pub name: String,
    /// What differs, in words.
    pub problem: Option<String>,
}

/// Replaces the server's clock by two keys that are set before each call.
pub(super) fn virtual_time(script: &str) -> String {
    script.replace("redis.call('TIME')", "redis.call('MGET', 'clock:s', 'clock:us')")
}

/// Plays every case on the server at `url`, which has to be empty; what is written is removed again.
///
/// # Errors
/// The server cannot be reached, holds data, or refuses a script.
pub async fn play_scripts(url: &str, vectors: &Value) -> StoreResult<Vec<PlayedCase>> {
    let client = redis::Client::open(url).map_err(|error| StoreError::BadArgument(format!("redis url: {error}")))?;
    let connection = client.get_multiplexed_async_connection().await.map_err(store_error)?;
    let mut player = Player { connection, scripts: Scripts::new(virtual_time), vectors };
    let keys = number(player.send(cmd("DBSIZE")).await?)?;
    if keys > 0 {
        let why =
            format!("the server holds {keys} keys: give an empty one, because the vectors need its names and its clock");
        return Err(StoreError::BadArgument(why));
    }
    let mut played = Vec::new();
    for case in list(&vectors["cases"]) {
        let problem = player.play(case).await?;
        played.push(PlayedCase { name: word(&case["name"]).to_owned(), problem });
        player.clean_up().await?;
    }
    Ok(played)
}

struct Player<'a> {
    connection: MultiplexedConnection,
    scripts: Scripts,
    vectors: &'a Value,
}

impl Player<'_> {
    async fn send(&mut self, command: Cmd) -> StoreResult<Reply> {
        command.query_async(&mut self.connection).await.map_err(store_error)
    }

    /// Plays one case; gives the first difference.
    async fn play(&mut self, case: &Value) -> StoreResult<Option<String>> {
        let tag = word(&self.vectors["tag"]).to_owned();
        self.set_clock(&case["steps"][0]).await?;
        let mut init = cmd("EVAL");
        init.arg(&self.scripts.init.text).arg(1).arg(format!("{tag}:m"));
        init.arg(word(&self.vectors["incarnation"])).arg(self.vectors["window_ms"].to_string());
        self.send(init).await?;
        for (at, step) in list(&case["steps"]).iter().enumerate() {
            self.set_clock(step).await?;
            let said = self.call(step).await?;
            if json!(said) != step["reply"] {
                return Ok(Some(format!("step {at} ({}): expected {}, got {}", step["op"], step["reply"], json!(said))));
            }
        }
        let counted = Value::Object(self.counters(&tag).await?);
        if counted != case["counters"] {
            return Ok(Some(format!("books: expected {}, got {counted}", case["counters"])));
        }
        let mut open = cmd("HLEN");
        open.arg(format!("{tag}:p"));
        let open = number(self.send(open).await?)?;
        let expected = &case["open_records"];
        Ok((json!(open) != *expected).then(|| format!("open records: expected {expected}, got {open}")))
    }

    async fn set_clock(&mut self, step: &Value) -> StoreResult<()> {
        let at_us = step["at_us"].as_u64().unwrap_or(0);
        let mut set = cmd("MSET");
        set.arg("clock:s").arg(at_us / 1_000_000).arg("clock:us").arg(at_us % 1_000_000);
        self.send(set).await.map(drop)
    }

    async fn call(&mut self, step: &Value) -> StoreResult<Vec<String>> {
        let op = word(&step["op"]);
        let unknown = || StoreError::BadArgument(format!("the vectors name a call that is not known: {op}"));
        let script: &Script = self.scripts.all().into_iter().find(|script| script.name == op).ok_or_else(unknown)?;
        let mut call = cmd("EVAL");
        call.arg(&script.text).arg(list(&step["keys"]).len());
        for key in list(&step["keys"]) {
            call.arg(word(key));
        }
        for argument in list(&step["argv"]) {
            call.arg(argument_bytes(argument).ok_or_else(unknown)?);
        }
        let replies = items(self.send(call).await?)?;
        replies.into_iter().map(|reply| text(reply).map(|text| without_entry_ids(&text))).collect()
    }

    async fn counters(&mut self, tag: &str) -> StoreResult<Map<String, Value>> {
        let mut read = cmd("HGETALL");
        read.arg(format!("{tag}:m"));
        let mut counted = Map::new();
        for (field, value) in pairs(self.send(read).await?)? {
            let field = String::from_utf8_lossy(&field).into_owned();
            if !META.contains(&field.as_str()) {
                let value = String::from_utf8_lossy(&value).into_owned();
                counted.insert(field, value.parse::<u64>().map_or_else(|_| json!(value), |number| json!(number)));
            }
        }
        Ok(counted)
    }

    /// Removes what a case has written: the server was empty before.
    async fn clean_up(&mut self) -> StoreResult<()> {
        let mut keys = cmd("KEYS");
        keys.arg("*");
        let mut delete = cmd("DEL");
        for key in items(self.send(keys).await?)? {
            delete.arg(bytes(key)?.unwrap_or_default());
        }
        self.send(delete).await.map(drop)
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// An argument of the vectors: text as it is, `{"hex": ...}` as those bytes. `None` for anything else.
pub fn argument_bytes(argument: &Value) -> Option<Vec<u8>> {
    if let Some(text) = argument.as_str() {
        return Some(text.as_bytes().to_vec());
    }
    let hex = argument["hex"].as_str().filter(|hex| hex.is_ascii() && hex.len() % 2 == 0)?;
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
}

/// A reply with a `*` for each id of an outbox entry, as the vectors have it.
pub fn without_entry_ids(reply: &str) -> String {
    let star = |word: &str| if replies::outbox_id(word).is_some() { "*".to_owned() } else { word.to_owned() };
    reply.split(' ').map(star).collect::<Vec<_>>().join(" ")
}
