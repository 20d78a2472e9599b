//! The messages of SASL: who we say that we are and how we prove it, one mechanism each.

use super::{
    PasswordMechanism, SaslSettings, Unusable,
    scram::{Hash, Proven, Scram},
    token::{Token, TokenSource},
};
use crate::config::Property;
use secrecy::{ExposeSecret, SecretString};

/// Gives credentials as they are now.
#[derive(Debug)]
pub enum SaslSource {
    Password { mechanism: PasswordMechanism, username: Property, password: Property },
    Token(Box<TokenSource>),
}

/// What one authentication is made with.
#[derive(Clone, Debug)]
pub enum Credentials {
    Password { mechanism: PasswordMechanism, username: String, password: SecretString },
    Token { token: Token, extensions: Vec<(String, String)> },
}

impl SaslSource {
    pub fn new(settings: SaslSettings) -> Self {
        match settings {
            SaslSettings::Password { mechanism, username, password } => Self::Password { mechanism, username, password },
            SaslSettings::Token(settings) => Self::Token(Box::new(TokenSource::new(settings))),
        }
    }

    /// Reads the files again, and fetches a token where the last one is about to end.
    ///
    /// # Errors
    /// In words, without a secret.
    pub async fn credentials(&self) -> Result<Credentials, String> {
        match self {
            Self::Password { mechanism, username, password } => Ok(Credentials::Password {
                mechanism: *mechanism,
                username: read_now("sasl.username", username).await?.expose_secret().to_owned(),
                password: read_now("sasl.password", password).await?,
            }),
            Self::Token(source) => {
                Ok(Credentials::Token { token: source.token().await?, extensions: source.extensions().to_vec() })
            }
        }
    }

    /// The broker has refused: a kept token is not used again.
    pub async fn refused(&self) {
        match self {
            Self::Password { .. } => {}
            Self::Token(source) => source.forget().await,
        }
    }
}

pub(super) fn read(key: &'static str, property: &Property) -> Result<SecretString, Unusable> {
    match property.read() {
        Ok(value) if value.expose_secret().is_empty() => Err(Unusable::new(key, "must not be empty")),
        Ok(value) => Ok(value),
        Err(error) => Err(Unusable::new(key, format!("cannot be read: {error}"))),
    }
}

