//! Posts one message, tries again where trying again can help, and says how long a receiver is then left alone.

use super::Message;
use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// How long one attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often and how patiently a message is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    pub first_delay: Duration,
    pub longest_delay: Duration,
    pub retries: usize,
    /// Before what was given up is told again; doubled each time, up to five minutes.
    pub first_pause: Duration,
}

/// A receiver that cannot be reached is asked this often at least while it is owed something.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

impl Default for RetryPolicy {
    /// 1, 2, 4, 8 and 16 seconds, each spread: half a minute, in which a receiver may restart.
    fn default() -> Self {
        Self {
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(30),
            retries: 5,
            first_pause: Duration::from_secs(30),
        }
    }
}

/// Why a message was given up. The address is left out: it may hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("the http client cannot be built: {0}")]
    Client(reqwest::Error),
    #[error("no answer: {0}")]
    NoAnswer(reqwest::Error),
    #[error("the receiver answered {0}")]
    Refused(StatusCode),
}

impl SendError {
    /// Whether the receiver refuses what the message holds, so that another one may fare better.
    pub const fn is_of_content(&self) -> bool {
        match self {
            Self::Client(_) | Self::NoAnswer(_) => false,
            Self::Refused(status) => {
                matches!(*status, StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY)
            }
        }
    }

    /// Whether another attempt may end differently.
    fn is_transient(&self) -> bool {
        match self {
            Self::Client(_) => false,
            Self::NoAnswer(error) => !error.is_builder(),
            Self::Refused(status) => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

/// One receiver's address and the client that posts to it.
pub struct Sender {
    client: Client,
    url: SecretString,
    policy: RetryPolicy,
}

impl Sender {
    /// # Errors
    /// An HTTP client that cannot be built.
    pub fn new(url: SecretString, policy: RetryPolicy) -> Result<Self, SendError> {
        let client = Client::builder()
            .timeout(ATTEMPT_TIMEOUT)
            // The address may be a secret, which another host would be told; an answer from there is not the receiver's.
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .user_agent(concat!("tidemark/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| SendError::Client(error.without_url()))?;
        Ok(Self { client, url, policy })
    }

    /// Before each further round of a message that failed; without end.
    pub fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        let pauses = ExponentialBuilder::default().with_min_delay(self.policy.first_pause).with_max_delay(LONGEST_PAUSE);
        pauses.without_max_times().with_jitter().build()
    }

    /// Posts `message` until it is accepted, refused for good, or the retries are used up.
    ///
    /// # Errors
    /// The reason of the last attempt.
    pub async fn send(&self, message: &Message) -> Result<(), SendError> {
        let mut delays = ExponentialBuilder::default()
            .with_min_delay(self.policy.first_delay)
            .with_max_delay(self.policy.longest_delay)
            .with_max_times(self.policy.retries)
            .with_jitter()
            .build();
        loop {
            match self.attempt(message).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_transient() => match delays.next() {
                    Some(delay) => tokio::time::sleep(delay).await,
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
    }

    /// Posts `message` once.
    ///
    /// # Errors
    /// No answer, or one that does not accept it.
    pub async fn attempt(&self, message: &Message) -> Result<(), SendError> {
        let request = self.client.post(self.url.expose_secret()).json(message);
        let answer = request.send().await.map_err(|error| SendError::NoAnswer(error.without_url()))?;
        if answer.status().is_success() { Ok(()) } else { Err(SendError::Refused(answer.status())) }
    }
}
