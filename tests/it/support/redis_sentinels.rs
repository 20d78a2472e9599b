//! A primary, its replica and three sentinels on loopback.

use super::process::{Guarded, free_ports, scratch};
use super::{PATIENCE, Redis, eventually};

pub const SERVICE: &str = "ledger";

pub struct RedisSentinels {
    pub primary: Redis,
    pub replica: Redis,
    sentinels: Vec<(u16, Guarded)>,
}

impl RedisSentinels {
    pub async fn start() -> RedisSentinels {
        let [one, two, ports @ ..]: [u16; 5] = free_ports();
        let options = |more: &[&str]| {
            let quick = ["--repl-diskless-sync-delay", "0"];
            quick.iter().chain(more).map(|word| (*word).to_string()).collect::<Vec<_>>()
        };
        let primary = Redis::start_with(one, false, options(&[]));
        let replica = Redis::start_with(two, false, options(&["--replicaof", "127.0.0.1", &one.to_string()]));
        let sentinels = ports.iter().map(|port| (*port, sentinel(*port, one))).collect();
        let all = RedisSentinels { primary, replica, sentinels };
        eventually(PATIENCE, "every sentinel knows the replica and the others", || async {
            for (port, _) in &all.sentinels {
                let said = ask(*port, &["SENTINEL", "MASTER", SERVICE]).await?;
                let value = |name: &str| said.iter().skip_while(|word| *word != name).nth(1).cloned().unwrap_or_default();
                if value("num-slaves") != "1" || value("num-other-sentinels") != "2" || value("flags") != "master" {
                    return Err(format!("{said:?}"));
                }
            }
            Ok(())
        })
        .await;
        all
    }

    pub fn url(&self) -> String {
        let addresses: Vec<String> = self.sentinels.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{}/{SERVICE}", addresses.join(","))
    }

    /// Waits until the sentinels have made the replica the primary.
    pub async fn until_promoted(&self) {
        eventually(PATIENCE, "the sentinels have promoted the replica", || async {
            for (port, _) in &self.sentinels {
                let said = ask(*port, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]).await?;
                if said.last() != Some(&self.replica.port().to_string()) {
                    return Err(format!("{said:?}"));
                }
            }
            Ok(())
        })
        .await;
    }
}

fn sentinel(port: u16, primary: u16) -> Guarded {
    let dir = scratch("sentinel");
    let config = dir.join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor {SERVICE} 127.0.0.1 {primary} 2\n\
         sentinel down-after-milliseconds {SERVICE} 1000\nsentinel failover-timeout {SERVICE} 10000\n"
    );
    std::fs::write(&config, text).expect("the sentinel's file can be written");
    let command = ["redis-server".to_string(), config.display().to_string(), "--sentinel".to_string()];
    Guarded::start(&command, &[], &dir, Some(&dir))
}

async fn ask(port: u16, words: &[&str]) -> Result<Vec<String>, String> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).map_err(|error| error.to_string())?;
    let mut connection = client.get_multiplexed_async_connection().await.map_err(|error| error.to_string())?;
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let said: redis::Value = command.query_async(&mut connection).await.map_err(|error| error.to_string())?;
    match said {
        redis::Value::Map(pairs) => {
            pairs.into_iter().flat_map(|(name, value)| [name, value]).map(text).collect::<Result<_, String>>()
        }
        redis::Value::Array(items) => items.into_iter().map(text).collect(),
        other => Err(format!("{other:?}")),
    }
}

fn text(value: redis::Value) -> Result<String, String> {
    redis::from_redis_value(value).map_err(|error| format!("{error:?}"))
}
