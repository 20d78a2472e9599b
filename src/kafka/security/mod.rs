//! How connections to brokers are secured: what the properties ask for, and the keys, certificates and secrets behind it.
//!
//! Nothing here is read once and for all: every file is read again when a connection is opened, so that a renewed
//! certificate or password is used from the next connection on.
//!
//! Reading order: `rules` turns properties into a [`Security`]; `tls` makes the TLS side of a connection from it, `sasl` and
//! `scram` the messages that prove who we are, `token` fetches what OAUTHBEARER proves it with.

mod rules;
mod sasl;
mod scram;
mod tls;
mod token;
mod trust;

pub use rules::{SecurityRules, is_for_tokens};
pub(super) use sasl::{Credentials, Dialogue, SaslSource};
pub(super) use tls::{TlsSource, hostname};
pub(super) use trust::{TlsComplaint, complaint};

use crate::config::Property;
use std::{path::PathBuf, sync::Arc};

/// What the properties ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    pub tls: Option<TlsSettings>,
    pub sasl: Option<SaslSettings>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    pub roots: Roots,
    /// What a broker that asks for a client certificate is shown.
    pub identity: Option<Identity>,
    pub check: ServerCheck,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self { roots: Roots::System, identity: None, check: ServerCheck::Full }
    }
}

/// Whose signature makes a server's certificate trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Those of the operating system.
    System,
    /// A PEM file, or a folder of them.
    Location(PathBuf),
    Pem(Property),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub certificate: Property,
    pub key: Property,
    pub key_password: Option<Property>,
}

/// What is looked at in a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerCheck {
    /// Signatures up to a root, dates, and the name.
    Full,
    /// `ssl.endpoint.identification.algorithm=none`: everything but the name.
    AnyName,
    /// `enable.ssl.certificate.verification=false`: nothing but that it owns its key.
    Nothing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaslSettings {
    Password {
        mechanism: PasswordMechanism,
        username: Property,
        password: Property,
    },
    /// OAUTHBEARER with a token by client credentials.
    Token(TokenSettings),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordMechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl PasswordMechanism {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    pub endpoint: String,
    pub client_id: Property,
    pub client_secret: Property,
    pub scope: Option<String>,
    /// Sent to the broker with the token (KIP-342).
    pub extensions: Vec<(String, String)>,
    /// Whom to trust for an `https` endpoint.
    pub roots: Roots,
}

/// What cannot be used, by property, and why. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct Unusable {
    pub key: &'static str,
    pub problem: String,
}

impl Unusable {
    fn new(key: &'static str, problem: impl Into<String>) -> Self {
        Self { key, problem: problem.into() }
    }
}

/// The sources behind the settings, shared by all connections of one client.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub tls: Option<Arc<TlsSource>>,
    pub sasl: Option<Arc<SaslSource>>,
}

impl Security {
    pub fn sources(&self) -> Sources {
        Sources {
            tls: self.tls.clone().map(|settings| Arc::new(TlsSource::new(settings))),
            sasl: self.sasl.clone().map(|settings| Arc::new(SaslSource::new(settings))),
        }
    }

    /// Reads every file once, so that a mistake in one is found before anything is started.
    ///
    /// # Errors
    /// The first property that cannot be used.
    pub fn check(&self) -> Result<(), Unusable> {
        if let Some(tls) = &self.tls {
            tls::load(tls)?;
        }
        match &self.sasl {
            None => Ok(()),
            Some(SaslSettings::Password { username, password, .. }) => {
                sasl::read("sasl.username", username)?;
                sasl::read("sasl.password", password).map(drop)
            }
            Some(SaslSettings::Token(token)) => {
                sasl::read("sasl.oauthbearer.client.id", &token.client_id)?;
                sasl::read("sasl.oauthbearer.client.secret", &token.client_secret)?;
                token::client(token).map(drop)
            }
        }
    }
}
