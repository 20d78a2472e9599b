//! The TLS side of a connection: certificates and keys from their files, read again for every connection.

use super::{Identity, Roots, ServerCheck, TlsSettings, Unusable, trust};
use crate::config::Property;
use aws_lc_rs::digest;
use pkcs8::{EncryptedPrivateKeyInfoRef, der::SecretDocument};
use secrecy::{ExposeSecret, SecretString};
use std::{
    fs,
    sync::{Arc, Mutex, PoisonError},
};
use tokio_rustls::rustls::{
    ClientConfig, Error as TlsError, RootCertStore,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem, pem::PemObject},
};

const CA: &str = "ssl.ca.location";

/// Gives the TLS configuration as the files are now.
#[derive(Debug)]
pub struct TlsSource {
    settings: TlsSettings,
    /// The last one, with the digest of what it was made from.
    last: Mutex<Option<(Vec<u8>, Arc<ClientConfig>)>>,
}

impl TlsSource {
    pub const fn new(settings: TlsSettings) -> Self {
        Self { settings, last: Mutex::new(None) }
    }

    /// Reads the files; what is made of them is kept for as long as they stay the same. While they cannot be used (one of
    /// two is replaced already, say) the last good ones are.
    ///
    /// # Errors
    /// They never could be used.
    pub async fn config(self: &Arc<Self>) -> Result<Arc<ClientConfig>, Unusable> {
        let this = Arc::clone(self);
        let made = tokio::task::spawn_blocking(move || this.renewed());
        made.await.unwrap_or_else(|error| Err(Unusable::new(CA, error.to_string())))
    }

    /// The system's roots are read again for the next connection, as files always are. What was good so far stays in use
    /// where what is read then is not.
    pub fn forget(&self) {
        if let Some((digest, _)) = self.last().as_mut() {
            digest.clear();
        }
    }

    fn renewed(&self) -> Result<Arc<ClientConfig>, Unusable> {
        let made = read(&self.settings).and_then(|files| {
            let digest = files.digest();
            if let Some((_, config)) = self.last().as_ref().filter(|(last, _)| *last == digest) {
                return Ok(Arc::clone(config));
            }
            let config = Arc::new(build(&self.settings, &files)?);
            *self.last() = Some((digest, Arc::clone(&config)));
            Ok(config)
        });
        made.or_else(|problem| match self.last().as_ref() {
            Some((_, config)) => {
                tracing::warn!(key = problem.key, problem = problem.problem, "a renewed certificate or key cannot be used");
                Ok(Arc::clone(config))
            }
            None => Err(problem),
        })
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<(Vec<u8>, Arc<ClientConfig>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The host of `host:port`, as a certificate names it.
///
/// # Errors
/// It is neither a name nor an address.
pub fn hostname(address: &str) -> Result<ServerName<'static>, String> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    ServerName::try_from(host.to_owned()).map_err(|_| format!("{host} is no host name that a certificate could hold"))
}

/// Reads everything and makes a configuration of it, for its errors.
pub(super) fn load(settings: &TlsSettings) -> Result<ClientConfig, Unusable> {
    build(settings, &read(settings)?)
}

/// What the files hold.
struct Files {
    /// `None`: the system's.
    roots: Option<Vec<Vec<u8>>>,
    identity: Option<(SecretString, SecretString, Option<SecretString>)>,
}

impl Files {
    fn digest(&self) -> Vec<u8> {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut add = |part: &[u8]| {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        };
        self.roots.iter().flatten().for_each(|root| add(root));
        if let Some((certificate, key, password)) = &self.identity {
            [Some(certificate), Some(key), password.as_ref()]
                .into_iter()
                .flatten()
                .for_each(|part| add(part.expose_secret().as_bytes()));
        }
        context.finish().as_ref().to_vec()
    }
}

fn read(settings: &TlsSettings) -> Result<Files, Unusable> {
    let identity = match &settings.identity {
        None => None,
        Some(identity) => Some((
            read_part(certificate_key(identity), &identity.certificate)?,
            read_part(key_key(identity), &identity.key)?,
            identity.key_password.as_ref().map(|password| read_part("ssl.key.password", password)).transpose()?,
        )),
    };
    Ok(Files { roots: read_roots(CA, &settings.roots)?, identity })
}

fn read_part(key: &'static str, property: &Property) -> Result<SecretString, Unusable> {
    property.read().map_err(|error| Unusable::new(key, format!("cannot be read: {error}")))
}

/// The files of roots, in the order of their names; `None` for the system's.
fn read_roots(key: &'static str, roots: &Roots) -> Result<Option<Vec<Vec<u8>>>, Unusable> {
    let unreadable = |error: std::io::Error| Unusable::new(key, format!("cannot be read: {error}"));
    match roots {
        Roots::System => Ok(None),
        Roots::Pem(pem) => read_part("ssl.ca.pem", pem).map(|pem| Some(vec![pem.expose_secret().as_bytes().to_vec()])),
        Roots::Location(path) if path.is_dir() => {
            let entries = fs::read_dir(path).map_err(unreadable)?;
            let mut paths: Vec<_> =
                entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect();
            paths.sort();
            paths.iter().map(|path| fs::read(path).map_err(unreadable)).collect::<Result<_, _>>().map(Some)
        }
        Roots::Location(path) => fs::read(path).map_err(unreadable).map(|file| Some(vec![file])),
    }
}

/// The certificates of a [`Roots`] that is not the system's.
pub(super) fn root_certificates(key: &'static str, roots: &Roots) -> Result<Option<Vec<CertificateDer<'static>>>, Unusable> {
    read_roots(key, roots)?.map(|files| certificates(key, &files)).transpose()
}

fn certificates(key: &'static str, files: &[Vec<u8>]) -> Result<Vec<CertificateDer<'static>>, Unusable> {
    let found: Vec<_> = files.iter().flat_map(|file| CertificateDer::pem_slice_iter(file)).filter_map(Result::ok).collect();
    if found.is_empty() {
        return Err(Unusable::new(key, "holds no certificate in PEM form"));
    }
    Ok(found)
}

fn build(settings: &TlsSettings, files: &Files) -> Result<ClientConfig, Unusable> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Unusable::new(CA, error.to_string()))?;
    let builder = match settings.check {
        ServerCheck::Full => builder.with_root_certificates(root_store(files)?),
        ServerCheck::AnyName => {
            let verifier = trust::AnyName::new(root_store(files)?, provider);
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        ServerCheck::Nothing => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(trust::AnyCertificate::new(provider)))
        }
    };
    let (Some(identity), Some((certificate, key, password))) = (&settings.identity, &files.identity) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate_key(identity), &[certificate.expose_secret().as_bytes().to_vec()])?;
    let key = private_key(key_key(identity), key, password.as_ref())?;
    builder.with_client_auth_cert(chain, key).map_err(|error| match error {
        TlsError::InconsistentKeys(_) => Unusable::new(key_key(identity), "does not belong to the certificate"),
        other => Unusable::new(certificate_key(identity), other.to_string()),
    })
}

