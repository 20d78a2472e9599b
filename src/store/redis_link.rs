//! The connection to one Redis server, and which server it is: made when first needed, and again after it broke.
//!
//! A connection stays with one process. Which history of writes that process has is read when the connection is made and
//! whenever it matters, so that a server that was replaced is never taken for the one that answered before.

use super::redis::{items, store_error, text};
use super::redis_sentinel::Sentinels;
use super::shared_wait::SharedWait;
use super::{Durability, ServerId, StoreError, StoreResult};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisError, RedisResult, Value};
use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// After a failed try, calls fail at once for this long: each would wait for the same server.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// How long a replica, or the disk, is waited for.
const CONFIRM_TIME: Duration = Duration::from_millis(500);

/// What `INFO` says of a server that matters for what it has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ServerInfo {
    id: ServerId,
    is_primary: bool,
    online_replicas: usize,
    version: String,
    append_only: bool,
}

/// How long connecting and calls may take, and what is waited for before offsets are committed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub connect: Duration,
    pub call: Duration,
    pub durability: Durability,
}

/// Why a server did not do what it was sent.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The slot is at this address, from now on.
    Moved(String),
    /// The slot is on its way to this address: what is sent now goes there.
    Ask(String),
    Error(StoreError),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        let is_ask = error.code() == Some("ASK");
        match error.redirect_node().map(|(to, _)| to.to_owned()) {
            Some(to) if is_ask => Self::Ask(to),
            Some(to) => Self::Moved(to),
            None => Self::Error(store_error(error)),
        }
    }
}

/// Where nobody follows redirections the slot is simply not there now.
impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Moved(to) | Failure::Ask(to) => Self::Unreachable(format!("the slot has moved to {to}")),
            Failure::Error(error) => error,
        }
    }
}

/// One connection.
pub(super) struct Link {
    connection: MultiplexedConnection,
    /// Where sentinels said the server is; empty without them.
    found_at: String,
    run: String,
    id: ServerId,
}

/// Makes connections to one server, one at a time.
pub(super) struct Links {
    target: Target,
    config: AsyncConnectionConfig,
    limits: Limits,
    present: Mutex<Present>,
    /// The history of which an online replica was seen: from then on one has to confirm, over whichever connection.
    replicated: std::sync::Mutex<Option<ServerId>>,
    /// Waits until what was answered is safe: each would hold up those behind it on the connection.
    confirmations: SharedWait<ServerId>,
}

#[derive(Default)]
struct Present {
    link: Option<Arc<Link>>,
    failure: Option<(Instant, StoreError)>,
}

impl Link {
    /// Sends a command and gives its reply, within `limit`.
    pub async fn send(&self, command: &Cmd, limit: Duration) -> Result<Value, Failure> {
        let mut connection = self.connection.clone();
        let reply = tokio::time::timeout(limit, command.query_async::<Value>(&mut connection)).await;
        Ok(reply.map_err(|_| Failure::Error(too_late(limit)))??)
    }

    /// Sends commands at once, in order; not atomic, and each with a reply of its own. `is_asking` for a slot that is on its
    /// way to this server.
    pub async fn exchange(
        &self,
        commands: &[Cmd],
        is_asking: bool,
        limit: Duration,
    ) -> StoreResult<Vec<Result<Value, Failure>>> {
        if let ([command], false) = (commands, is_asking) {
            return Ok(vec![self.send(command, limit).await]);
        }
        let mut pipe = redis::pipe();
        pipe.ignore_errors();
        for command in commands {
            if is_asking {
                pipe.cmd("ASKING");
            }
            pipe.add_command(command.clone());
        }
        let mut connection = self.connection.clone();
        let reply = tokio::time::timeout(limit, pipe.query_async::<Vec<RedisResult<Value>>>(&mut connection)).await;
        let replies = reply.map_err(|_| too_late(limit))?.map_err(store_error)?;
        let each = if is_asking { 2 } else { 1 };
        Ok(replies.into_iter().skip(each - 1).step_by(each).map(|reply| reply.map_err(Failure::from)).collect())
    }

