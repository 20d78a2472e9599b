//! `tidemark monitor`.

use super::Failure;
use crate::{
    config::{
        ConfigError, MonitorConfig,
        args::{CollectionArgs, ConnectionArgs, WebArgs},
    },
    kafka::PropertyError,
    monitor::WatchedLedger,
    roles::{MonitorOptions, reader_config, start_monitor},
    store::{Namespace, RedisStore},
};
use anyhow::Context;
use clap::Args;
use std::{
    io::{self, Write as _},
    process::ExitCode,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[derive(Args, Clone, Debug)]
pub struct MonitorCommand {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    collection: CollectionArgs,
    #[command(flatten)]
    web: WebArgs,
}

pub async fn run(command: MonitorCommand, stop: CancellationToken) -> Result<ExitCode, Failure> {
    let config = MonitorConfig::resolve(&command.connection, &command.collection, &command.web)?;
    for cluster in &config.clusters {
        reader_config(&config, cluster).map_err(in_config)?;
    }
    let ledgers = ledgers(&config)?;
    let listener = super::bind(config.web.listen).await?;
    let address = listener.local_addr().context("the address that is listened on")?;
    // For people: that nobody reads it is no reason to end.
    let _ = writeln!(io::stdout(), "Tidemark is at http://{address}{}/", config.web.route_prefix);
    let tasks = TaskTracker::new();
    start_monitor(&config, ledgers, MonitorOptions::default(), listener, &tasks, &stop)?;
    stop.cancelled().await;
    tasks.close();
    tasks.wait().await;
    Ok(ExitCode::SUCCESS)
}

fn in_config(error: PropertyError) -> ConfigError {
    ConfigError::property(&error.key, &error.value, &error.rule)
}

/// The ledger of each cluster, in the order of the clusters.
fn ledgers(config: &MonitorConfig) -> Result<Vec<Option<WatchedLedger<RedisStore>>>, Failure> {
    let mut ledgers = Vec::with_capacity(config.clusters.len());
    for cluster in &config.clusters {
        let Some(url) = &cluster.redis else {
            ledgers.push(None);
            continue;
        };
        let store = super::redis_store(url)?;
        let namespace = Namespace::new(&cluster.namespace)
            .map_err(|error| ConfigError::invalid("namespace", &error.value, error.rule))?;
        ledgers.push(Some(WatchedLedger { store, namespace }));
    }
    Ok(ledgers)
}