fn root_store(files: &Files) -> Result<RootCertStore, Unusable> {
    let mut store = RootCertStore::empty();
    match &files.roots {
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err(Unusable::new(CA, "is needed: this system has no root certificates of its own"));
            }
        }
        Some(files) => {
            store.add_parsable_certificates(certificates(CA, files)?);
            if store.is_empty() {
                return Err(Unusable::new(CA, "holds no certificate that could be a root"));
            }
        }
    }
    Ok(store)
}

const fn certificate_key(identity: &Identity) -> &'static str {
    match identity.certificate {
        Property::File(_) => "ssl.certificate.location",
        Property::Value(_) => "ssl.certificate.pem",
    }
}

const fn key_key(identity: &Identity) -> &'static str {
    match identity.key {
        Property::File(_) => "ssl.key.location",
        Property::Value(_) => "ssl.key.pem",
    }
}

fn private_key(
    key: &'static str,
    pem: &SecretString,
    password: Option<&SecretString>,
) -> Result<PrivateKeyDer<'static>, Unusable> {
    let text = pem.expose_secret();
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        let rule = "is encrypted in an old form; make it PKCS#8: openssl pkcs8 -topk8 -in OLD -out NEW";
        return Err(Unusable::new(key, rule));
    }
    if let Some(encrypted) = section(text, "ENCRYPTED PRIVATE KEY") {
        let password = password.ok_or_else(|| Unusable::new("ssl.key.password", "is needed: the key is encrypted"))?;
        return decrypted(encrypted, password)
            .map(|der| PrivatePkcs8KeyDer::from(der.as_bytes().to_vec()).into())
            .ok_or_else(|| Unusable::new("ssl.key.password", "does not open the key (PKCS#8 with PBES2 is understood)"));
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
        pem::Error::NoItemsFound => Unusable::new(key, "holds no private key in PEM form"),
        other => Unusable::new(key, other.to_string()),
    })
}

fn decrypted(pem: &str, password: &SecretString) -> Option<SecretDocument> {
    let (_, document) = SecretDocument::from_pem(pem).ok()?;
    let info = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).ok()?;
    info.decrypt(password.expose_secret().as_bytes()).ok()
}

/// One PEM section with its marks; a file may hold certificates as well.
fn section<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let start = text.find(&begin)?;
    let stop = text[start..].find(&end)?;
    text.get(start..start + stop + end.len())
}

#[cfg(test)]
mod tests;
