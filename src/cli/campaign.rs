//! `tidemark campaign`.

use super::Failure;
use crate::campaign::{CampaignArgs, CampaignSettings, NoResult, campaign};
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

pub async fn run(args: &CampaignArgs, stop: CancellationToken) -> Result<ExitCode, Failure> {
    let settings = CampaignSettings::resolve(args)?;
    campaign(settings, stop).await.map_err(|none| match none {
        NoResult::Config(error) => Failure::Config(error),
        NoResult::Run(error) => Failure::Run(error),
    })
}
