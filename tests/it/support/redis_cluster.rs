//! A Redis Cluster of our own: servers on loopback that `redis-cli` joins.

use super::process::free_ports;
use super::{PATIENCE, Redis, eventually};
use std::process::Command;

pub struct RedisCluster {
    pub nodes: Vec<Redis>,
}

/// One server as the others see it.
#[derive(Clone, Debug)]
pub struct Member {
    pub id: String,
    pub port: u16,
    pub is_primary: bool,
    /// Of a replica: whom it follows.
    pub follows: String,
    pub slots: Vec<(u16, u16)>,
}

impl RedisCluster {
    /// Three primaries, with a replica each if asked for.
    pub async fn start(with_replicas: bool) -> RedisCluster {
        let ports: [u16; 12] = free_ports();
        let count = if with_replicas { 6 } else { 3 };
        let node = |n: usize| {
            let bus = ports[6 + n].to_string();
            let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "3000", "--cluster-port", &bus];
            let more = ["--repl-diskless-sync-delay", "0", "--cluster-config-file", "nodes.conf"];
            let all = options.into_iter().chain(more).map(str::to_string).collect();
            Redis::start_with(ports[n], false, all)
        };
        let cluster = RedisCluster { nodes: (0..count).map(node).collect() };
        let addresses: Vec<String> = cluster.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        let replicas = if with_replicas { "1" } else { "0" };
        let create = ["--cluster", "create"].into_iter().chain(addresses.iter().map(String::as_str));
        cluster.cli(create.chain(["--cluster-replicas", replicas, "--cluster-yes"])).await;
        eventually(PATIENCE, "the cluster is formed", || async {
            for node in &cluster.nodes {
                let info = cluster.ask(node, &["CLUSTER", "INFO"]).await?;
                if !info.contains("cluster_state:ok") {
                    return Err(info);
                }
                if cluster.members_at(node).await?.iter().filter(|member| member.is_primary).count() != 3 {
                    return Err("a server does not know the three primaries".to_string());
                }
            }
            Ok(())
        })
        .await;
        if with_replicas {
            eventually(PATIENCE, "every primary has its replica", || async {
                for member in cluster.members().await.iter().filter(|member| member.is_primary) {
                    let info = cluster.ask(cluster.node(member.port), &["INFO", "replication"]).await?;
                    if !info.contains("state=online") {
                        return Err(info);
                    }
                }
                Ok(())
            })
            .await;
        }
        cluster
    }

    pub fn url(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("redis+cluster://{}", addresses.join(","))
    }

    pub fn node(&self, port: u16) -> &Redis {
        self.nodes.iter().find(|node| node.port() == port).expect("a server of the cluster")
    }

    /// Runs `redis-cli` to its end, which has to be a good one.
    async fn cli<'a>(&self, arguments: impl Iterator<Item = &'a str>) {
        let mut command = Command::new("redis-cli");
        command.args(arguments);
        let run = tokio::task::spawn_blocking(move || command.output().expect("redis-cli can be run"));
        let output = run.await.expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    }

    pub async fn ask(&self, node: &Redis, words: &[&str]) -> Result<String, String> {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let client = redis::Client::open(node.url()).map_err(|error| error.to_string())?;
        let mut connection = client.get_multiplexed_async_connection().await.map_err(|error| error.to_string())?;
        command.query_async(&mut connection).await.map_err(|error| format!("{words:?}: {error}"))
    }

    /// What the first server that answers knows of all.
    pub async fn members(&self) -> Vec<Member> {
        eventually(PATIENCE, "a server of the cluster answers", || async {
            let mut last = String::new();
            for node in &self.nodes {
                match self.members_at(node).await {
                    Ok(members) => return Ok(members),
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
        .await
    }

    async fn members_at(&self, node: &Redis) -> Result<Vec<Member>, String> {
        Ok(self.ask(node, &["CLUSTER", "NODES"]).await?.lines().filter_map(member).collect())
    }

    /// The server of a slot.
    pub async fn owner(&self, slot: u16) -> Member {
        let members = self.members().await;
        let has = |member: &&Member| member.slots.iter().any(|(first, last)| (*first..=*last).contains(&slot));
        members.iter().find(has).cloned().expect("every slot has a server")
    }

    /// Begins to move a slot: from here on its keys may be on either side.
    pub async fn begin_move(&self, slot: u16, from: &Member, to: &Member) {
        let slot = slot.to_string();
        self.ask(self.node(to.port), &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from.id]).await.expect("it takes it");
        self.ask(self.node(from.port), &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to.id]).await.expect("it gives it");
    }

    /// Moves at most `most` keys of the slot; gives how many there were.
    pub async fn move_keys(&self, slot: u16, from: &Member, to: &Member, most: usize) -> usize {
        let mut connection = self.node(from.port).connect().await;
        let mut list = redis::cmd("CLUSTER");
        list.arg("GETKEYSINSLOT").arg(slot).arg(most);
        let keys: Vec<String> = list.query_async(&mut connection).await.expect("it lists its keys");
        if !keys.is_empty() {
            let mut migrate = redis::cmd("MIGRATE");
            migrate.arg("127.0.0.1").arg(to.port).arg("").arg(0).arg(5_000).arg("KEYS").arg(&keys);
            migrate.query_async::<String>(&mut connection).await.expect("they move");
        }
        keys.len()
    }

    /// Ends the move: the slot is `to`'s.
    pub async fn end_move(&self, slot: u16, from: &Member, to: &Member) {
        while self.move_keys(slot, from, to, 1_000).await > 0 {}
        let slot = slot.to_string();
        for member in [to, from] {
            self.ask(self.node(member.port), &["CLUSTER", "SETSLOT", &slot, "NODE", &to.id]).await.expect("it is told");
        }
        // The others hear of it by gossip; who asks them meanwhile is sent on.
    }
}

fn member(line: &str) -> Option<Member> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [id, address, flags, follows, _, _, _, _, slots @ ..] = words.as_slice() else { return None };
    let port = address.split('@').next()?.rsplit_once(':')?.1.parse().ok()?;
    let is_down = flags.contains("fail") || flags.contains("noaddr") || flags.contains("handshake");
    let range = |text: &&str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    (!is_down).then(|| Member {
        id: (*id).to_string(),
        port,
        is_primary: flags.contains("master"),
        follows: (*follows).to_string(),
        slots: slots.iter().filter_map(range).collect(),
    })
}
