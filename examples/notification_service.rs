//! A fourth service for the shop: it tells customers what became of their payment and their parcel. None of the others knows it.
//!
//! ```sh
//! cargo run --example notification_service -- --kafka localhost:9092 --redis redis://localhost:6379 --to sent.jsonl
//! ```
//!
//! docs/how-to-add-a-service.md goes through it line by line.

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Parser;
use futures_util::future::{BoxFuture, FutureExt};
use std::{path::PathBuf, sync::Arc};
use tidemark::config::{
    ServiceConfig,
    args::{ConnectionArgs, ServiceArgs},
};
use tidemark::consumer::{Acted, Handler, Work};
use tidemark::events::{Event, EventData, Topic};
use tidemark::roles::serve_handler;
use tidemark::services::{StateError, Verdict};
use tokio::{fs::File, io::AsyncWriteExt};

/// All flags of the three services, and where messages go.
#[derive(Parser)]
struct Args {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    service: ServiceArgs,
    /// File that stands for the provider that sends messages: a line each
    #[arg(long)]
    to: PathBuf,
}

struct Notifications {
    to: PathBuf,
}

impl Handler for Notifications {
    fn group(&self) -> &str {
        "notification-service"
    }

    fn topics(&self) -> Vec<String> {
        [Topic::Payments, Topic::Deliveries].map(|topic| topic.name().to_owned()).into()
    }

    fn act<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Result<Acted, String>> {
        let Some(text) = text(&work.event.data) else { return async { Ok(Acted::Nothing) }.boxed() };
        let line = serde_json::json!({
            "idempotency_key": work.event.id,
            "fence": work.fence.get(),
            "attempt": work.attempt,
            "order": work.event.order_id(),
            "text": text,
        });
        async move { self.send(format!("{line}\n")).await.map(|()| Acted::Done).map_err(|error| format!("{error:#}")) }
            .boxed()
    }

    fn decide(&self, _state: Option<&str>, _event: &Event, _now: DateTime<Utc>) -> Result<Verdict, StateError> {
        Ok(Verdict::nothing())
    }
}

impl Notifications {
    /// Asks the provider to send a message. A real one drops what comes again under the same key.
    async fn send(&self, line: String) -> anyhow::Result<()> {
        let mut file = File::options().create(true).append(true).open(&self.to).await.context("open the file")?;
        file.write_all(line.as_bytes()).await.context("write the message")?;
        file.sync_data().await.context("keep the message")
    }
}

fn text(data: &EventData) -> Option<String> {
    Some(match data {
        EventData::PaymentCompleted(payment) => format!("We received {}.", payment.amount),
        EventData::PaymentFailed(payment) => format!("Your payment failed: {}.", payment.reason),
        EventData::PaymentRefunded(payment) => format!("We gave back {}.", payment.amount),
        EventData::DeliveryScheduled(_) => "Your parcel is on its way.".to_owned(),
        EventData::DeliveryCompleted(_) => "Your parcel has arrived.".to_owned(),
        EventData::DeliveryFailed(delivery) => format!("Your parcel could not be delivered: {}.", delivery.reason),
        EventData::OrderCreated(_) | EventData::OrderCompleted(_) | EventData::OrderCancelled(_) => return None,
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let config = ServiceConfig::resolve(&args.connection, &args.service, "127.0.0.1:8724")?;
    serve_handler(Arc::new(Notifications { to: args.to }), config).await
}
