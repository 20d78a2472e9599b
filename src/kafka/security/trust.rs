//! Whom TLS trusts where less than everything is to be checked, and in words what is wrong with a certificate.

use std::{io, sync::Arc};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

/// Signatures and dates are checked, names are not.
#[derive(Debug)]
pub struct AnyName {
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl AnyName {
    pub const fn new(roots: RootCertStore, provider: Arc<CryptoProvider>) -> Self {
        Self { roots, provider }
    }
}

/// Nothing is checked but that the other side owns the key of its certificate.
#[derive(Debug)]
pub struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl AnyCertificate {
    pub const fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { provider }
    }
}

/// The part of a verifier that both have: the signatures of the handshake.
macro_rules! checks_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, TlsError> {
            verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, TlsError> {
            verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    checks_signatures!();
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    checks_signatures!();
}

/// What TLS has to say about a stream that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsComplaint {
    /// We do not take the broker's certificate, or the broker does not take ours.
    Certificate(String),
    /// The other side does not speak TLS, or none that we speak.
    Protocol(String),
}

/// The complaint behind an I/O error; `None` where TLS has none.
pub fn complaint(error: &io::Error) -> Option<TlsComplaint> {
    let error = error.get_ref()?.downcast_ref::<TlsError>()?;
    Some(match error {
        TlsError::InvalidCertificate(problem) => TlsComplaint::Certificate(ours(problem)),
        TlsError::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => TlsComplaint::Certificate(
                "the broker asks for a client certificate: set ssl.certificate.location and ssl.key.location".to_owned(),
            ),
            AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied => TlsComplaint::Certificate(format!(
                "the broker does not take our certificate, or has got none ({alert:?}): set ssl.certificate.location and \
                 ssl.key.location to one that is in date and from an issuer that the broker knows"
            )),
            other => TlsComplaint::Protocol(format!("the broker ended TLS ({other:?})")),
        },
        TlsError::InvalidMessage(_) => {
            TlsComplaint::Protocol("the broker does not speak TLS there: is this its plaintext listener?".to_owned())
        }
        other => TlsComplaint::Protocol(other.to_string()),
    })
}

/// `kafka.example` out of `DnsName("kafka.example")`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

/// Why we do not take the broker's certificate, and what to do.
fn ours(problem: &CertificateError) -> String {
    let why = match problem {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no root that we know has signed it; set ssl.ca.location to the authority's certificate".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired; renew it on the broker, or look at this machine's clock".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet; look at this machine's clock".to_owned()
        }
        CertificateError::NotValidForName => "it is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => format!(
            "it is for {} and not for {}; use a name that it has, or set ssl.endpoint.identification.algorithm=none",
            presented.iter().take(5).map(|name| bare(name)).collect::<Vec<_>>().join(", "),
            expected.to_str(),
        ),
        CertificateError::Revoked => "it is revoked".to_owned(),
        other => other.to_string(),
    };
    format!("the broker's certificate is not trusted: {why}")
}
