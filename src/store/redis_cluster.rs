//! A Redis Cluster: one connection to each of its primaries, and which of them has a key.
//!
//! Redirections are followed: `MOVED` changes the map, `ASK` is for one call while a slot is on its way. A call that finds its
//! keys on both sides of a move (`TRYAGAIN`) has not been done and is repeated by its caller. The history that counts is that of
//! all primaries together: any of them may keep shards of a ledger, and slots move between them.

use super::redis::hex_sha1;
use super::redis_address::Node;
use super::redis_info::SeenReplica;
use super::redis_link::{Failure, Limits, Links};
use super::redis_slots::{SlotMap, slot_of};
use super::{Durability, ServerId, StoreError, StoreResult};
use futures_util::future::try_join_all;
use redis::{Cmd, ConnectionInfo, Value};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Redirections that one call follows.
const REDIRECTIONS_MAX: usize = 5;
/// The map is not read more often than this.
const MAP_AGE: Duration = Duration::from_millis(100);

pub(super) struct Cluster {
    seeds: Vec<Node>,
    like: ConnectionInfo,
    limits: Limits,
    known: Mutex<Known>,
    /// Of each primary, shared with the other connections to this cluster.
    seen: Arc<Mutex<HashMap<Node, Arc<SeenReplica>>>>,
    /// One reading of the map at a time.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    map: SlotMap,
    read: Option<Instant>,
    is_stale: bool,
    /// Readings so far: each begins with another server, so that one that was cut off is not asked for ever.
    readings: usize,
    /// Of primaries, and of seeds while no primary is known.
    links: HashMap<Node, Arc<Links>>,
}

impl Cluster {
    pub fn new(seeds: Vec<Node>, like: ConnectionInfo, limits: Limits) -> Self {
        let (known, reading) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { seeds, like, limits, known, seen: Arc::default(), reading }
    }

    /// Other connections to the same servers, which share with these what was seen of them.
    pub fn with_durability(&self, durability: Durability) -> Self {
        let other = Self::new(self.seeds.clone(), self.like.clone(), Limits { durability, ..self.limits });
        Self { seen: Arc::clone(&self.seen), ..other }
    }

    pub const fn limits(&self) -> Limits {
        self.limits
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<Node, Arc<SeenReplica>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self, node: &Node) -> StoreResult<Arc<Links>> {
        if let Some(links) = self.known().links.get(node) {
            return Ok(Arc::clone(links));
        }
        let seen = Arc::clone(self.seen().entry(node.clone()).or_default());
        let links = Arc::new(Links::to_one(node.client(&self.like)?, self.limits, seen));
        Ok(Arc::clone(self.known().links.entry(node.clone()).or_insert(links)))
    }

