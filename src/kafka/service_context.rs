//! What librdkafka calls back to: log lines, errors, and a token for OAUTHBEARER, which comes from our own source so that
//! services and monitor prove themselves alike.

use super::{
    client_config::forward_log,
    security::{Credentials, SaslSource},
};
use rdkafka::{
    ClientContext,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};
use secrecy::ExposeSecret;
use std::{
    error::Error,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, UNIX_EPOCH},
};
use tokio::runtime::Handle;

/// A little longer than the endpoint may take.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(15);

/// Gives tokens to threads that are not asynchronous.
#[derive(Clone)]
pub struct TokenGiver {
    source: Arc<SaslSource>,
    runtime: Option<Handle>,
}

impl TokenGiver {
    pub fn new(source: Arc<SaslSource>) -> Self {
        Self { source, runtime: Handle::try_current().ok() }
    }

    /// Blocks for 15 s at most.
    fn give(&self) -> Result<OAuthToken, String> {
        let runtime = self.runtime.as_ref().ok_or("no runtime to fetch a token on")?;
        let (sender, receiver) = mpsc::sync_channel(1);
        let source = Arc::clone(&self.source);
        runtime.spawn(async move {
            let _ = sender.send(source.credentials().await);
        });
        match receiver.recv_timeout(TOKEN_TIMEOUT) {
            Ok(Ok(Credentials::Token { token, .. })) => {
                let until = token.until.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
                Ok(OAuthToken {
                    token: token.value.expose_secret().to_owned(),
                    principal_name: token.principal,
                    lifetime_ms: i64::try_from(until).unwrap_or(i64::MAX),
                })
            }
            Ok(Ok(Credentials::Password { .. })) => Err("no token is asked for".to_owned()),
            Ok(Err(problem)) => Err(problem),
            Err(_) => Err(format!("no token within {TOKEN_TIMEOUT:?}")),
        }
    }
}

/// Remembers that a broker refuses us: what follows from it (no broker answers) says less.
#[derive(Default)]
pub struct Refusal(Mutex<Option<String>>);

impl Refusal {
    /// Notes a client's error with librdkafka's words for it.
    pub fn note(&self, error: &KafkaError, words: &str) {
        let mut refusal = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL) => *refusal = Some(words.to_owned()),
            // It cannot be reached at all: nobody refuses any more.
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => *refusal = None,
            _ => {}
        }
    }

    pub fn words(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Context of clients that need nothing but the log and a token.
pub struct LogContext {
    tokens: Option<TokenGiver>,
}

impl LogContext {
    pub const fn new(tokens: Option<TokenGiver>) -> Self {
        Self { tokens }
    }
}

impl ClientContext for LogContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        forward_log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client error");
    }

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        give(self.tokens.as_ref())
    }
}

impl ConsumerContext for LogContext {}

/// A token for a client that asks for one.
pub fn give(tokens: Option<&TokenGiver>) -> Result<OAuthToken, Box<dyn Error>> {
    let token = tokens.ok_or_else(|| "no token is configured".to_owned()).and_then(TokenGiver::give);
    token.map_err(|problem| {
        tracing::warn!(problem, "no token for Kafka");
        problem.into()
    })
}
