//! What Grafana and Prometheus make of the real thing: a real Prometheus scrapes the real roles, every query of every
//! dashboard is run there and returns data, the shipped rules evaluate, and promtool has nothing to say about the pages.

use crate::support::{Guarded, Kafka, PATIENCE, Record, Tidemark, eventually, free_ports, redis, root, scratch};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, io::Write as _, process::Stdio};

/// Queries that rightly return nothing while all is well: dashboard, panel, how the query ends, and why.
const RIGHTLY_EMPTY: [(&str, &str, &str, &str); 3] = [
    ("tidemark-overview", "Messages deleted before they were read", "> 0", "only losses are drawn, and nothing was lost"),
    ("tidemark-idempotency", "In flight, and imbalance", "!= 0", "the books balance"),
    ("tidemark-idempotency", "Orders under way, and stuck", "> 0", "no order is stuck"),
];

/// The three services and the monitor on a Kafka of their own, since topics and groups have fixed names there.
struct Shop {
    kafka: Kafka,
    order: Tidemark,
    monitor: Tidemark,
    others: [Tidemark; 2],
}

impl Shop {
    async fn start() -> Self {
        let kafka = Kafka::start();
        let (bootstrap, url, namespace) = (kafka.bootstrap(), redis().url(), redis().namespace());
        let common = ["--kafka", &bootstrap, "--redis", &url, "--namespace", &namespace];
        let order = Tidemark::start("order", &common).await;
        let others = [Tidemark::start("payment", &common).await, Tidemark::start("delivery", &common).await];
        let quick = ["--interval", "1s", "--stalled-after", "5s", "--window", "60s"];
        let monitor = Tidemark::start("monitor", &[&common[..], &quick].concat()).await;
        let shop = Self { kafka, order, monitor, others };
        for role in shop.roles() {
            eventually(PATIENCE, "the role is ready", || role.get("/readyz")).await;
        }
        shop
    }

    fn roles(&self) -> impl Iterator<Item = &Tidemark> {
        [&self.order, &self.monitor].into_iter().chain(&self.others)
    }

    async fn order(&self) {
        let body = json!({
            "customer": "ada",
            "items": [{"sku": "tea", "quantity": 1, "unit_price": 4500}],
            "currency": "KRW",
        });
        let answer = self.order.http().post(self.order.url("/orders")).json(&body).send().await;
        assert_eq!(answer.expect("the order service answers").status(), 202);
    }

    /// Waits until the monitor's page has a series of this name and label above 0.
    async fn counts(&self, name: &str, label: &str) {
        eventually(PATIENCE, &format!("{name} counts {label}"), || async {
            let page = self.monitor.get("/metrics").await?;
            let lines: Vec<&str> = page.lines().filter(|line| line.starts_with(name) && line.contains(label)).collect();
            if lines.iter().any(|line| !line.ends_with(" 0")) { Ok(()) } else { Err(format!("{lines:?}")) }
        })
        .await;
    }

    /// A copy of the first order's event: published again, it is a duplicate that the payment service recognises.
    async fn copy_of_an_event(&self) -> [Record; 1] {
        let events = self.kafka.read_all("orders").await;
        [Record::copy_of(events.first().expect("an order was published"))]
    }

    fn jobs(&self) -> [Job; 2] {
        let host = |role: &Tidemark| role.url("").trim_start_matches("http://").to_owned();
        let services: Vec<String> =
            [&self.order].into_iter().chain(&self.others).map(|role| format!("'{}'", host(role))).collect();
        let job = |name, targets| Job { name, path: "/metrics", targets };
        [job("tidemark", format!("'{}'", host(&self.monitor))), job("tidemark-services", services.join(","))]
    }
}

/// What is scraped: a page of these comma-separated, quoted addresses.
pub struct Job {
    pub name: &'static str,
    pub path: &'static str,
    pub targets: String,
}

/// A real Prometheus with the shipped rules.
pub struct Prometheus {
    url: String,
    http: reqwest::Client,
    _process: Guarded,
}

impl Prometheus {
    pub async fn start(jobs: &[Job]) -> Self {
        let dir = scratch("prometheus");
        let rules = root().join("prometheus/tidemark.rules.yml");
        let mut config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n",
            rules.display()
        );
        for Job { name, path, targets } in jobs {
            config +=
                &format!("  - {{job_name: {name}, metrics_path: {path}, static_configs: [{{targets: [{targets}]}}]}}\n");
        }
        fs::write(dir.join("prometheus.yml"), config).expect("the configuration can be written");
        let [port] = free_ports();
        let command = [
            "prometheus".to_owned(),
            format!("--config.file={}", dir.join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", dir.join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        let process = Guarded::start(&command, &[], &dir, Some(&dir));
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("an HTTP client can be made");
        let prometheus = Self { url: format!("http://127.0.0.1:{port}"), http, _process: process };
        eventually(PATIENCE, "Prometheus is ready", || async {
            let answer = prometheus.http.get(format!("{}/-/ready", prometheus.url)).send().await;
            answer.and_then(reqwest::Response::error_for_status)
        })
        .await;
        prometheus
    }

    /// `data` of an answer of the API, or what it says is wrong.
    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, String> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/{path}", self.url), query).expect("a URL");
        let answer = self.http.get(url).send().await.map_err(|error| error.to_string())?;
        let body: Value = answer.json().await.map_err(|error| error.to_string())?;
        if body["status"] == "success" { Ok(body["data"].clone()) } else { Err(format!("{query:?}: {body}")) }
    }

