//! Which ledgers are asked about an event, and where the records lie that they tell of.

use super::super::{Failure, ledger::open_store, redis_store};
use crate::{
    config::{ClusterConfig, ConfigError, FileConfig, args::ConnectionArgs, defaults},
    kafka::Connection,
    monitor::{LedgerToAsk, WatchedLedger},
    store::{Namespace, RedisStore},
};

/// The ledger that `--redis` names, or the file; and those of the file's clusters, unless a flag names one place to ask.
pub(super) fn to_ask(args: &ConnectionArgs, file: &FileConfig) -> Result<Vec<LedgerToAsk<RedisStore>>, Failure> {
    let mut ledgers = Vec::new();
    if args.redis.is_none() && args.redis_file.is_none() && args.kafka.is_none() && !file.cluster.is_empty() {
        let of_top_level = usize::from(file.kafka.is_some());
        for ClusterConfig { name, bootstrap, properties, redis, namespace } in
            args.clusters()?.into_iter().skip(of_top_level)
        {
            let Some(url) = redis else { continue };
            let namespace =
                Namespace::new(&namespace).map_err(|error| ConfigError::invalid("namespace", &namespace, error.rule))?;
            let kafka = Ok(Connection::new(bootstrap, properties).map_err(anyhow::Error::from)?);
            let ledger = WatchedLedger { store: redis_store(&url)?, namespace };
            ledgers.push(LedgerToAsk { cluster: name, ledger, kafka });
        }
    }
    if ledgers.is_empty() || args.redis_url(file)?.is_some() {
        let (store, namespace) = open_store(args, file)?;
        let (cluster, kafka) = kafka(args, file)?;
        ledgers.insert(0, LedgerToAsk { cluster, ledger: WatchedLedger { store, namespace }, kafka });
    }
    Ok(ledgers)
}

/// The cluster's name, and the way to its records: Kafka is optional here.
fn kafka(args: &ConnectionArgs, file: &FileConfig) -> Result<(String, Result<Connection, String>), Failure> {
    if args.kafka.is_none() && file.kafka.is_none() {
        let name =
            args.cluster_name.clone().or(file.cluster_name.clone()).unwrap_or_else(|| defaults::CLUSTER_NAME.to_owned());
        return Ok((
            name,
            Err("give --kafka, so that the event's record can be read, or the order's id with --key".to_owned()),
        ));
    }
    let cluster = args.clusters()?.into_iter().next();
    let ClusterConfig { name, bootstrap, properties, .. } =
        cluster.ok_or_else(|| ConfigError::missing("kafka", "is needed: HOST:PORT"))?;
    let connection = Connection::new(bootstrap, properties).map_err(anyhow::Error::from)?;
    Ok((name, Ok(connection)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_cluster_of_the_file_that_has_a_ledger_is_asked_unless_a_flag_names_one() {
        let path = std::env::temp_dir().join(format!("tidemark-event-{}.toml", std::process::id()));
        let cluster = |name: &str, more: &str| format!("[[cluster]]\nname = \"{name}\"\nkafka = \"k:1\"\n{more}\n");
        let (us, mail) = ("redis = \"redis://us:6379\"", "redis = \"redis://mail:6379\"\nnamespace = \"mail\"");
        let text = [cluster("us", us), cluster("none", ""), cluster("mail", mail)].concat();
        std::fs::write(&path, text).unwrap();
        let of_file = ConnectionArgs { config: Some(path.clone()), ..ConnectionArgs::default() };
        let flag = ConnectionArgs { redis: Some("redis://flag:6379".to_owned()), ..of_file.clone() };
        let asked = |args: &ConnectionArgs| {
            let all = to_ask(args, &FileConfig::of(args).unwrap()).ok().unwrap();
            let one = |one: LedgerToAsk<RedisStore>| (one.cluster, one.ledger.namespace.to_string(), one.kafka.is_ok());
            all.into_iter().map(one).collect::<Vec<_>>()
        };
        let (by_file, by_flag) = (asked(&of_file), asked(&flag));
        std::fs::remove_file(path).unwrap();
        let shop = |name: &str, kafka| (name.to_owned(), defaults::NAMESPACE.to_owned(), kafka);
        assert_eq!(by_file, [shop("us", true), ("mail".to_owned(), "mail".to_owned(), true)]);
        assert_eq!(by_flag, [shop(defaults::CLUSTER_NAME, false)]);
    }
}
