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
    eventually(PATIENCE, "the refusal is told", || async {
        let (status, body) = order.ask("/readyz").await?;
        if status == 503 && body.contains("refused SASL") { Ok(()) } else { Err(format!("{status}: {body}")) }
    })
    .await;
    files.write("password", passwords[1]);
    eventually(PATIENCE, "the service is ready", || order.get("/readyz")).await;

    kafka.set_scram_password(&user, passwords[2]).await;
    eventually(PATIENCE, "the old password is refused", || async {
        let (status, body) = order.ask("/readyz").await?;
        if status == 503 && body.contains("uthentication") { Ok(()) } else { Err(format!("{status}: {body}")) }
    })
    .await;
    files.write("password", passwords[2]);
    eventually(PATIENCE, "the service is ready again", || order.get("/readyz")).await;

    // Its consumer reads again, and its producer writes: what it cannot read goes to the dead-letter topic.
    kafka.kafka.produce("payments", &[Record::of("no event")]).await;
    eventually(PATIENCE, "the dead letter", || async {
        let ends = kafka.kafka.ends("payments.order-service.dlt").await;
        if ends.iter().any(|(_, end)| *end > 0) { Ok(()) } else { Err(format!("{ends:?}")) }
    })
    .await;
    let body = json!({"customer": "c", "items": [{"sku": "s", "quantity": 1, "unit_price": 5}], "currency": "EUR"});
    let answer = order.http().post(order.url("/orders")).json(&body).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 202);
    eventually(PATIENCE, "the order is published", || async {
        let ends = kafka.kafka.ends("orders").await;
        if ends.iter().any(|(_, end)| *end > 0) { Ok(()) } else { Err(format!("{ends:?}")) }
    })
    .await;
    passwords.iter().for_each(|password| assert!(!order.log().contains(password), "{password} is in the log"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_takes_part_with_tokens() {
    let (kafka, endpoint) = (secured(), TokenEndpoint::start(std::time::Duration::from_secs(4)).await);
    let (address, url, namespace) = (kafka.address(Door::Token), redis().url(), redis().namespace());
    let more = [
        flag("security.protocol", "sasl_ssl"),
        flag("ssl.ca.location", &kafka.file("ca.pem")),
        flag("sasl.mechanism", "OAUTHBEARER"),
        flag("sasl.oauthbearer.method", "oidc"),
        flag("sasl.oauthbearer.token.endpoint.url", &endpoint.url),
        flag("sasl.oauthbearer.client.id", TokenEndpoint::CLIENT),
        flag("sasl.oauthbearer.client.secret", TokenEndpoint::SECRET),
    ]
    .concat();
    let mut arguments = vec!["--kafka", &address, "--redis", &url, "--namespace", &namespace];
    arguments.extend(more.iter().map(String::as_str));
    let delivery = Tidemark::start("delivery", &arguments).await;
    eventually(PATIENCE, "the service is ready", || delivery.get("/readyz")).await;
    eventually(PATIENCE, "tokens are renewed", || async {
        let given = endpoint.given();
        if given >= 3 { Ok(()) } else { Err(format!("{given} tokens")) }
    })
    .await;
    let before = kafka.kafka.ends("payments.delivery-service.dlt").await;
    kafka.kafka.produce("payments", &[Record::of("no event")]).await;
    eventually(PATIENCE, "the dead letter", || async {
        let ends = kafka.kafka.ends("payments.delivery-service.dlt").await;
        if ends != before { Ok(()) } else { Err(format!("{ends:?}")) }
    })
    .await;
    assert!(!delivery.log().contains(TokenEndpoint::SECRET), "the secret is in the log");
}
