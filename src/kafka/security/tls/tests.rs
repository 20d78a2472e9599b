use super::*;
use crate::kafka::security::{TlsComplaint, complaint};
use pkcs8::{
    EncryptedPrivateKeyInfo,
    der::{Encode, asn1::OctetStringRef},
    pkcs5::pbes2::Parameters,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use std::path::PathBuf;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, rustls::ServerConfig};

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority { pem, issuer: Issuer::new(params, key) }
}

/// Certificate and key for `name` in PEM form.
fn issued(by: &Authority, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, &by.issuer).unwrap().pem(), key.serialize_pem())
}

/// What a client with `settings` thinks of a server that shows `certificate`.
async fn met(settings: TlsSettings, (certificate, key): &(String, String)) -> Result<(), TlsComplaint> {
    let chain = certificates("x", &[certificate.clone().into_bytes()]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = TlsAcceptor::from(Arc::new(server)).accept(stream).await;
    });
    let config = Arc::new(TlsSource::new(settings)).config().await.unwrap();
    let stream = TcpStream::connect(&address).await.unwrap();
    let connected = TlsConnector::from(config).connect(hostname(&address).unwrap(), stream).await;
    connected.map(drop).map_err(|error| complaint(&error).unwrap())
}

fn trusting(authority: &Authority) -> TlsSettings {
    TlsSettings { roots: Roots::Pem(authority.pem.as_str().into()), ..TlsSettings::default() }
}

#[tokio::test]
async fn a_certificate_is_trusted_by_its_issuer_its_dates_and_its_name() {
    let (ours, other) = (authority(), authority());
    let good = issued(&ours, "127.0.0.1", |_| {});
    let expired = issued(&ours, "127.0.0.1", |params| params.not_after = date_time_ymd(2001, 1, 1));
    let named = issued(&ours, "kafka.example", |_| {});
    let any_name = || TlsSettings { check: ServerCheck::AnyName, ..trusting(&ours) };
    let nothing = || TlsSettings { check: ServerCheck::Nothing, ..trusting(&ours) };

    assert_eq!(met(trusting(&ours), &good).await, Ok(()));
    assert_eq!(met(any_name(), &named).await, Ok(()));
    for certificate in [&expired, &named, &issued(&other, "127.0.0.1", |_| {})] {
        assert_eq!(met(nothing(), certificate).await, Ok(()));
    }
    for (settings, certificate, word) in [
        (trusting(&other), &good, "set ssl.ca.location"),
        (trusting(&ours), &expired, "has expired"),
        (trusting(&ours), &named, "is for kafka.example and not for 127.0.0.1"),
        (TlsSettings { check: ServerCheck::AnyName, ..trusting(&other) }, &good, "set ssl.ca.location"),
        (any_name(), &expired, "has expired"),
    ] {
        let Err(TlsComplaint::Certificate(words)) = met(settings, certificate).await else {
            panic!("{word}: it is trusted")
        };
        assert!(words.contains(word), "{word}: {words}");
    }
}

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tidemark-tls-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn files_are_read_again_and_half_a_replacement_leaves_what_was_good() {
    let folder = Folder::new();
    let authority = authority();
    let ((first, first_key), (second, second_key)) = (issued(&authority, "a", |_| {}), issued(&authority, "b", |_| {}));
    let certificate = folder.write("client.pem", &first);
    let key = folder.write("client.key", &first_key);
    let identity = Identity { certificate: Property::File(certificate), key: Property::File(key), key_password: None };
    let source = Arc::new(TlsSource::new(TlsSettings { identity: Some(identity), ..trusting(&authority) }));

    let one = source.config().await.unwrap();
    assert!(Arc::ptr_eq(&one, &source.config().await.unwrap()), "nothing has changed");
    folder.write("client.pem", &second);
    assert!(Arc::ptr_eq(&one, &source.config().await.unwrap()), "the key is still the old one");
    folder.write("client.key", &second_key);
    assert!(!Arc::ptr_eq(&one, &source.config().await.unwrap()), "both are new");
}

#[test]
fn a_folder_of_roots_is_read_whole() {
    let folder = Folder::new();
    folder.write("one.pem", &authority().pem);
    folder.write("two.pem", &authority().pem);
    folder.write("README", "no certificate");
    let roots = root_certificates(CA, &Roots::Location(folder.0.clone())).unwrap().unwrap();
    assert_eq!(roots.len(), 2);
}

#[test]
fn a_key_is_opened_with_its_password_and_a_wrong_one_or_an_old_form_is_refused_with_what_to_do() {
    let key = KeyPair::generate().unwrap();
    let scheme = Parameters::generate_pbkdf2_sha256_aes256cbc(2048, b"salt for the test", [7; 16]).unwrap();
    let data = scheme.encrypt("hunter2", &key.serialize_der()).unwrap();
    let info =
        EncryptedPrivateKeyInfo { encryption_algorithm: scheme.into(), encrypted_data: OctetStringRef::new(&data).unwrap() };
    let document = SecretDocument::try_from(info.to_der().unwrap().as_slice()).unwrap();
    let pem = document.to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF).unwrap();
    let pem = SecretString::from(format!("a comment\n{}", *pem));
    let opened = private_key("ssl.key.location", &pem, Some(&SecretString::from("hunter2"))).unwrap();
    assert_eq!(opened.secret_der(), key.serialize_der());
    for (password, word) in [(None, "is needed"), (Some(SecretString::from("wrong")), "does not open the key")] {
        let problem = private_key("ssl.key.location", &pem, password.as_ref()).unwrap_err();
        assert!(problem.key == "ssl.key.password" && problem.problem.contains(word), "{problem}");
    }
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAA==\n-----END RSA PRIVATE KEY-----\n";
    let problem = private_key("ssl.key.location", &SecretString::from(old), None).unwrap_err();
    assert!(problem.problem.contains("openssl pkcs8 -topk8"), "{problem}");
}

#[test]
fn a_host_is_taken_from_its_address() {
    for (address, host) in [("kafka.example:9093", "kafka.example"), ("127.0.0.1:1", "127.0.0.1"), ("[::1]:9093", "::1")] {
        assert_eq!(hostname(address).unwrap().to_str(), host);
    }
    assert!(hostname("bad host:1").is_err());
}
