//! One broker with many doors: a listener for each way to secure a connection, with certificates that are made here.

use super::{Kafka, free_ports, scratch};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A listener of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Tls,
    /// A client certificate is required.
    Mutual,
    /// The broker's certificate has expired.
    Expired,
    /// The broker's certificate is for another name.
    OtherName,
    /// PLAIN and SCRAM without TLS.
    Sasl,
    /// PLAIN and SCRAM over TLS.
    SaslTls,
    /// OAUTHBEARER over TLS; the broker takes unsigned tokens and looks at their dates.
    Token,
    /// PLAIN and SCRAM without TLS, for sessions of 1.5 s.
    Brief,
}

const DOORS: [(Door, &str, &str); 8] = [
    (Door::Tls, "TLS", "SSL"),
    (Door::Mutual, "MUTUAL", "SSL"),
    (Door::Expired, "EXPIRED", "SSL"),
    (Door::OtherName, "OTHERNAME", "SSL"),
    (Door::Sasl, "SASL", "SASL_PLAINTEXT"),
    (Door::SaslTls, "SASLTLS", "SASL_SSL"),
    (Door::Token, "TOKEN", "SASL_SSL"),
    (Door::Brief, "BRIEF", "SASL_PLAINTEXT"),
];

/// The user of PLAIN.
pub const PLAIN_USER: &str = "plain-user";
pub const PLAIN_PASSWORD: &str = "plain, but=not said";

/// The broker and what is needed to enter it.
pub struct Secured {
    pub kafka: Kafka,
    ports: [u16; 8],
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Secured {
    /// Lives as long as the test process.
    pub fn start() -> Secured {
        Secured::start_by(|settings| Kafka::start_shared_with(settings))
    }

    /// One of a test's own, that can be stopped and started again.
    pub fn start_own() -> Secured {
        Secured::start_by(|settings| Kafka::start_own_with(settings))
    }

    fn start_by(start: impl FnOnce(&dyn Fn(u16, u16) -> String) -> Kafka) -> Secured {
        let dir = scratch("secured");
        let issuer = authority(&dir.join("ca.pem"));
        authority(&dir.join("stranger.pem"));
        let expired = issue(&issuer, "127.0.0.1", |params| params.not_after = date_time_ymd(2020, 1, 1));
        let named = issue(&issuer, "kafka.example", |_| {});
        for (name, identity) in [("good", issue_good(&issuer)), ("expired", expired), ("named", named)] {
            write_identity(&dir, name, identity);
        }
        let ports = free_ports();
        let kafka = start(&|port, controller| settings(&dir, port, controller, &ports));
        Secured { kafka, ports, dir, issuer }
    }

    /// The broker starts again with a certificate of another authority, and takes only clients that this one has signed:
    /// `ca.pem` and [`Secured::client_identity`] are of the new one.
    pub fn change_authority(&mut self) {
        self.kafka.stop();
        self.issuer = authority(&self.dir.join("ca.pem"));
        write_identity(&self.dir, "good", issue_good(&self.issuer));
        self.kafka.start_again();
    }

    pub fn address(&self, door: Door) -> String {
        let at = DOORS.iter().position(|(known, _, _)| *known == door).expect("every door is in the list");
        format!("127.0.0.1:{}", self.ports[at])
    }

    /// A file of this broker's folder: `ca.pem` is whom to trust, `stranger.pem` an authority that has signed nothing here.
    pub fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// Certificate and key for a client, signed by the broker's authority.
    pub fn client_identity(&self) -> (String, String) {
        issue(&self.issuer, "monitor", |params| params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth))
    }

    /// Certificate and key for a client, signed by somebody whom the broker does not know.
    pub fn strange_identity(&self) -> (String, String) {
        let stranger = authority(&self.dir.join(super::unique("stranger")));
        issue(&stranger, "monitor", |params| params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth))
    }

    /// Creates a user of SCRAM, or gives it another password.
    pub async fn set_scram_password(&self, user: &str, password: &str) {
        // One call each: Kafka refuses to alter both in one.
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let secret = format!("{mechanism}=[password={password}]");
            let arguments = ["--alter", "--add-config", &secret, "--entity-type", "users", "--entity-name", user];
            self.kafka.tool("configs", &arguments).await;
        }
    }
}

fn issue_good(by: &Issuer<'static, KeyPair>) -> (String, String) {
    issue(by, "127.0.0.1", |_| {})
}

fn write_identity(dir: &Path, name: &str, (certificate, key): (String, String)) {
    write(&dir.join(format!("{name}.pem")), &(key + &certificate));
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("the folder can be written to");
}

/// A new authority; its certificate goes to `path`.
fn authority(path: &Path) -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, super::unique("authority"));
    let key = KeyPair::generate().expect("a key can be made");
    write(path, &params.self_signed(&key).expect("it can sign itself").pem());
    Issuer::new(params, key)
}

/// Certificate and key for `name`.
fn issue(by: &Issuer<'static, KeyPair>, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    let mut params = CertificateParams::new(vec![name.to_string()]).expect("a name that a certificate can hold");
    params.distinguished_name.push(DnType::CommonName, name);
    change(&mut params);
    let key = KeyPair::generate().expect("a key can be made");
    let certificate = params.signed_by(&key, by).expect("the authority can sign");
    (certificate.pem(), key.serialize_pem())
}

