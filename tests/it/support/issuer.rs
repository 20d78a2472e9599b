//! An issuer of signed tokens on loopback: a token endpoint that gives RS256 tokens, and the keys to check them with.

use super::{TokenEndpoint, free_ports};
use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const KEY_ID: &str = "key-of-the-issuer";

/// What the next tokens claim, and who signs them.
#[derive(Clone)]
struct Giving {
    audience: String,
    life_seconds: i64,
    signer: Arc<KeyPair>,
}

/// The issuer. Its endpoint knows the client of [`TokenEndpoint`].
pub struct Issuer {
    port: u16,
    own: Arc<KeyPair>,
    giving: Arc<Mutex<Giving>>,
    serving: tokio::task::JoinHandle<()>,
}

fn new_key() -> Arc<KeyPair> {
    Arc::new(KeyPair::generate(KeySize::Rsa2048).expect("a key can be made"))
}

impl Issuer {
    pub const AUDIENCE: &'static str = "kafka-of-the-test";

    pub async fn start() -> Issuer {
        let [port] = free_ports();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the port is free");
        let own = new_key();
        let giving = Giving { audience: Self::AUDIENCE.to_owned(), life_seconds: 600, signer: Arc::clone(&own) };
        let giving = Arc::new(Mutex::new(giving));
        let (keys, shared) = (jwks(&own), Arc::clone(&giving));
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = request(&mut stream).await;
                let answer = if request.starts_with("GET /keys ") {
                    ("200 OK", keys.clone())
                } else {
                    let now = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    granted(&request, &now, port)
                };
                let (status, body) = (answer.0, answer.1.to_string());
                let head = "content-type: application/json\r\nconnection: close";
                let length = body.len();
                let text = format!("HTTP/1.1 {status}\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}");
                let _ = stream.write_all(text.as_bytes()).await;
            }
        });
        Issuer { port, own, giving, serving }
    }

    pub fn name(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn token_url(&self) -> String {
        self.name() + "/token"
    }

    pub fn keys_url(&self) -> String {
        self.name() + "/keys"
    }

    fn give(&self, change: impl FnOnce(&mut Giving)) {
        change(&mut self.giving.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The next tokens are for somebody else.
    pub fn give_for(&self, audience: &str) {
        self.give(|giving| giving.audience = audience.to_owned());
    }

    /// The next tokens have ended an hour ago.
    pub fn give_ended(&self) {
        self.give(|giving| giving.life_seconds = -3_600);
    }

    /// The next tokens are signed with a key that nobody knows, under the name of the issuer's.
    pub fn give_forged(&self) {
        let forged = new_key();
        self.give(|giving| giving.signer = forged);
    }

    /// The next tokens are as they should be.
    pub fn give_good(&self) {
        let own = Arc::clone(&self.own);
        self.give(|giving| *giving = Giving { audience: Self::AUDIENCE.to_owned(), life_seconds: 600, signer: own });
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// One request up to the end of its body.
async fn request(stream: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if text.starts_with("GET ") && text.contains("\r\n\r\n") || text.contains("grant_type=client_credentials") {
            return text.into_owned();
        }
        if !matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}

fn jwks(key: &KeyPair) -> Value {
    // A sequence of modulus and exponent (RFC 8017, A.1.1).
    let (sequence, _) = element(key.public_key().as_ref());
    let (modulus, rest) = element(sequence);
    let (exponent, _) = element(rest);
    // A leading zero says that a number is not negative; a key set leaves it out.
    let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes.strip_prefix(&[0]).unwrap_or(bytes));
    let (n, e) = (number(modulus), number(exponent));
    json!({"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": n, "e": e}]})
}

/// The content of the first element of DER, and what follows it.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (first, rest) = (der[1], &der[2..]);
    let (length, rest) = match usize::from(first) {
        short @ ..0x80 => (short, rest),
        long => {
            let (length, rest) = rest.split_at(long & 0x7f);
            (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
    };
    rest.split_at(length)
}

fn granted(request: &str, giving: &Giving, port: u16) -> (&'static str, Value) {
    let client = STANDARD.encode(format!("{}:{}", TokenEndpoint::CLIENT, TokenEndpoint::SECRET));
    if !request.contains(&format!("Basic {client}")) {
        return ("401 Unauthorized", json!({"error": "invalid_client"}));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    let begun = now.min(now + giving.life_seconds) - 60;
    let claims = json!({
        "iss": format!("http://127.0.0.1:{port}"), "aud": giving.audience, "sub": "monitor",
        "iat": begun, "exp": now + giving.life_seconds,
    });
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(json!({"alg": "RS256", "typ": "JWT", "kid": KEY_ID})), part(claims));
    let mut signature = vec![0; giving.signer.public_modulus_len()];
    giving
        .signer
        .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .expect("it can be signed");
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    // What the endpoint says of the token's life is not looked at by the broker.
    ("200 OK", json!({"access_token": token, "token_type": "Bearer", "expires_in": 600}))
}