/// As [`read`], off the async threads.
pub(super) async fn read_now(key: &'static str, property: &Property) -> Result<SecretString, String> {
    let property = property.clone();
    match tokio::task::spawn_blocking(move || read(key, &property)).await {
        Ok(value) => value.map_err(|problem| problem.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

impl Credentials {
    pub const fn mechanism(&self) -> &'static str {
        match self {
            Self::Password { mechanism, .. } => mechanism.name(),
            Self::Token { .. } => "OAUTHBEARER",
        }
    }

    /// Who is refused, for people: `PLAIN for user monitor`.
    pub fn described(&self) -> String {
        match self {
            Self::Password { mechanism, username, .. } => format!("{} for user {username}", mechanism.name()),
            Self::Token { token, .. } => format!("OAUTHBEARER for {}", token.principal),
        }
    }
}

/// The conversation of one authentication.
pub enum Dialogue<'a> {
    Begin(&'a Credentials),
    ScramSent {
        scram: Scram,
        password: &'a SecretString,
    },
    ScramProven(Box<Proven>),
    TokenSent,
    /// The broker has refused the token, and waits for our word that we have read why.
    TokenRefused(String),
    Ended,
}

impl<'a> Dialogue<'a> {
    pub const fn new(credentials: &'a Credentials) -> Self {
        Self::Begin(credentials)
    }

    /// Takes what the broker said (nothing at first) and gives what to say next; `None` at the end.
    ///
    /// # Errors
    /// The broker says what it must not. In words.
    pub fn next(&mut self, said: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let (next, answer) = match std::mem::replace(self, Self::Ended) {
            Self::Begin(Credentials::Password { mechanism, username, password }) => match mechanism {
                PasswordMechanism::Plain => {
                    (Self::Ended, Some(format!("\0{username}\0{}", password.expose_secret()).into_bytes()))
                }
                PasswordMechanism::ScramSha256 => begin_scram(Hash::Sha256, username, password)?,
                PasswordMechanism::ScramSha512 => begin_scram(Hash::Sha512, username, password)?,
            },
            Self::Begin(Credentials::Token { token, extensions }) => (Self::TokenSent, Some(bearer(token, extensions))),
            Self::ScramSent { scram, password } => {
                let challenge = std::str::from_utf8(said).map_err(|_| "the challenge is not text".to_owned())?;
                let (proof, proven) = scram.prove(challenge, password.expose_secret().as_bytes())?;
                (Self::ScramProven(Box::new(proven)), Some(proof.into_bytes()))
            }
            Self::ScramProven(proven) => {
                proven.check(&String::from_utf8_lossy(said))?;
                (Self::Ended, None)
            }
            Self::TokenSent if said.is_empty() => (Self::Ended, None),
            Self::TokenSent => {
                let why = String::from_utf8_lossy(said).chars().take(300).collect();
                (Self::TokenRefused(why), Some(vec![1]))
            }
            Self::TokenRefused(why) => return Err(why),
            Self::Ended => (Self::Ended, None),
        };
        *self = next;
        Ok(answer)
    }
}

fn begin_scram<'a>(
    hash: Hash,
    username: &str,
    password: &'a SecretString,
) -> Result<(Dialogue<'a>, Option<Vec<u8>>), String> {
    let scram = Scram::start(hash, username)?;
    let first = scram.first_message().into_bytes();
    Ok((Dialogue::ScramSent { scram, password }, Some(first)))
}

/// The message of RFC 7628 with Kafka's extensions.
fn bearer(token: &Token, extensions: &[(String, String)]) -> Vec<u8> {
    let mut message = format!("n,,\u{1}auth=Bearer {}\u{1}", token.value.expose_secret());
    for (name, value) in extensions {
        message.push_str(&format!("{name}={value}\u{1}"));
    }
    message.push('\u{1}');
    message.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn password(mechanism: PasswordMechanism) -> Credentials {
        Credentials::Password { mechanism, username: "me".to_owned(), password: SecretString::from("pw") }
    }

    #[test]
    fn plain_is_one_message() {
        let credentials = password(PasswordMechanism::Plain);
        let mut dialogue = Dialogue::new(&credentials);
        assert_eq!(dialogue.next(&[]).unwrap().unwrap(), b"\0me\0pw");
        assert_eq!(dialogue.next(&[]).unwrap(), None);
    }

    #[test]
    fn a_scram_server_that_does_not_know_the_password_is_found_out() {
        let credentials = password(PasswordMechanism::ScramSha512);
        let mut dialogue = Dialogue::new(&credentials);
        let first = String::from_utf8(dialogue.next(&[]).unwrap().unwrap()).unwrap();
        let nonce = first.split_once("r=").unwrap().1;
        let challenge = format!("r={nonce}more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let proof = dialogue.next(challenge.as_bytes()).unwrap().unwrap();
        assert!(proof.starts_with(format!("c=biws,r={nonce}more,p=").as_bytes()));
        assert!(dialogue.next(b"v=bm90IHRoZSByaWdodCBvbmU=").unwrap_err().contains("another broker"));
    }

    #[test]
    fn a_token_goes_with_its_extensions_and_a_refusal_is_acknowledged_before_it_is_told() {
        let until = SystemTime::now() + Duration::from_secs(60);
        let token = Token { value: SecretString::from("jwt"), principal: "me".to_owned(), until };
        let credentials = Credentials::Token { token, extensions: vec![("logicalCluster".to_owned(), "lkc-1".to_owned())] };
        let mut dialogue = Dialogue::new(&credentials);
        let message = dialogue.next(&[]).unwrap().unwrap();
        assert_eq!(message, b"n,,\x01auth=Bearer jwt\x01logicalCluster=lkc-1\x01\x01");
        assert_eq!(dialogue.next(br#"{"status":"invalid_token"}"#).unwrap().unwrap(), [1]);
        assert!(dialogue.next(&[]).unwrap_err().contains("invalid_token"));
        assert!(!format!("{credentials:?}").contains("jwt"));
    }
}
