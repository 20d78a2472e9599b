//! Certificates and passwords that change while the roles run: what is put right in the files is used without a restart.

use crate::support::{
    Door, Metrics, PATIENCE, Record, Secured, Tidemark, TokenEndpoint, eventually, redis, scratch, secured, unique,
};
use serde_json::json;
use std::fs;
use std::path::PathBuf;

/// Files of secrets, removed at the end.
struct Secrets(PathBuf);

impl Secrets {
    fn new() -> Secrets {
        Secrets(scratch("secrets"))
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("the folder can be written to");
    }
}

impl Drop for Secrets {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn monitor(kafka: &Secured, door: Door, more: &[String]) -> Tidemark {
    let address = kafka.address(door);
    let mut arguments = vec!["--kafka", &address, "--interval", "300ms", "-X", "reconnect.backoff.max.ms=300"];
    arguments.extend(more.iter().map(String::as_str));
    Tidemark::start("monitor", &arguments).await
}

async fn until_up(monitor: &Tidemark) {
    eventually(PATIENCE, "the cluster is read", || async {
        let up = Metrics::parse(&monitor.get("/metrics").await?).value("tidemark_kafka_up", &[]);
        if up == Some(1.0) { Ok(()) } else { Err(format!("tidemark_kafka_up is {up:?}")) }
    })
    .await;
}

/// Waits until a collection has failed for `reason`, with `words` on the page.
async fn until_refused(monitor: &Tidemark, reason: &str, words: &str) {
    eventually(PATIENCE, &format!("{reason} is counted and told"), || async {
        let metrics = Metrics::parse(&monitor.get("/metrics").await?);
        let counted = metrics.value("tidemark_collection_failures_total", &[("reason", reason)]);
        let page = monitor.get("/").await?;
        let shown = page.contains(words);
        if counted > Some(0.0) && shown { Ok(()) } else { Err(format!("counted {counted:?}, shown {shown}: {page}")) }
    })
    .await;
}

/// Waits until a service is not ready and says why.
async fn until_not_ready(service: &Tidemark, words: &str) {
    eventually(PATIENCE, &format!("it is not ready and says {words:?}"), || async {
        let (status, body) = service.ask("/readyz").await?;
        if status == 503 && body.contains(words) { Ok(()) } else { Err(format!("{status}: {body}")) }
    })
    .await;
}

async fn until_ready(service: &Tidemark) {
    eventually(PATIENCE, "the service is ready", || service.get("/readyz")).await;
}

/// Its consumer reads: what it cannot read goes to the dead-letter topic.
async fn until_it_sets_aside(kafka: &Secured, topic: &str, group: &str) {
    let letters = async || kafka.kafka.ends(&format!("{topic}.{group}.dlt")).await.iter().map(|(_, end)| *end).sum::<i64>();
    let before = letters().await;
    kafka.kafka.produce(topic, &[Record::of("no event")]).await;
    eventually(PATIENCE, "the dead letter", || async {
        let now = letters().await;
        if now > before { Ok(()) } else { Err(format!("{now} letters")) }
    })
    .await;
}

/// Its producer writes: an order that it takes is in Kafka.
async fn until_it_publishes_an_order(kafka: &Secured, order: &Tidemark) {
    let orders = async || kafka.kafka.ends("orders").await.iter().map(|(_, end)| *end).sum::<i64>();
    let before = orders().await;
    let body = json!({"customer": "c", "items": [{"sku": "s", "quantity": 1, "unit_price": 5}], "currency": "EUR"});
    let answer = order.http().post(order.url("/orders")).json(&body).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 202);
    eventually(PATIENCE, "the order is published", || async {
        let now = orders().await;
        if now > before { Ok(()) } else { Err(format!("{now} orders")) }
    })
    .await;
}