    /// Samples of an instant query that are numbers.
    pub async fn samples(&self, promql: &str) -> Result<usize, String> {
        let data = self.get("query", &[("query", promql)]).await?;
        let series = data["result"].as_array().ok_or("no result")?;
        Ok(series.iter().filter(|one| one["value"][1] != "NaN").count())
    }
}

/// One query of a dashboard, as Grafana sends it.
struct Query {
    dashboard: String,
    panel: String,
    promql: String,
}

fn dashboards() -> Vec<Value> {
    let folder = fs::read_dir(root().join("grafana/dashboards")).expect("the dashboards are there");
    folder
        .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("a dashboard can be read"))
        .map(|text| serde_json::from_str(&text).expect("a dashboard is JSON"))
        .collect()
}

fn queries(dashboard: &Value, variables: &BTreeMap<&str, &str>) -> Vec<Query> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets =
        panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten().map(move |target| (panel, target)));
    targets
        .map(|(panel, target)| Query {
            dashboard: text(&dashboard["uid"]),
            panel: text(&panel["title"]),
            promql: substituted(&text(&target["expr"]), variables),
        })
        .collect()
}

/// Puts the values of variables in place of `$name`; an unknown variable is a mistake in the dashboard.
fn substituted(promql: &str, variables: &BTreeMap<&str, &str>) -> String {
    let mut parts = promql.split('$');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
        let name = &part[..end];
        out += variables.get(name).unwrap_or_else(|| panic!("unknown variable ${name} in {promql}"));
        out += &part[end..];
    }
    out
}

fn rightly_empty(query: &Query) -> bool {
    RIGHTLY_EMPTY.iter().any(|(dashboard, panel, part, _)| {
        query.dashboard == *dashboard && query.panel == *panel && query.promql.ends_with(part)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_every_dashboard_returns_data_from_a_prometheus_that_scrapes_the_real_roles() {
    let shop = Shop::start().await;
    let prometheus = Prometheus::start(&shop.jobs()).await;
    for _ in 0..10 {
        shop.order().await;
    }
    shop.counts("tidemark_saga_events_total", "type=\"ORDER_COMPLETED\"").await;
    let copy = shop.copy_of_an_event().await;
    shop.kafka.produce("orders", &copy).await;
    shop.counts("tidemark_event_duplicates_total", "cause=\"republish\",outcome=\"suppressed\"").await;
    shop.counts("tidemark_event_duplicate_gap_seconds_count", "group=\"payment-service\"").await;

    for dashboard in dashboards() {
        let single = dashboard["uid"] == "tidemark-group";
        let variables = BTreeMap::from([
            ("cluster", if single { "local" } else { ".*" }),
            ("group", if single { "payment-service" } else { ".*" }),
            ("__rate_interval", "1m"),
            ("__range", "5m"),
        ]);
        for query in queries(&dashboard, &variables) {
            let expected = !rightly_empty(&query);
            let what = format!("{}, {}: {}", query.dashboard, query.panel, query.promql);
            eventually(PATIENCE, &what, || async {
                // Traffic and duplicates go on, so that rates have something to count.
                shop.order().await;
                shop.kafka.produce("orders", &copy).await;
                let samples = prometheus.samples(&query.promql).await?;
                if (samples > 0) == expected { Ok(()) } else { Err(format!("{samples} samples")) }
            })
            .await;
        }
        check_variables(&prometheus, &dashboard, &variables).await;
    }
    check_targets_and_rules(&prometheus).await;
    for role in shop.roles() {
        check_page(role).await;
    }
}

/// The choices of every variable, and the query of every annotation.
async fn check_variables(prometheus: &Prometheus, dashboard: &Value, variables: &BTreeMap<&str, &str>) {
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        let Some(query) = variable["definition"].as_str() else { continue };
        let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).expect("label_values");
        let (series, label) = inner.rsplit_once(", ").expect("a series and a label");
        let series = substituted(series, variables);
        let values = prometheus.get(&format!("label/{label}/values"), &[("match[]", &series)]).await;
        let values = values.expect("the label has values");
        assert!(values.as_array().is_some_and(|values| !values.is_empty()), "{query} offers nothing");
    }
    for annotation in dashboard["annotations"]["list"].as_array().expect("annotations") {
        let promql = substituted(annotation["expr"].as_str().expect("a query"), variables);
        // Nothing fires, so that only the query itself can be wrong.
        prometheus.samples(&promql).await.expect("the annotation's query is valid");
    }
}

async fn check_targets_and_rules(prometheus: &Prometheus) {
    let targets = prometheus.get("targets", &[("state", "active")]).await.expect("targets");
    let targets = targets["activeTargets"].as_array().expect("targets");
    assert_eq!(targets.len(), 4);
    for target in targets {
        assert_eq!((&target["health"], &target["lastError"]), (&"up".into(), &"".into()), "{target}");
    }
    let groups = prometheus.get("rules", &[]).await.expect("rules");
    let rules: Vec<&Value> = groups["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules"))
        .collect();
    assert!(rules.len() > 30);
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        assert_ne!(rule["state"], "firing", "nothing is wrong here: {rule}");
    }
}

/// The page of a real process is clean under promtool.
async fn check_page(role: &Tidemark) {
    let page = role.get("/metrics").await.expect("the page of metrics");
    let mut promtool = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is missing: apt-get install prometheus");
    promtool.stdin.take().expect("its input").write_all(page.as_bytes()).expect("the page can be written");
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.trim().is_empty(), "{}: {said}", role.url("/metrics"));
}