    /// Reads the map again when it is older than `MAP_AGE`, from whichever server answers first.
    async fn read_map(&self) -> StoreResult<SlotMap> {
        let _one = self.reading.lock().await;
        let fresh = |known: &Known| known.read.is_some_and(|at| at.elapsed() < MAP_AGE);
        let (known, mut nodes, turn) = {
            let mut known = self.known();
            known.readings += 1;
            let primaries: Vec<Node> = known.map.primaries().into_iter().collect();
            (fresh(&known).then(|| known.map.clone()), primaries, known.readings)
        };
        if let Some(map) = known {
            return Ok(map);
        }
        let turn = turn % nodes.len().max(1);
        nodes.rotate_left(turn);
        let mut last = StoreError::Unreachable("the cluster has no address".to_owned());
        for node in nodes.iter().chain(&self.seeds) {
            match self.ask_for_map(node).await {
                Ok(map) => {
                    let mut known = self.known();
                    let primaries = map.primaries();
                    known.links.retain(|node, _| primaries.contains(node));
                    self.seen().retain(|node, seen| primaries.contains(node) || Arc::strong_count(seen) > 1);
                    (known.map, known.read, known.is_stale) = (map.clone(), Some(Instant::now()), false);
                    return Ok(map);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask_for_map(&self, node: &Node) -> StoreResult<SlotMap> {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let links = self.links(node)?;
        let link = links.link().await?;
        let reply = link.send(&command, self.limits.call).await.map_err(StoreError::from);
        SlotMap::parse(links.watch(&link, reply).await?, node)
    }

    async fn owner(&self, slot: u16) -> StoreResult<Node> {
        let known = {
            let known = self.known();
            known.map.owner(slot).cloned().filter(|_| !known.is_stale)
        };
        match known {
            Some(node) => Ok(node),
            None => {
                let map = self.read_map().await?;
                map.owner(slot).cloned().ok_or_else(|| StoreError::Unreachable(format!("no server has slot {slot}")))
            }
        }
    }

    fn suspect_map(&self) {
        self.known().is_stale = true;
    }

    /// Sends commands about one key's slot to whoever has it, in order; not atomic. While the slot is on its way each command is
    /// sent to the side that has its key.
    pub async fn exchange(&self, key: &str, commands: &[Cmd]) -> StoreResult<Vec<Value>> {
        let slot = slot_of(key);
        let mut replies = vec![Value::Nil; commands.len()];
        let mut left: Vec<usize> = (0..commands.len()).collect();
        let (mut node, mut is_asking) = (self.owner(slot).await?, false);
        for _ in 0..REDIRECTIONS_MAX {
            let now: Vec<Cmd> = left.iter().map(|&index| commands[index].clone()).collect();
            let mut sent_on = None;
            let mut again = Vec::new();
            for (index, reply) in left.into_iter().zip(self.send(&node, &now, is_asking).await?) {
                match reply {
                    Ok(reply) => replies[index] = reply,
                    Err(Failure::Error(error)) => return Err(error),
                    Err(failure) => {
                        again.push(index);
                        sent_on = Some(failure);
                    }
                }
            }
            left = again;
            (node, is_asking) = match sent_on {
                None => return Ok(replies),
                Some(Failure::Moved(to)) => (self.moved(slot, &to, &node)?, false),
                Some(Failure::Ask(to)) => (Node::parse(&to, &node).ok_or_else(|| odd(&to))?, true),
                Some(Failure::Error(error)) => return Err(error),
            };
        }
        Err(StoreError::Unreachable(format!("slot {slot} was sent on {REDIRECTIONS_MAX} times")))
    }

    fn moved(&self, slot: u16, to: &str, asked: &Node) -> StoreResult<Node> {
        let node = Node::parse(to, asked).ok_or_else(|| odd(to))?;
        let mut known = self.known();
        known.is_stale |= !known.map.moved(slot, node.clone());
        Ok(node)
    }

    async fn send(&self, node: &Node, commands: &[Cmd], is_asking: bool) -> StoreResult<Vec<Result<Value, Failure>>> {
        let links = self.links(node)?;
        let link = links.link().await.inspect_err(|_| self.suspect_map())?;
        let replies = links.watch(&link, link.exchange(commands, is_asking, self.limits.call).await).await;
        let fails = |failure: &Failure| matches!(failure, Failure::Error(StoreError::Unreachable(why)) if !why.starts_with("TRYAGAIN"));
        if replies.as_ref().map_or(true, |replies| replies.iter().filter_map(|reply| reply.as_ref().err()).any(fails)) {
            self.suspect_map();
            links.lose(&link).await;
        }
        replies
    }

    /// Every primary, as the cluster says by now.
    async fn primaries(&self) -> StoreResult<Vec<(Node, Arc<Links>)>> {
        let map = self.read_map().await?;
        map.primaries().into_iter().map(|node| self.links(&node).map(|links| (node, links))).collect()
    }

    async fn identities(&self) -> StoreResult<BTreeMap<Node, ServerId>> {
        let primaries = self.primaries().await?;
        let ask = |(node, links): (Node, Arc<Links>)| async move { Ok::<_, StoreError>((node, links.server().await?)) };
        let all = try_join_all(primaries.into_iter().map(ask)).await.inspect_err(|_| self.suspect_map())?;
        Ok(all.into_iter().collect())
    }

    /// All primaries as one: another one among them, or a history that was replaced, makes it another server.
    pub async fn server(&self) -> StoreResult<ServerId> {
        Ok(together(self.identities().await?.values()))
    }

    /// As for one server, for all primaries at the same time.
    pub async fn confirm(&self, writes: &Self, server: &ServerId, mark: impl Fn(&str) -> Cmd) -> StoreResult<()> {
        let by_writes: Vec<(Node, Arc<Links>)> =
            writes.known().links.iter().map(|(node, links)| (node.clone(), Arc::clone(links))).collect();
        let asked = if self.limits.durability == Durability::None { writes } else { self };
        let ids = asked.identities().await?;
        let now = together(ids.values());
        if now != *server {
            return Err(StoreError::Replaced { was: server.clone(), now });
        }
        for (node, links) in by_writes {
            let wrote = links.present_server().await;
            if wrote.is_some_and(|wrote| ids.get(&node).is_some_and(|id| *id != wrote)) {
                // Calls went to an earlier history of this server.
                return Err(StoreError::Replaced { was: server.clone(), now });
            }
        }
        if self.limits.durability == Durability::None {
            return Ok(());
        }
        let map = self.known().map.clone();
        let confirm = |(node, id): (&Node, &ServerId)| {
            let (links, mark) = (self.links(node), map.mark_at(node).map(|key| mark(&key)));
            let (node, id) = (node.clone(), id.clone());
            async move {
                let mark = mark.ok_or_else(|| StoreError::Unconfirmed(format!("{node} has no slot any more")))?;
                links?.confirm_here(&id, &mark).await
            }
        };
        try_join_all(ids.iter().map(confirm)).await.map(drop)
    }

    /// What each primary says of itself.
    pub async fn infos(&self) -> StoreResult<Vec<String>> {
        let ask = |(_, links): (Node, Arc<Links>)| async move { links.info().await };
        try_join_all(self.primaries().await?.into_iter().map(ask)).await
    }
}

fn odd(to: &str) -> StoreError {
    StoreError::Refused(format!("sent on to {to:?}, which is no address"))
}

/// One identity for several: their run ids and their replication ids, each hashed in one order.
fn together<'a>(ids: impl Iterator<Item = &'a ServerId>) -> ServerId {
    let mut all: Vec<&str> = ids.map(ServerId::as_str).collect();
    all.sort_unstable();
    let part = |pick: fn((&str, &str)) -> String| {
        hex_sha1(&all.iter().filter_map(|id| id.split_once('.')).map(pick).collect::<Vec<_>>().join(" "))
    };
    ServerId::new(&part(|(run, _)| run.to_owned()), &part(|(_, replication)| replication.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_servers_are_one_until_any_of_them_is_another() {
        let of = |ids: &[(&str, &str)]| {
            let ids: Vec<ServerId> = ids.iter().map(|(run, replication)| ServerId::new(run, replication)).collect();
            together(ids.iter())
        };
        let id = of(&[("a", "1"), ("b", "2")]);
        assert_eq!(id, of(&[("b", "2"), ("a", "1")]));
        for other in [of(&[("a", "1"), ("b", "3")]), of(&[("a", "1"), ("c", "2")]), of(&[("a", "1")])] {
            assert_ne!(id, other);
        }
        assert_eq!(ServerId::parse(id.as_str()), Some(id));
    }
}