fn flag(key: &str, value: &str) -> [String; 2] {
    ["-X".to_string(), format!("{key}={value}")]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_client_certificate_and_a_corrected_authority_are_used_without_a_restart() {
    let (kafka, files) = (secured(), Secrets::new());
    let (certificate, key) = kafka.strange_identity();
    files.write("client.pem", &certificate);
    files.write("client.key", &key);
    fs::copy(kafka.file("stranger.pem"), files.path("ca.pem")).expect("a copy");
    let more = [
        flag("security.protocol", "ssl"),
        flag("ssl.ca.location", &files.path("ca.pem")),
        flag("ssl.certificate.location", &files.path("client.pem")),
        flag("ssl.key.location", &files.path("client.key")),
    ];
    let monitor = monitor(kafka, Door::Mutual, &more.concat()).await;
    until_refused(&monitor, "certificate_rejected", "no root that we know has signed it").await;
    fs::copy(kafka.file("ca.pem"), files.path("ca.pem")).expect("a copy");
    until_refused(&monitor, "certificate_rejected", "does not take our certificate").await;
    let (certificate, key) = kafka.client_identity();
    files.write("client.pem", &certificate);
    files.write("client.key", &key);
    until_up(&monitor).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_is_read_from_its_file_and_shown_nowhere() {
    let (kafka, files, user) = (secured(), Secrets::new(), unique("scram-user"));
    let passwords = ["not-the-password-yet", "first-password", "second-password"];
    kafka.set_scram_password(&user, passwords[1]).await;
    files.write("password", passwords[0]);
    let more = [
        flag("security.protocol", "sasl_plaintext"),
        flag("sasl.mechanism", "SCRAM-SHA-512"),
        flag("sasl.username", &user),
        ["--x-file".to_string(), format!("sasl.password={}", files.path("password"))],
    ];
    let monitor = monitor(kafka, Door::Brief, &more.concat()).await;
    until_refused(&monitor, "authentication_failed", &format!("refused SASL SCRAM-SHA-512 for user {user}")).await;
    files.write("password", &format!("{}\n", passwords[1]));
    until_up(&monitor).await;

    // The broker ends each session after 1.5 s: the next one needs the new password.
    kafka.set_scram_password(&user, passwords[2]).await;
    let failed = || async {
        let metrics = Metrics::parse(&monitor.get("/metrics").await?);
        Ok::<_, String>(metrics.value("tidemark_collection_failures_total", &[("reason", "authentication_failed")]))
    };
    let before = failed().await.expect("the metrics");
    eventually(PATIENCE, "the old password is refused", || async {
        let now = failed().await?;
        if now > before { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    files.write("password", passwords[2]);
    until_up(&monitor).await;
    let mut seen = monitor.log();
    for path in ["/", "/status", "/metrics"] {
        seen += &monitor.get(path).await.expect("a page");
    }
    assert!(seen.contains(&format!("sasl.password = in {}", files.path("password"))), "the status page says where it is");
    passwords.iter().for_each(|password| assert!(!seen.contains(password), "{password} is shown"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_goes_on_with_the_new_password_after_the_old_one_is_refused() {
    let (kafka, files, user) = (secured(), Secrets::new(), unique("scram-user"));
    let passwords = ["not-the-password-yet", "first-password", "second-password"];
    kafka.set_scram_password(&user, passwords[1]).await;
    files.write("password", passwords[0]);
    let (address, url, namespace) = (kafka.address(Door::Brief), redis().url(), redis().namespace());
    let x_file = format!("sasl.password={}", files.path("password"));
    let user_flag = format!("sasl.username={user}");
    let arguments = [
        "--kafka",
        &address,
        "--redis",
        &url,
        "--namespace",
        &namespace,
        "-X",
        "security.protocol=sasl_plaintext",
        "-X",
        "sasl.mechanism=SCRAM-SHA-256",
        "-X",
        &user_flag,
        "--x-file",
        &x_file,
    ];
    let order = Tidemark::start("order", &arguments).await;
    until_not_ready(&order, "refused SASL").await;
    files.write("password", passwords[1]);
    until_ready(&order).await;

    kafka.set_scram_password(&user, passwords[2]).await;
    until_not_ready(&order, "uthentication").await;
    files.write("password", passwords[2]);
    until_ready(&order).await;
    until_it_sets_aside(kafka, "payments", "order-service").await;
    until_it_publishes_an_order(kafka, &order).await;
    passwords.iter().for_each(|password| assert!(!order.log().contains(password), "{password} is in the log"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_takes_part_with_tokens() {
    let (kafka, endpoint) = (secured(), TokenEndpoint::start(std::time::Duration::from_secs(4)).await);
    let (address, url, namespace) = (kafka.address(Door::Token), redis().url(), redis().namespace());
    let secret = flag("sasl.oauthbearer.client.secret", TokenEndpoint::SECRET);
    let more = with_tokens(kafka, &endpoint, secret);
    let mut arguments = vec!["--kafka", &address, "--redis", &url, "--namespace", &namespace];
    arguments.extend(more.iter().map(String::as_str));
    let delivery = Tidemark::start("delivery", &arguments).await;
    until_ready(&delivery).await;
    eventually(PATIENCE, "tokens are renewed", || async {
        let given = endpoint.given();
        if given >= 3 { Ok(()) } else { Err(format!("{given} tokens")) }
    })
    .await;
    until_it_sets_aside(kafka, "payments", "delivery-service").await;
    assert!(!delivery.log().contains(TokenEndpoint::SECRET), "the secret is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_goes_on_and_publishes_when_its_authority_and_its_certificate_are_renewed() {
    let mut kafka = Secured::start_own();
    let files = Secrets::new();
    let renew = |kafka: &Secured, name: &str| match name {
        "ca.pem" => drop(fs::copy(kafka.file("ca.pem"), files.path("ca.pem")).expect("a copy")),
        _ => {
            let (certificate, key) = kafka.client_identity();
            files.write("client.key", &key);
            files.write("client.pem", &certificate);
        }
    };
    renew(&kafka, "ca.pem");
    renew(&kafka, "client.pem");
    let (address, url, namespace) = (kafka.address(Door::Mutual), redis().url(), redis().namespace());
    let more = [
        flag("security.protocol", "ssl"),
        flag("ssl.ca.location", &files.path("ca.pem")),
        flag("ssl.certificate.location", &files.path("client.pem")),
        flag("ssl.key.location", &files.path("client.key")),
    ]
    .concat();
    let mut arguments = vec!["--kafka", &address, "--redis", &url, "--namespace", &namespace];
    arguments.extend(more.iter().map(String::as_str));
    let order = Tidemark::start("order", &arguments).await;
    until_ready(&order).await;
    until_it_publishes_an_order(&kafka, &order).await;

    // The broker and its clients move to another authority: neither takes the other's old certificate.
    kafka.change_authority();
    until_not_ready(&order, "certificate verify failed").await;
    renew(&kafka, "ca.pem");
    // A broker that refuses a client's certificate closes the connection without a word that its library knows.
    eventually(PATIENCE, "its clients are made anew", || async {
        if order.log().contains("connecting anew") { Ok(()) } else { Err(order.log()) }
    })
    .await;
    until_not_ready(&order, "no broker answers").await;
    renew(&kafka, "client.pem");
    until_ready(&order).await;
    until_it_sets_aside(&kafka, "payments", "order-service").await;
    until_it_publishes_an_order(&kafka, &order).await;
}

/// The flags of a client whose secret is in a file.
fn with_secret_in(kafka: &Secured, endpoint: &TokenEndpoint, secret: &str) -> Vec<String> {
    let secret = ["--x-file".to_string(), format!("sasl.oauthbearer.client.secret={secret}")];
    with_tokens(kafka, endpoint, secret)
}

/// The flags of a client that takes its tokens from the endpoint; `secret` is that of its secret.
fn with_tokens(kafka: &Secured, endpoint: &TokenEndpoint, secret: [String; 2]) -> Vec<String> {
    let flags = [
        flag("security.protocol", "sasl_ssl"),
        flag("ssl.ca.location", &kafka.file("ca.pem")),
        flag("sasl.mechanism", "OAUTHBEARER"),
        flag("sasl.oauthbearer.method", "oidc"),
        flag("sasl.oauthbearer.token.endpoint.url", &endpoint.url),
        flag("sasl.oauthbearer.client.id", TokenEndpoint::CLIENT),
        secret,
    ];
    flags.concat()
}

const NEXT_SECRET: &str = "next-secret-that-nobody-sees";

#[tokio::test(flavor = "multi_thread")]
async fn the_monitor_takes_the_new_client_secret_from_its_file_when_the_old_one_is_refused() {
    let (kafka, files) = (secured(), Secrets::new());
    let endpoint = TokenEndpoint::start(std::time::Duration::from_secs(4)).await;
    files.write("secret", "a-secret-too-early");
    let monitor = monitor(kafka, Door::Token, &with_secret_in(kafka, &endpoint, &files.path("secret"))).await;
    until_refused(&monitor, "authentication_failed", "401 Unauthorized (invalid_client)").await;
    files.write("secret", TokenEndpoint::SECRET);
    until_up(&monitor).await;

    // Its token ends after four seconds; the next one is not given for the old secret.
    endpoint.change_secret(NEXT_SECRET);
    eventually(PATIENCE, "the old secret is refused", || async {
        let up = Metrics::parse(&monitor.get("/metrics").await?).value("tidemark_kafka_up", &[]);
        if up == Some(0.0) { Ok(()) } else { Err(format!("tidemark_kafka_up is {up:?}")) }
    })
    .await;
    let before = endpoint.given();
    files.write("secret", NEXT_SECRET);
    until_up(&monitor).await;
    assert!(endpoint.given() > before, "a token was given for the new secret");
    let mut seen = monitor.log();
    for path in ["/", "/status", "/metrics"] {
        seen += &monitor.get(path).await.expect("a page");
    }
    [TokenEndpoint::SECRET, NEXT_SECRET].iter().for_each(|secret| assert!(!seen.contains(secret), "{secret} is shown"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_takes_the_new_client_secret_from_its_file_when_the_old_one_is_refused() {
    let (kafka, files) = (secured(), Secrets::new());
    let endpoint = TokenEndpoint::start(std::time::Duration::from_secs(4)).await;
    files.write("secret", TokenEndpoint::SECRET);
    let (address, url, namespace) = (kafka.address(Door::Token), redis().url(), redis().namespace());
    let more = with_secret_in(kafka, &endpoint, &files.path("secret"));
    let mut arguments = vec!["--kafka", &address, "--redis", &url, "--namespace", &namespace];
    arguments.extend(more.iter().map(String::as_str));
    let payment = Tidemark::start("payment", &arguments).await;
    until_ready(&payment).await;
    until_it_sets_aside(kafka, "orders", "payment-service").await;

    endpoint.change_secret(NEXT_SECRET);
    // What it is refused with next, the token that has ended, may take the place of the reason on the page.
    eventually(PATIENCE, "the old secret is refused", || async {
        if payment.log().contains("401 Unauthorized (invalid_client)") { Ok(()) } else { Err(payment.log()) }
    })
    .await;
    until_not_ready(&payment, "").await;
    let before = endpoint.given();
    files.write("secret", NEXT_SECRET);
    eventually(PATIENCE, "a token is given for the new secret", || async {
        if endpoint.given() > before { Ok(()) } else { Err("not yet") }
    })
    .await;
    until_ready(&payment).await;
    until_it_sets_aside(kafka, "orders", "payment-service").await;
    [TokenEndpoint::SECRET, NEXT_SECRET].iter().for_each(|secret| assert!(!payment.log().contains(secret), "{secret}"));
}