    /// The history that the server has now.
    async fn identity(&self, limit: Duration) -> StoreResult<ServerInfo> {
        let mut command = redis::cmd("INFO");
        command.arg("replication");
        server_info(&text(self.send(&command, limit).await?)?, Some(&self.run))
    }

    /// Waits until everything that `server` has answered is as safe as `durability` asks. `mark` writes something, so that
    /// the wait covers all that was written before, by whichever connection.
    async fn confirm(&self, links: &Links, server: &ServerId, mark: &Cmd, limit: Duration) -> StoreResult<()> {
        let info = self.identity(limit).await?;
        if info.id != *server {
            return Err(StoreError::Replaced { was: server.clone(), now: info.id });
        }
        if !info.is_primary {
            return Err(StoreError::Unreachable("the server is a replica now".to_owned()));
        }
        let by_replica = links.has_to_replicate(&info);
        let by_disk = links.limits.durability == Durability::Fsync;
        if !by_replica && !by_disk {
            return Ok(());
        }
        self.send(mark, limit).await?;
        let millis = CONFIRM_TIME.as_millis().to_string();
        if by_replica {
            let mut wait = redis::cmd("WAIT");
            wait.arg(1).arg(&millis);
            if super::redis::number(self.send(&wait, limit).await?)? == 0 {
                return Err(StoreError::Unconfirmed("no replica has confirmed the writes".to_owned()));
            }
        }
        if by_disk {
            let mut wait = redis::cmd("WAITAOF");
            wait.arg(1).arg(0).arg(&millis);
            let flushed = items(self.send(&wait, limit).await?)?.into_iter().next().unwrap_or(Value::Nil);
            if super::redis::number(flushed)? == 0 {
                return Err(StoreError::Unconfirmed("the server's disk has not confirmed the writes".to_owned()));
            }
        }
        Ok(())
    }
}

/// Which server.
#[derive(Clone)]
enum Target {
    At(Client),
    /// The one that sentinels name when it is asked for.
    NamedBy(Arc<Sentinels>),
}

impl Links {
    pub fn to_one(client: Client, limits: Limits) -> Self {
        Self::new(Target::At(client), limits)
    }

    pub fn to_primary(sentinels: Sentinels, limits: Limits) -> Self {
        Self::new(Target::NamedBy(Arc::new(sentinels)), limits)
    }

