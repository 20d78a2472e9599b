//! `tidemark saga settle`: a human's word about an order that no rule can settle, written into the ledger.

use super::{Failure, dlt::printable, ledger::open_store, out::say};
use crate::{
    config::{ConfigError, FileConfig, args::ConnectionArgs},
    consumer::{Word, settle_order},
    services::Outcome,
    store::{NAME_BYTES_MAX, Owner, Store},
};
use anyhow::anyhow;
use chrono::Utc;
use clap::{Args, Subcommand, ValueEnum};
use std::process::ExitCode;

/// Longest reason, in bytes.
const REASON_MAX: usize = 1_000;

const EXAMPLES: &str = "\
Examples:
  tidemark event ORDER-ID --redis redis://localhost:6379
      what the order waits for, or which facts exclude each other
  tidemark saga settle ORDER-ID --as refunded --reason 'paid back by bank transfer 4711' --redis redis://localhost:6379
      the money was given back by hand; the order counts as cancelled and its alert ends";

#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct SagaCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Settle an order that needs a human, and write down who says so and why
    ///
    /// Moves neither money nor goods: do that first. Refused unless the order needs a human. What contradicts the settlement later
    /// calls a human again.
    Settle(SettleArgs),
}

#[derive(Args, Clone, Debug)]
struct SettleArgs {
    /// Id of the order
    #[arg(value_name = "ORDER")]
    order: String,
    /// What became of it
    #[arg(long = "as", value_enum, value_name = "OUTCOME")]
    outcome: OutcomeArg,
    /// Why, for whoever reads the books later
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who says so [default: $USER]
    #[arg(long, env = "TIDEMARK_BY", value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OutcomeArg {
    /// The money was given back
    Refunded,
    /// The goods are with the customer, and the payment stands
    Delivered,
    /// It is off, and nobody owes anything
    Cancelled,
}

impl OutcomeArg {
    const fn outcome(self) -> Outcome {
        match self {
            Self::Refunded => Outcome::Refunded,
            Self::Delivered => Outcome::Delivered,
            Self::Cancelled => Outcome::Cancelled,
        }
    }
}

pub async fn run(command: SagaCommand) -> Result<ExitCode, Failure> {
    match command.action {
        Action::Settle(args) => settle(args).await,
    }
}

fn operator(by: Option<String>) -> Result<Owner, ConfigError> {
    let name = by.or_else(|| std::env::var("USER").ok()).unwrap_or_default();
    let rule = format!("must name who settles the order, in 1 to {NAME_BYTES_MAX} bytes");
    Owner::new(&name).map_err(|_| ConfigError::invalid("by", &name, &rule))
}

async fn settle(args: SettleArgs) -> Result<ExitCode, Failure> {
    let by = operator(args.by)?;
    let reason = args.reason.trim();
    if reason.is_empty() || reason.len() > REASON_MAX {
        let rule = format!("must say why, in 1 to {REASON_MAX} bytes");
        return Err(ConfigError::invalid("reason", reason, &rule).into());
    }
    let file = FileConfig::of(&args.connection)?;
    let (store, namespace) = open_store(&args.connection, &file)?;
    let word = Word { outcome: args.outcome.outcome(), by, reason: reason.to_owned() };
    let settled = settle_order(&store, &namespace, &args.order, &word, Utc::now()).await;
    let order = settled.map_err(|error| anyhow!("{error} (ledger at {})", store.address()))?;
    say!(
        "order {}: settled as {} by {}; its status is {}, its saga {}",
        order.order_id,
        word.outcome.name(),
        printable(word.by.as_str(), NAME_BYTES_MAX),
        order.status.name(),
        order.saga(false).label()
    );
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settlement_needs_somebody_who_says_so() {
        assert_eq!(operator(Some("alice".to_owned())).unwrap().as_str(), "alice");
        assert_eq!(operator(Some(String::new())).unwrap_err().key, "by");
        assert!(operator(Some("x".repeat(NAME_BYTES_MAX + 1))).is_err());
    }
}
