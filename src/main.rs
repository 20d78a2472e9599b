//! The `tidemark` binary: reads the command line and runs one role.

use clap::Parser;
use std::process::ExitCode;
use tidemark::{cli::Cli, shutdown, telemetry};

mod allocator;

fn main() -> ExitCode {
    allocator::give_back_soon();
    let cli = Cli::parse();
    telemetry::init(&cli.log, cli.default_log());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tidemark: cannot start the async runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async { cli.run(shutdown::on_signal()).await });
    // Blocking tasks (the Kafka poll threads) were asked to stop; nothing is gained by waiting for a stuck one.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("tidemark: {failure}");
            failure.exit_code()
        }
    }
}
