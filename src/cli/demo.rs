//! `tidemark demo`.

use super::Failure;
use crate::{
    config::args::{ConnectionArgs, WebArgs},
    demo::{self, DemoSettings},
};
use clap::Args;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

#[derive(Args, Clone, Debug)]
pub struct DemoCommand {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    web: WebArgs,
    /// Stop taking orders after this time, let every order end, and print the summary; start and end come on top
    #[arg(long = "for", env = "TIDEMARK_FOR", value_name = "DURATION")]
    run_for: Option<String>,
}

pub async fn run(command: DemoCommand, stop: CancellationToken) -> Result<ExitCode, Failure> {
    let settings = DemoSettings::resolve(command.connection, command.web, command.run_for.as_deref())?;
    Ok(demo::run(settings, stop).await?)
}
