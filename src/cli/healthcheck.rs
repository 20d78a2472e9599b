//! `tidemark healthcheck`: a container's health check without a shell or curl.

use std::{process::ExitCode, time::Duration};

/// Succeeds on any 2xx answer; otherwise says why not.
pub async fn run(url: &str, timeout: Duration) -> ExitCode {
    match ask(url, timeout).await {
        Ok(status) if status.is_success() => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("{url} answered {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{url}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn ask(url: &str, timeout: Duration) -> anyhow::Result<reqwest::StatusCode> {
    let client = reqwest::Client::builder().timeout(timeout).no_proxy().build()?;
    Ok(client.get(url).send().await?.status())
}
