//! Tokens for OAUTHBEARER by client credentials (RFC 6749, section 4.4): fetched when needed, kept for most of their life.

use super::{Roots, TokenSettings, Unusable, sasl::read_now, tls::root_certificates};
use crate::config::redact_url;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{Certificate, Client, Response, redirect::Policy};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::{sync::Mutex, time::Instant};

/// How long the endpoint may take for one answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// Where an answer names no life and the token does not either.
const ASSUMED_LIFE: Duration = Duration::from_secs(300);
/// Of a token's life, after which another one is fetched.
const USED_SHARE: f64 = 0.8;

/// A token as a broker takes it. Its `Debug` does not show it.
#[derive(Clone, Debug)]
pub struct Token {
    pub value: SecretString,
    /// Whom it stands for, as far as it can be read; else the client's id.
    pub principal: String,
    pub until: SystemTime,
}

/// Fetches tokens, one at a time, and keeps the last one.
#[derive(Debug)]
pub struct TokenSource {
    settings: TokenSettings,
    kept: Mutex<Kept>,
}

/// What the last fetch gave.
#[derive(Debug, Default)]
struct Kept {
    /// The token, and when another one is fetched.
    token: Option<(Token, Instant)>,
    /// The problem of the last fetch, and until when it is told without another try.
    problem: Option<(String, Instant)>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    /// Seconds: a number, or one in quotes as some endpoints write it.
    expires_in: Option<serde_json::Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refused {
    error: Option<String>,
    error_description: Option<String>,
}

/// What a token that is a JWT says of itself.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Claims {
    sub: Option<String>,
    exp: Option<f64>,
}

impl TokenSource {
    pub fn new(settings: TokenSettings) -> Self {
        Self { settings, kept: Mutex::default() }
    }

    pub fn extensions(&self) -> &[(String, String)] {
        &self.settings.extensions
    }

    /// The kept token, or a new one when four fifths of its life have passed. A try that failed is not repeated for as long as
    /// it took: of many who wait for a silent endpoint, none waits for more than two tries.
    ///
    /// # Errors
    /// The endpoint gives none: its address, status and own words, and never the secret.
    pub async fn token(&self) -> Result<Token, String> {
        let mut kept = self.kept.lock().await;
        if let Some((token, _)) = kept.token.as_ref().filter(|(_, renew_at)| Instant::now() < *renew_at) {
            return Ok(token.clone());
        }
        let begun = Instant::now();
        let told = kept.problem.as_ref().filter(|(_, until)| begun < *until).map(|(problem, _)| problem.clone());
        let fetched = match told {
            Some(problem) => Err(problem),
            None => self.fetch().await.inspect_err(|problem| {
                kept.problem = Some((problem.clone(), Instant::now() + begun.elapsed()));
            }),
        };
        match (fetched, kept.token.as_ref()) {
            (Ok(token), _) => {
                let life = token.until.duration_since(SystemTime::now()).unwrap_or_default();
                *kept = Kept { token: Some((token.clone(), Instant::now() + life.mul_f64(USED_SHARE))), problem: None };
                Ok(token)
            }
            // Four fifths are not the end: the last fifth is for endpoints that are away for a moment.
            (Err(problem), Some((token, _))) if token.until > SystemTime::now() => {
                tracing::warn!(problem, "the token for Kafka could not be renewed yet");
                Ok(token.clone())
            }
            (Err(problem), _) => Err(problem),
        }
    }

    /// The kept token is of no use any more.
    pub async fn forget(&self) {
        self.kept.lock().await.token = None;
    }

    async fn fetch(&self) -> Result<Token, String> {
        let endpoint = redact_url(&self.settings.endpoint);
        let about = |problem: String| format!("no token from {endpoint}: {problem}");
        let id = read_now("sasl.oauthbearer.client.id", &self.settings.client_id).await.map_err(about)?;
        let secret = read_now("sasl.oauthbearer.client.secret", &self.settings.client_secret).await.map_err(about)?;
        let settings = self.settings.clone();
        let client =
            tokio::task::spawn_blocking(move || client(&settings)).await.map_err(|error| about(error.to_string()))?;
        let request = client
            .map_err(|problem| about(problem.to_string()))?
            .post(&self.settings.endpoint)
            .basic_auth(id.expose_secret(), Some(secret.expose_secret()))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(form(self.settings.scope.as_deref()));
        let answer = request.send().await.map_err(|error| about(root_cause(&error.without_url())))?;
        let status = answer.status();
        let body = body(answer).await.map_err(about)?;
        if !status.is_success() {
            let refused: Refused = serde_json::from_slice(&body).unwrap_or_default();
            let words: Vec<String> =
                [refused.error, refused.error_description].into_iter().flatten().map(|text| plain(&text)).collect();
            let words = if words.is_empty() { String::new() } else { format!(" ({})", words.join(": ")) };
            return Err(about(format!("it answers {status}{words}")));
        }
        let granted: Granted = serde_json::from_slice(&body)
            .map_err(|_| about(format!("it answers {status} without an access_token in JSON")))?;
        Ok(token(granted, id.expose_secret()))
    }
}

fn form(scope: Option<&str>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if let Some(scope) = scope {
        form.append_pair("scope", scope);
    }
    form.finish()
}

/// A client for the endpoint. It follows no redirect: the secret is for this address alone.
pub(super) fn client(settings: &TokenSettings) -> Result<Client, Unusable> {
    let mut builder = Client::builder().timeout(FETCH_TIMEOUT).redirect(Policy::none()).user_agent("tidemark");
    if let Some(roots) = root_certificates("https.ca.location", &settings.roots)? {
        let roots: Result<Vec<_>, _> = roots.iter().map(|root| Certificate::from_der(root)).collect();
        builder = builder.tls_certs_only(roots.map_err(|error| Unusable::new("https.ca.location", error.to_string()))?);
    }
    builder.build().map_err(|error| {
        let key = if settings.roots == Roots::System { "sasl.oauthbearer.token.endpoint.url" } else { "https.ca.location" };
        Unusable::new(key, error.to_string())
    })
}

async fn body(mut answer: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|error| root_cause(&error.without_url()))? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Err(format!("its answer is larger than {ANSWER_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

fn token(granted: Granted, client_id: &str) -> Token {
    let payload = granted.access_token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Claims = payload.and_then(|payload| serde_json::from_slice(&payload).ok()).unwrap_or_default();
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
    let now = SystemTime::now();
    let until = granted
        .expires_in
        .and_then(|life| life.as_f64().or_else(|| life.as_str()?.trim().parse().ok()))
        .and_then(seconds)
        .and_then(|life| now.checked_add(life))
        .or_else(|| claims.exp.and_then(seconds).and_then(|at| UNIX_EPOCH.checked_add(at)))
        .unwrap_or(now + ASSUMED_LIFE);
    let principal = claims.sub.filter(|sub| !sub.is_empty() && !sub.contains('\0'));
    Token {
        value: SecretString::from(granted.access_token),
        principal: principal.map_or_else(|| client_id.to_owned(), |sub| plain(&sub)),
        until,
    }
}

/// Foreign words, short and on one line.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// The innermost of an error's causes: `connection refused` in place of `error sending request`.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    plain(&cause.to_string())
}

#[cfg(test)]
mod tests;
