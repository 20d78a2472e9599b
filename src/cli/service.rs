//! `tidemark order`, `payment` and `delivery`.

use super::Failure;
use crate::{
    config::{
        ServiceConfig,
        args::{ConnectionArgs, ServiceArgs},
        defaults,
    },
    consumer::Stop,
    effects_log::EffectsLog,
    roles::{ServiceOptions, run_service},
    services::Service,
};
use anyhow::Context;
use clap::Args;
use std::{process::ExitCode, sync::Arc};
use tokio_util::sync::CancellationToken;

#[derive(Args, Clone, Debug)]
pub struct ServiceCommand {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    service: ServiceArgs,
}

pub async fn run(service: Service, command: ServiceCommand, stop: CancellationToken) -> Result<ExitCode, Failure> {
    let config = ServiceConfig::resolve(&command.connection, &command.service, default_listen(service))?;
    let url = config.cluster.redis.as_ref().context("a service has a ledger")?;
    let store = super::redis_store(url)?.with_durability(config.durability);
    let effects = config.effects_log.as_deref().map(EffectsLog::open).transpose()?;
    let work_time = config.work_time;
    let options = ServiceOptions { effects, work_time: Arc::new(move |_| work_time), ..ServiceOptions::default() };
    let listener = super::bind(config.listen).await?;
    run_service(service, config, store, options, listener, Stop::clean(stop)).await?;
    Ok(ExitCode::SUCCESS)
}

fn default_listen(service: Service) -> &'static str {
    match service {
        Service::Order => defaults::ORDER_LISTEN,
        Service::Payment => defaults::PAYMENT_LISTEN,
        Service::Delivery => defaults::DELIVERY_LISTEN,
    }
}
