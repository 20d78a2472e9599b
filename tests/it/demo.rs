//! `tidemark demo`: the real binary, its pages while it plays, and the summary at its end.

use super::support::{Guarded, PATIENCE, eventually, scratch};
use std::{
    collections::BTreeMap,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

/// A running demo. Its folder outlives the process, because the summary is read from it, and goes with this value.
struct Demo {
    process: Guarded,
    dir: PathBuf,
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn start(arguments: &[&str]) -> Demo {
    let mut command = vec![env!("CARGO_BIN_EXE_tidemark").to_owned(), "demo".to_owned()];
    command.extend(arguments.iter().map(ToString::to_string));
    let dir = scratch("demo");
    Demo { process: Guarded::start(&command, &[], &dir, None), dir }
}

/// The address on the first line.
async fn pages(demo: &Demo) -> String {
    eventually(PATIENCE, "the first line says which address to open", || async {
        let log = demo.process.log();
        let line = log.lines().find(|line| line.starts_with("Tidemark demo: open http://")).ok_or("no such line")?;
        line.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned).ok_or("no address")
    })
    .await
}

async fn text(url: String) -> Result<String, reqwest::Error> {
    reqwest::get(url).await?.error_for_status()?.text().await
}

/// The rows of the summary, by name.
fn summary(log: &str) -> BTreeMap<String, String> {
    let rows = log.lines().skip_while(|line| !line.starts_with("tidemark demo: ")).skip(1);
    rows.filter(|line| line.starts_with("  ") && line.len() > 26)
        .map(|line| (line[..26].trim().to_owned(), line[26..].to_owned()))
        .collect()
}

fn first_number(row: &str) -> u64 {
    let digits: String = row.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_demo_plays_its_faults_on_the_pages_and_ends_with_balanced_books() {
    let mut demo = start(&["--for", "20s", "--listen", "127.0.0.1:0"]);
    let url = pages(&demo).await;
    for fault in
        ["fault", "payment stops", "mails are sent twice", "a producer republishes", "a payload conflict", "poison messages"]
    {
        eventually(PATIENCE, &format!("the page names {fault:?}"), || async {
            let page = text(url.clone()).await.map_err(|error| error.to_string())?;
            if page.contains(fault) { Ok(()) } else { Err("not on the page".to_owned()) }
        })
        .await;
    }
    let metrics = text(format!("{url}metrics")).await.unwrap();
    assert!(metrics.contains("tidemark_"), "{metrics}");
    check_metrics(&metrics);

    let status = demo.process.wait(PATIENCE);
    let log = demo.process.log();
    assert!(status.success(), "{status}\n{log}");
    let rows = summary(&log);
    let row = |name: &str| rows.get(name).unwrap_or_else(|| panic!("no row {name:?} in\n{log}")).as_str();
    assert!(first_number(row("orders")) > 20, "{log}");
    assert!(row("ends").contains(" 0 open; ended twice 0, paid twice 0, delivered twice 0"), "{log}");
    assert!(first_number(row("duplicates, republish")) > 0, "{log}");
    assert_eq!(row("duplicates, conflict"), "3 suppressed, 0 executed", "{log}");
    assert_eq!(row("dead letters"), "3 conflict, 1 failed, 2 malformed", "{log}");
    let twice = row("executed twice");
    let by_mail = twice.strip_prefix("0 by the services, ").unwrap_or_else(|| panic!("{log}"));
    assert!(first_number(by_mail) > 0, "mail-service tells the ledger after its work: {log}");
    for group in ["order-service", "payment-service", "delivery-service", "mail-service"] {
        assert!(row(&format!("books, {group}")).starts_with("balanced: "), "{log}");
    }
    assert!(row("result").starts_with("good: "), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_is_told_to_stop_puts_everything_right_and_sums_up() {
    let mut demo = start(&["--listen", "127.0.0.1:0"]);
    let url = pages(&demo).await;
    eventually(PATIENCE, "orders flow", || async {
        let metrics = text(format!("{url}metrics")).await.map_err(|error| error.to_string())?;
        let flows = metrics.lines().any(|line| line.contains("DELIVERY_COMPLETED") && !line.ends_with(" 0"));
        if flows { Ok(()) } else { Err("nothing delivered yet".to_owned()) }
    })
    .await;
    demo.process.signal("TERM");
    let status = demo.process.wait(PATIENCE);
    let log = demo.process.log();
    assert!(status.success(), "{status}\n{log}");
    assert!(summary(&log).get("result").is_some_and(|row| row.starts_with("good: ")), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut demo = start(&["--listen", &address]);
    let status = demo.process.wait(PATIENCE);
    assert_eq!(status.code(), Some(1));
    assert!(demo.process.log().contains(&format!("cannot listen on {address} for the pages")), "{}", demo.process.log());
}

fn check_metrics(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed by scripts/install.sh");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
