//! From properties to [`Security`], with the rules between them: what is needed, what excludes what.

use super::{Identity, PasswordMechanism, Roots, SaslSettings, Security, ServerCheck, TlsSettings, TokenSettings, Unusable};
use crate::{
    config::{Properties, Property},
    kafka::properties::PropertyError,
};
use secrecy::ExposeSecret;

/// Reads the properties about security. Others are left to whoever knows them.
pub struct SecurityRules<'a> {
    properties: &'a Properties,
}

type Outcome<T> = Result<T, PropertyError>;

const PASSWORD: [&str; 2] = ["sasl.username", "sasl.password"];
const TLS: [&str; 9] = [
    "enable.ssl.certificate.verification",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
];
const TOKEN: [&str; 8] = [
    "https.ca.location",
    "https.ca.pem",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
];

/// What librdkafka is not told: tokens are fetched by us and handed to it.
pub fn is_for_tokens(key: &str) -> bool {
    TOKEN.contains(&key)
}

impl<'a> SecurityRules<'a> {
    /// Every property that is looked at here.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        let sasl = ["sasl.mechanism", "sasl.mechanisms", "security.protocol"];
        TLS.into_iter().chain(TOKEN).chain(PASSWORD).chain(sasl)
    }

    pub const fn of(properties: &'a Properties) -> Self {
        Self { properties }
    }

    /// What is asked for.
    ///
    /// # Errors
    /// The first property that is wrong, missing, or against another one.
    pub fn read(&self) -> Outcome<Security> {
        let protocol = self.text("security.protocol")?.unwrap_or_else(|| "plaintext".to_owned()).to_ascii_lowercase();
        let (uses_tls, uses_sasl) = match protocol.as_str() {
            "plaintext" => (false, false),
            "ssl" => (true, false),
            "sasl_plaintext" => (false, true),
            "sasl_ssl" => (true, true),
            _ => return Err(self.wrong("security.protocol", "must be plaintext, ssl, sasl_plaintext or sasl_ssl")),
        };
        if !uses_tls {
            self.none_of(&TLS, &format!("needs TLS: set security.protocol=ssl or sasl_ssl (it is {protocol})"))?;
        }
        if !uses_sasl {
            let rule = format!("needs SASL: set security.protocol=sasl_plaintext or sasl_ssl (it is {protocol})");
            let mechanism = ["sasl.mechanism", "sasl.mechanisms"];
            self.none_of(&[&mechanism[..], &PASSWORD, &TOKEN].concat(), &rule)?;
        }
        let security = Security {
            tls: if uses_tls { Some(self.tls()?) } else { None },
            sasl: if uses_sasl { Some(self.sasl(&protocol)?) } else { None },
        };
        security.check().map_err(|Unusable { key, problem }| self.wrong(key, problem))?;
        Ok(security)
    }

    fn tls(&self) -> Outcome<TlsSettings> {
        let verify = match self.text("enable.ssl.certificate.verification")?.as_deref() {
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => return Err(self.wrong("enable.ssl.certificate.verification", "must be true or false")),
        };
        let by_name = match self.text("ssl.endpoint.identification.algorithm")?.as_deref() {
            None | Some("https") => true,
            Some("none") => false,
            Some(_) => return Err(self.wrong("ssl.endpoint.identification.algorithm", "must be https or none")),
        };
        let check = match (verify, by_name) {
            (true, true) => ServerCheck::Full,
            (true, false) => ServerCheck::AnyName,
            (false, _) => ServerCheck::Nothing,
        };
        Ok(TlsSettings { roots: self.roots("ssl.ca.location", "ssl.ca.pem")?, identity: self.identity()?, check })
    }

    fn identity(&self) -> Outcome<Option<Identity>> {
        let certificate = self.location_or_pem("ssl.certificate.location", "ssl.certificate.pem")?;
        let key = self.location_or_pem("ssl.key.location", "ssl.key.pem")?;
        let key_password = self.properties.get("ssl.key.password").cloned();
        match (certificate, key) {
            (Some(certificate), Some(key)) => Ok(Some(Identity { certificate, key, key_password })),
            (Some(_), None) => {
                Err(self.wrong("ssl.key.location", "is needed beside ssl.certificate.location (or ssl.key.pem)"))
            }
            (None, Some(_)) => {
                Err(self.wrong("ssl.certificate.location", "is needed beside ssl.key.location (or ssl.certificate.pem)"))
            }
            (None, None) => {
                self.none_of(&["ssl.key.password"], "is for ssl.key.location or ssl.key.pem, which are not set")?;
                Ok(None)
            }
        }
    }

    fn sasl(&self, protocol: &str) -> Outcome<SaslSettings> {
        let names = [self.text("sasl.mechanism")?, self.text("sasl.mechanisms")?];
        let name = match names {
            [Some(one), Some(other)] if one != other => {
                return Err(self.wrong("sasl.mechanism", format!("is another one than sasl.mechanisms={other}")));
            }
            [Some(name), _] | [None, Some(name)] => name,
            [None, None] => {
                let rule = format!(
                    "is needed with security.protocol={protocol}: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
                );
                return Err(self.wrong("sasl.mechanism", rule));
            }
        };
        let mechanism = match name.as_str() {
            "PLAIN" => PasswordMechanism::Plain,
            "SCRAM-SHA-256" => PasswordMechanism::ScramSha256,
            "SCRAM-SHA-512" => PasswordMechanism::ScramSha512,
            "OAUTHBEARER" => {
                self.none_of(
                    &PASSWORD,
                    "is not for OAUTHBEARER, which takes sasl.oauthbearer.client.id and .client.secret",
                )?;
                return self.token().map(SaslSettings::Token);
            }
            _ => {
                let key = if self.properties.contains_key("sasl.mechanism") { "sasl.mechanism" } else { "sasl.mechanisms" };
                return Err(self.wrong(key, "must be PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"));
            }
        };
        self.none_of(&TOKEN, &format!("is for sasl.mechanism=OAUTHBEARER (it is {name})"))?;
        let needed = format!("is needed with sasl.mechanism={name}");
        Ok(SaslSettings::Password {
            mechanism,
            username: self.needed("sasl.username", &needed)?,
            password: self.needed("sasl.password", &needed)?,
        })
    }

    fn token(&self) -> Outcome<TokenSettings> {
        if self.text("sasl.oauthbearer.method")?.as_deref() != Some("oidc") {
            return Err(self.wrong("sasl.oauthbearer.method", "must be oidc with sasl.mechanism=OAUTHBEARER"));
        }
        let (endpoint, needed) = ("sasl.oauthbearer.token.endpoint.url", "is needed with sasl.oauthbearer.method=oidc");
        let url = self.needed(endpoint, needed)?.read().map_err(|error| self.wrong(endpoint, error.to_string()))?;
        let url = url.expose_secret();
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(self.wrong(endpoint, "must be an http:// or https:// address"));
        }
        Ok(TokenSettings {
            endpoint: url.to_owned(),
            client_id: self.needed("sasl.oauthbearer.client.id", needed)?,
            client_secret: self.needed("sasl.oauthbearer.client.secret", needed)?,
            scope: self.text("sasl.oauthbearer.scope")?,
            extensions: self.extensions()?,
            roots: self.roots("https.ca.location", "https.ca.pem")?,
        })
    }

    /// `name=value,name=value`, with names as KIP-342 has them.
    fn extensions(&self) -> Outcome<Vec<(String, String)>> {
        let key = "sasl.oauthbearer.extensions";
        let Some(text) = self.text(key)? else { return Ok(Vec::new()) };
        let mut extensions = Vec::new();
        for pair in text.split(',') {
            let pair = pair.trim().split_once('=').filter(|(name, value)| {
                let named = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic()) && *name != "auth";
                named && !value.is_empty() && value.chars().all(|c| c.is_ascii_graphic() || c == ' ')
            });
            let Some((name, value)) = pair else {
                return Err(
                    self.wrong(key, "must be NAME=VALUE,NAME=VALUE with letters alone in the names, which are not auth")
                );
            };
            extensions.push((name.to_owned(), value.to_owned()));
        }
        Ok(extensions)
    }

    fn roots(&self, location: &'static str, pem: &'static str) -> Outcome<Roots> {
        self.not_both(location, pem)?;
        if let Some(pem) = self.properties.get(pem) {
            return Ok(Roots::Pem(pem.clone()));
        }
        Ok(match self.text(location)?.as_deref() {
            None | Some("probe") => Roots::System,
            Some(path) => Roots::Location(path.into()),
        })
    }

    fn location_or_pem(&self, location: &'static str, pem: &'static str) -> Outcome<Option<Property>> {
        self.not_both(location, pem)?;
        Ok(match self.text(location)? {
            Some(path) => Some(Property::File(path.into())),
            None => self.properties.get(pem).cloned(),
        })
    }

    fn not_both(&self, one: &'static str, other: &'static str) -> Outcome<()> {
        if self.properties.contains_key(one) && self.properties.contains_key(other) {
            return Err(self.wrong(one, format!("is set beside {other}: leave one of them out")));
        }
        Ok(())
    }

    fn needed(&self, key: &'static str, rule: &str) -> Outcome<Property> {
        match self.properties.get(key) {
            Some(property) => Ok(property.clone()),
            None => Err(self.wrong(key, rule)),
        }
    }

    fn none_of(&self, keys: &[&'static str], rule: &str) -> Outcome<()> {
        match keys.iter().find(|key| self.properties.contains_key(**key)) {
            Some(key) => Err(self.wrong(key, rule)),
            None => Ok(()),
        }
    }

    /// A property that decides how things are done: read now and not again.
    fn text(&self, key: &'static str) -> Outcome<Option<String>> {
        let Some(property) = self.properties.get(key) else { return Ok(None) };
        match property.read() {
            Ok(value) => Ok(Some(value.expose_secret().to_owned())),
            Err(error) => Err(self.wrong(key, error.to_string())),
        }
    }

    fn wrong(&self, key: &'static str, rule: impl Into<String>) -> PropertyError {
        let value = self.properties.get(key).map(|property| property.shown(key)).unwrap_or_default();
        PropertyError { key: key.to_owned(), value, rule: rule.into() }
    }
}

#[cfg(test)]
mod tests;
