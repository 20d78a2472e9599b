//! `tidemark dlt show`: one letter, with what the ledger knows of its event.

use super::{cluster, printable, store, topics};
use crate::cli::out;
use crate::{
    cli::Failure,
    config::{ConfigError, args::ConnectionArgs},
    dead_letters::{Letter, Outlook, Selection, outlooks},
    kafka::Span,
};
use anyhow::{Context, anyhow};
use chrono::SecondsFormat;
use clap::Args;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// Characters of one value that are shown.
const MOST_SHOWN: usize = 16_384;

#[derive(Args, Clone, Debug)]
pub struct ShowArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Where the letter is, as `dlt list --letters` prints it
    #[arg(value_name = "TOPIC/PARTITION@OFFSET")]
    address: String,
}

pub async fn run(args: ShowArgs, stop: CancellationToken) -> Result<ExitCode, Failure> {
    let (topic, partition, offset) = parse(&args.address)?;
    let (cluster, connection) = cluster(&args.connection)?;
    let (store, namespace) = store(&args.connection, &cluster)?;
    topics::find(&cluster, &[topic.to_owned()]).await?;
    let mut found = None;
    let take = |letter: Letter| {
        found = Some(letter);
        false
    };
    let span = Span { partition, from: offset, to: offset.saturating_add(1) };
    topics::read(&connection, (topic, vec![span]), &Selection::default(), take, &stop).await?;
    let letter = found.filter(|letter| letter.record.offset == offset);
    let letter = letter.ok_or_else(|| anyhow!("there is no record at {}", args.address))?;
    let outlook = outlooks(store.as_ref(), &namespace, std::slice::from_ref(&letter)).await.context("ask the ledger")?;
    let text = written(&letter, outlook.first().copied().unwrap_or(Outlook::Unknown));
    out::print(format_args!("{text}"));
    Ok(ExitCode::SUCCESS)
}

fn parse(address: &str) -> Result<(&str, i32, u64), ConfigError> {
    let parsed = address.rsplit_once('@').and_then(|(place, offset)| {
        let (topic, partition) = place.rsplit_once('/')?;
        Some((topic, partition.parse().ok().filter(|partition| *partition >= 0)?, offset.parse().ok()?))
    });
    parsed.filter(|(topic, ..)| !topic.is_empty()).ok_or_else(|| {
        ConfigError::invalid(
            "address",
            address,
            "must be TOPIC/PARTITION@OFFSET, as `tidemark dlt list --letters` prints it",
        )
    })
}

fn written(letter: &Letter, outlook: Outlook) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!("{name:<12} {value}\n"));
        }
    };
    let shown = |value: &Option<String>| value.as_deref().map(|value| printable(value, MOST_SHOWN));
    let place = letter.topic.as_deref().map(|topic| {
        let number = |number: Option<String>| number.unwrap_or_else(|| "?".to_owned());
        let (partition, offset) = (letter.partition.map(|at| at.to_string()), letter.offset.map(|at| at.to_string()));
        format!("{}/{}@{}", printable(topic, 249), number(partition), number(offset))
    });
    let identity = letter.identity();
    line("address", Some(letter.address()));
    line("written", letter.record.timestamp.map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true)));
    line("dialect", Some(letter.dialect.label().to_owned()));
    line("came from", place);
    line("group", shown(&letter.group));
    line("reason", shown(&letter.reason));
    line("message", shown(&letter.message));
    line("attempts", letter.attempts.map(|attempts| attempts.to_string()));
    line("event", (!identity.weak).then(|| printable(&format!("{} of {}", identity.id, identity.source), 600)));
    line("sent again", Some(words(letter, outlook)));
    line("key", letter.record.key.as_deref().map(bytes));
    for (name, value) in &letter.record.headers {
        let value = value.as_deref().map_or_else(|| "(null)".to_owned(), bytes);
        line("header", Some(format!("{}: {value}", printable(name, 249))));
    }
    line("value", Some(letter.record.value.as_deref().map_or_else(|| "(none)".to_owned(), bytes)));
    text
}

fn words(letter: &Letter, outlook: Outlook) -> String {
    match outlook {
        Outlook::Executed => "its group would work on it".to_owned(),
        Outlook::Suppressed => "it would be suppressed: its event has been completed".to_owned(),
        Outlook::UnderWay => "somebody works on its event, or will soon".to_owned(),
        Outlook::SetAside => "it would be set aside once more".to_owned(),
        Outlook::Impossible => format!("is not possible: {}", letter.obstacle().unwrap_or("it cannot be sent")),
        Outlook::Unknown => "not known: its group's ledger was not asked (give --redis)".to_owned(),
    }
}

/// Text as it is, other bytes as hexadecimal digits.
fn bytes(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r')) => printable(text, MOST_SHOWN),
        _ => {
            let most = value.iter().take(MOST_SHOWN / 2);
            let digits: String = most.map(|byte| format!("{byte:02x}")).collect();
            format!("0x{digits}{}", if value.len() > MOST_SHOWN / 2 { "…" } else { "" })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_topic_a_partition_and_an_offset() {
        assert_eq!(parse("orders.g.dlt/3@17").unwrap(), ("orders.g.dlt", 3, 17));
        for wrong in ["", "orders", "orders/3", "orders@17", "/3@17", "orders/-1@17", "orders/x@1", "orders/1@-4"] {
            assert_eq!(parse(wrong).unwrap_err().value, wrong);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_digits() {
        assert_eq!((bytes(b"abc"), bytes(&[0, 255])), ("abc".to_owned(), "0x00ff".to_owned()));
    }
}
