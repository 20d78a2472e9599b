//! The connection to one Redis server, and which server it is: made when first needed, and again after it broke.
//!
//! A connection stays with one process. Which history of writes that process has is read when the connection is made and
//! whenever it matters, so that a server that was replaced is never taken for the one that answered before.

use super::redis::{items, store_error, text};
use super::redis_info::{Info, SeenReplica, ServerInfo};
use super::redis_sentinel::Sentinels;
use super::shared_wait::SharedWait;
use super::{Durability, ServerId, StoreError, StoreResult};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisError, RedisResult, Value};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// After a failed try, calls fail at once for this long: each would wait for the same server.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// How long a replica, or the disk, is waited for.
const CONFIRM_TIME: Duration = Duration::from_millis(500);

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
    /// Shared with the other connections to this server: what one of them saw, all of them owe.
    seen: Arc<SeenReplica>,
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
        Info::new(&text(self.send(&command, limit).await?)?).server(Some(&self.run))
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
        let by_replica = links.seen.has_to_confirm(&info);
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
    pub fn to_one(client: Client, limits: Limits, seen: Arc<SeenReplica>) -> Self {
        Self::new(Target::At(client), limits, seen)
    }

    pub fn to_primary(sentinels: Sentinels, limits: Limits) -> Self {
        Self::new(Target::NamedBy(Arc::new(sentinels)), limits, Arc::default())
    }

    fn new(target: Target, limits: Limits, seen: Arc<SeenReplica>) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limits.connect))
            .set_response_timeout(Some(limits.call));
        Self { target, config, limits, present: Mutex::default(), seen, confirmations: SharedWait::default() }
    }

    /// Others to the same server, which share with these what was seen of it.
    pub fn with_durability(&self, durability: Durability) -> Self {
        Self::new(self.target.clone(), Limits { durability, ..self.limits }, Arc::clone(&self.seen))
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
        let info = Info::new(&info).server(None)?;
        if !found_at.is_empty() && !info.is_primary {
            return Err(StoreError::Unreachable(format!("the sentinels still name {found_at}, which is a replica")));
        }
        if self.limits.durability == Durability::Fsync {
            info.can_fsync()?;
        }
        self.seen.has_to_confirm(&info);
        Ok(Link { connection, found_at, run: info.id.run().to_owned(), id: info.id })
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
        self.seen.has_to_confirm(&info);
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