    fn new(target: Target, limits: Limits) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limits.connect))
            .set_response_timeout(Some(limits.call));
        Self {
            target,
            config,
            limits,
            present: Mutex::default(),
            replicated: std::sync::Mutex::default(),
            confirmations: SharedWait::default(),
        }
    }

    /// Others to the same server.
    pub fn with_durability(&self, durability: Durability) -> Self {
        Self::new(self.target.clone(), Limits { durability, ..self.limits })
    }

    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// The present connection, or a new one.
    pub async fn link(&self) -> StoreResult<Arc<Link>> {
        let mut present = self.present.lock().await;
        if let Some(link) = &present.link {
            return Ok(Arc::clone(link));
        }
        if let Some((at, error)) = &present.failure
            && at.elapsed() < AFTER_FAILURE
        {
            return Err(error.clone());
        }
        let limit = self.limits.call;
        let made = tokio::time::timeout(limit, self.connect()).await.unwrap_or_else(|_| Err(too_late(limit)));
        match made {
            Ok(link) => {
                present.failure = None;
                Ok(Arc::clone(present.link.insert(Arc::new(link))))
            }
            Err(error) => {
                present.failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn connect(&self) -> StoreResult<Link> {
        let (client, found_at) = match &self.target {
            Target::At(client) => (client.clone(), String::new()),
            Target::NamedBy(sentinels) => sentinels.primary(&self.config).await?,
        };
        let connection = client.get_multiplexed_async_connection_with_config(&self.config).await.map_err(store_error)?;
        let mut info = connection.clone();
        let info = text(redis::cmd("INFO").query_async(&mut info).await.map_err(store_error)?)?;
        let info = server_info(&info, None)?;
        if !found_at.is_empty() && !info.is_primary {
            return Err(StoreError::Unreachable(format!("the sentinels still name {found_at}, which is a replica")));
        }
        if self.limits.durability == Durability::Fsync {
            can_fsync(&info)?;
        }
        self.has_to_replicate(&info);
        Ok(Link { connection, found_at, run: info.id.run().to_owned(), id: info.id })
    }

    /// Whether a replica has to confirm what this history holds: once one was seen to follow it, also when it is away.
    fn has_to_replicate(&self, info: &ServerInfo) -> bool {
        let mut replicated = self.replicated.lock().unwrap_or_else(PoisonError::into_inner);
        if info.online_replicas > 0 {
            *replicated = Some(info.id.clone());
        }
        replicated.as_ref() == Some(&info.id)
    }

    /// Lets go of a connection on which a call failed, so that the next one is made anew.
    pub async fn lose(&self, link: &Arc<Link>) {
        let mut present = self.present.lock().await;
        if present.link.as_ref().is_some_and(|now| Arc::ptr_eq(now, link)) {
            present.link = None;
        }
    }

    /// The server that answers now.
    pub async fn server(&self) -> StoreResult<ServerId> {
        let link = self.named_now(self.link().await?).await?;
        let info = self.watch(&link, link.identity(self.limits.call).await).await?;
        if !info.is_primary {
            self.lose(&link).await;
            return Err(StoreError::Unreachable("the server is a replica".to_owned()));
        }
        if info.id != link.id {
            // The same process with another history: calls from now on go over a connection that knows it.
            self.lose(&link).await;
        }
        Ok(info.id)
    }

    /// The same connection, unless sentinels name another server by now: one that was cut off may not know that it is no
    /// primary any more.
    async fn named_now(&self, link: Arc<Link>) -> StoreResult<Arc<Link>> {
        let Target::NamedBy(sentinels) = &self.target else { return Ok(link) };
        match sentinels.primary(&self.config).await {
            Ok((_, found_at)) if found_at != link.found_at => {
                self.lose(&link).await;
                self.link().await
            }
            // Without an answer what is connected stays.
            Ok(_) | Err(_) => Ok(link),
        }
    }

    /// The history that the present connection was made to, if there is one.
    pub async fn present_server(&self) -> Option<ServerId> {
        self.present.lock().await.link.as_ref().map(|link| link.id.clone())
    }

    /// See [`Store::confirm`](super::Store::confirm).
    pub async fn confirm(&self, writes: &Self, server: &ServerId, mark: &Cmd) -> StoreResult<()> {
        if let Some(now) = writes.present_server().await.filter(|now| now != server) {
            return Err(StoreError::Replaced { was: server.clone(), now });
        }
        if self.limits.durability == Durability::None { Ok(()) } else { self.confirm_here(server, mark).await }
    }

    /// Waits for what this server has answered; whatever the mark's key is, it is written on the connection that waits.
    pub async fn confirm_here(&self, server: &ServerId, mark: &Cmd) -> StoreResult<()> {
        self.confirmations.ask(server, || self.confirm_alone(server, mark)).await
    }

    async fn confirm_alone(&self, server: &ServerId, mark: &Cmd) -> StoreResult<()> {
        let link = self.link().await?;
        let limit = self.limits.call + CONFIRM_TIME;
        self.watch(&link, link.confirm(self, server, mark, limit).await).await
    }

    /// What the server says of itself.
    pub async fn info(&self) -> StoreResult<String> {
        let link = self.link().await?;
        let reply = link.send(&redis::cmd("INFO"), self.limits.call).await.map_err(StoreError::from);
        text(self.watch(&link, reply).await?)
    }

    /// Sends commands to the server, in order; not atomic.
    pub async fn exchange(&self, commands: &[Cmd]) -> StoreResult<Vec<Value>> {
        let link = self.link().await?;
        let replies = link.exchange(commands, false, self.limits.call).await;
        let all = replies.and_then(|replies| Ok(replies.into_iter().collect::<Result<Vec<Value>, Failure>>()?));
        self.watch(&link, all).await
    }

    /// Lets go of the connection when a call on it failed in a way that another connection may cure.
    pub async fn watch<T>(&self, link: &Arc<Link>, result: StoreResult<T>) -> StoreResult<T> {
        if matches!(result, Err(StoreError::Unreachable(_) | StoreError::Replaced { .. })) {
            self.lose(link).await;
        }
        result
    }
}

fn too_late(limit: Duration) -> StoreError {
    StoreError::Unreachable(format!("no answer within {limit:?}"))
}

/// Reads what `INFO` says; `run` where the section read does not name the process.
fn server_info(info: &str, run: Option<&str>) -> StoreResult<ServerInfo> {
    let value = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let missing = |name: &str| StoreError::Refused(format!("INFO names no {name}"));
    let run = run.or_else(|| value("run_id")).ok_or_else(|| missing("run_id"))?;
    let replication = value("master_replid").ok_or_else(|| missing("master_replid"))?;
    let replica = |line: &&str| line.starts_with("slave") && line.contains("state=online");
    Ok(ServerInfo {
        id: ServerId::new(run, replication),
        is_primary: value("role") == Some("master"),
        online_replicas: info.lines().filter(replica).count(),
        version: value("valkey_version").or_else(|| value("redis_version")).unwrap_or("unknown").to_owned(),
        append_only: value("aof_enabled") == Some("1"),
    })
}

/// Whether the server can be asked to wait for its disk.
fn can_fsync(info: &ServerInfo) -> StoreResult<()> {
    let mut numbers = info.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < (7, 2) {
        return Err(StoreError::Unsupported(format!(
            "durability fsync needs Redis 7.2 or later for WAITAOF, and this is {}: update it or choose durability replica",
            info.version
        )));
    }
    if !info.append_only {
        return Err(StoreError::Unsupported(
            "durability fsync needs appendonly yes, and better appendfsync always: set it or choose durability replica"
                .to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.2.4\r\nrun_id:aa\r\n# Persistence\r\naof_enabled:1\r\n# Replication\r\n\
                        role:master\r\nconnected_slaves:2\r\nslave0:ip=10.0.0.1,port=1,state=online,offset=9,lag=0\r\n\
                        slave1:ip=10.0.0.2,port=1,state=wait_bgsave,offset=0,lag=0\r\nmaster_replid:bb\r\n\
                        master_replid2:00\r\n";

    #[test]
    fn a_server_is_its_process_and_its_history_and_only_online_replicas_count() {
        let info = server_info(INFO, None).unwrap();
        assert_eq!((info.id, info.is_primary, info.online_replicas), (ServerId::new("aa", "bb"), true, 1));
        let section = INFO.split_once("# Replication").unwrap().1;
        assert_eq!(server_info(section, Some("aa")).unwrap().id, ServerId::new("aa", "bb"));
        assert!(server_info(section, None).is_err());
    }

    #[test]
    fn a_replica_that_was_seen_has_to_confirm_until_the_server_has_another_history() {
        let limit = Duration::from_secs(1);
        let limits = Limits { connect: limit, call: limit, durability: Durability::Replica };
        let links = Links::to_one(Client::open("redis://127.0.0.1:1").unwrap(), limits);
        let with = |online_replicas, history| {
            let id = ServerId::new("aa", history);
            links.has_to_replicate(&ServerInfo { id, online_replicas, ..server_info(INFO, None).unwrap() })
        };
        assert!(!with(0, "bb"), "none was ever there");
        assert!(with(1, "bb"));
        assert!(with(0, "bb"), "it is away, whatever became of the connection");
        assert!(!with(0, "cc"), "another history, of which no replica was seen");
    }

    #[test]
    fn fsync_is_refused_where_the_server_cannot_or_does_not_write_to_disk() {
        let server = |version: &str, append_only| {
            can_fsync(&ServerInfo { version: version.to_owned(), append_only, ..server_info(INFO, None).unwrap() })
        };
        assert_eq!(server("7.2.0", true), Ok(()));
        assert_eq!(server("8.0.1", true), Ok(()));
        for (version, append_only) in [("7.0.15", true), ("6.2.1", true), ("unknown", true), ("7.4.0", false)] {
            assert!(matches!(server(version, append_only), Err(StoreError::Unsupported(_))), "{version}");
        }
    }
}
