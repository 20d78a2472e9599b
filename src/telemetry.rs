//! Logs: one line per event on standard error, as text or JSON. Untrusted text is only ever a field.

use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

#[derive(Args, Clone, Debug)]
pub struct LogArgs {
    /// What is logged: a level (error, warn, info, debug, trace) or a filter such as tidemark=debug,info [default: info; the demo: warn]
    #[arg(long, env = "TIDEMARK_LOG", value_name = "FILTER", global = true, help_heading = "Logging")]
    pub log: Option<String>,
    /// How it is logged
    #[arg(long, env = "TIDEMARK_LOG_FORMAT", value_enum, default_value = "text", global = true, help_heading = "Logging")]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Starts logging; `default` is the filter when none is given. One that cannot be read falls back to `info` and says so.
pub fn init(args: &LogArgs, default: &str) {
    let wanted = args.log.as_deref().unwrap_or(default);
    let parsed = EnvFilter::builder().parse(wanted);
    let broken = parsed.is_err();
    let filter = parsed.unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // A reader of the log that went away is no reason to stop working.
        .log_internal_errors(false);
    let started = match args.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if broken && started.is_ok() {
        tracing::warn!(filter = wanted, "--log is not a filter; logging at level info");
    }
}