/// The broker's settings for all doors.
fn settings(dir: &Path, port: u16, controller: u16, ports: &[u16; 8]) -> String {
    let doors: Vec<String> =
        DOORS.iter().zip(ports).map(|((_, name, _), port)| format!("{name}://127.0.0.1:{port}")).collect();
    let open = format!("PLAINTEXT://127.0.0.1:{port},{}", doors.join(","));
    let map: Vec<String> = DOORS.iter().map(|(_, name, protocol)| format!("{name}:{protocol}")).collect();
    let mut lines = vec![
        format!("listeners={open},CONTROLLER://127.0.0.1:{controller}"),
        format!("advertised.listeners={open}"),
        format!("listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,{}", map.join(",")),
        "connection.failed.authentication.delay.ms=10".to_string(),
    ];
    for (door, name, protocol) in DOORS {
        let prefix = format!("listener.name.{}", name.to_lowercase());
        if protocol.ends_with("SSL") {
            let shown = match door {
                Door::Expired => "expired.pem",
                Door::OtherName => "named.pem",
                _ => "good.pem",
            };
            lines.extend([
                format!("{prefix}.ssl.keystore.type=PEM"),
                format!("{prefix}.ssl.keystore.location={}", dir.join(shown).display()),
                format!("{prefix}.ssl.truststore.type=PEM"),
                format!("{prefix}.ssl.truststore.location={}", dir.join("ca.pem").display()),
            ]);
        }
        if door == Door::Mutual {
            lines.push(format!("{prefix}.ssl.client.auth=required"));
        }
        if protocol.starts_with("SASL") {
            lines.extend(sasl_settings(door, &prefix));
        }
    }
    lines.join("\n") + "\n"
}

fn sasl_settings(door: Door, prefix: &str) -> Vec<String> {
    let module = |name: &str| format!("org.apache.kafka.common.security.{name}LoginModule required");
    if door == Door::Token {
        return vec![
            format!("{prefix}.sasl.enabled.mechanisms=OAUTHBEARER"),
            format!(
                "{prefix}.oauthbearer.sasl.jaas.config={} unsecuredLoginStringClaim_sub=\"broker\";",
                module("oauthbearer.OAuthBearer")
            ),
            // The broker ends a session with its token.
            format!("{prefix}.oauthbearer.connections.max.reauth.ms=3600000"),
        ];
    }
    let plain = module("plain.Plain");
    let mut lines = vec![
        format!("{prefix}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"),
        format!("{prefix}.plain.sasl.jaas.config={plain} user_{PLAIN_USER}=\"{PLAIN_PASSWORD}\";"),
    ];
    for mechanism in ["scram-sha-256", "scram-sha-512"] {
        lines.push(format!("{prefix}.{mechanism}.sasl.jaas.config={};", module("scram.Scram")));
    }
    if door == Door::Brief {
        let mechanisms = ["plain", "scram-sha-256", "scram-sha-512"];
        lines.extend(mechanisms.map(|mechanism| format!("{prefix}.{mechanism}.connections.max.reauth.ms=1500")));
    }
    lines
}

/// A token endpoint on loopback that knows one client.
pub struct TokenEndpoint {
    pub url: String,
    given: Arc<AtomicUsize>,
    secret: Arc<Mutex<String>>,
    serving: tokio::task::JoinHandle<()>,
}

impl TokenEndpoint {
    pub const CLIENT: &'static str = "tidemark";
    pub const SECRET: &'static str = "client-secret-that-nobody-sees";

    /// Gives tokens that live so long.
    pub async fn start(life: Duration) -> TokenEndpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port of loopback");
        let url = format!("http://{}/token", listener.local_addr().expect("an address"));
        let given = Arc::<AtomicUsize>::default();
        let secret = Arc::new(Mutex::new(Self::SECRET.to_owned()));
        let (count, known) = (Arc::clone(&given), Arc::clone(&secret));
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !String::from_utf8_lossy(&request).contains("grant_type=client_credentials") {
                    match stream.read_buf(&mut request).await {
                        Ok(0) | Err(_) => break,
                        Ok(_) => {}
                    }
                }
                let secret = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let pair = STANDARD.encode(format!("{}:{secret}", Self::CLIENT));
                let known = String::from_utf8_lossy(&request).contains(&format!("Basic {pair}"));
                let (status, body) = if known {
                    count.fetch_add(1, Ordering::SeqCst);
                    ("200 OK", granted(life))
                } else {
                    ("401 Unauthorized", r#"{"error": "invalid_client"}"#.to_string())
                };
                let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = stream.write_all((head + &body).as_bytes()).await;
            }
        });
        TokenEndpoint { url, given, secret, serving }
    }

    /// From now on the client has another secret.
    pub fn change_secret(&self, secret: &str) {
        secret.clone_into(&mut self.secret.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Tokens given so far.
    pub fn given(&self) -> usize {
        self.given.load(Ordering::SeqCst)
    }
}

impl Drop for TokenEndpoint {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// An unsigned JWT, as Kafka's own validator for tests takes it.
fn granted(life: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let claims = format!(r#"{{"sub":"monitor","iat":{now:.3},"exp":{:.3}}}"#, now + life.as_secs_f64());
    let token = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode(claims));
    format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{}}}"#, life.as_secs())
}
