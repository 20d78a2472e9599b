//! Holds docker-compose.yml, the Dockerfile and the configuration that they mount together: what one names, the other has. It
//! cannot start a container; it can see that files exist, that flags parse, and that ports and names agree.

#![allow(clippy::expect_used, clippy::unwrap_used)]

use serde_yaml_ng::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn yaml(path: &str) -> Value {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut value: Value = serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    value.apply_merge().unwrap();
    value
}

/// The services of docker-compose.yml by name, their `<<` resolved.
fn services() -> BTreeMap<String, Value> {
    let compose = yaml("docker-compose.yml");
    let services = compose["services"].as_mapping().unwrap();
    services.iter().map(|(name, service)| (name.as_str().unwrap().to_owned(), service.clone())).collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_sequence().map(|all| all.iter().map(text).collect()).unwrap_or_default()
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => panic!("not a text: {other:?}"),
    }
}

fn environment(service: &Value) -> BTreeMap<String, String> {
    let Some(pairs) = service["environment"].as_mapping() else { return BTreeMap::new() };
    pairs.iter().filter(|(name, _)| name.as_str() != Some("<<")).map(|(name, value)| (text(name), text(value))).collect()
}

/// Services that run our binary.
fn roles() -> BTreeMap<String, Value> {
    services().into_iter().filter(|(_, service)| service["image"] == "tidemark:local").collect()
}

fn tidemark(arguments: &[String]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tidemark")).args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn every_part_is_there() {
    let names: Vec<String> = services().into_keys().collect();
    let wanted = [
        "alertmanager",
        "delivery",
        "grafana",
        "kafka-1",
        "kafka-2",
        "kafka-3",
        "monitor",
        "order",
        "payment",
        "prometheus",
        "redis",
    ];
    assert_eq!(names, wanted);
    assert_eq!(roles().into_keys().collect::<Vec<_>>(), ["delivery", "monitor", "order", "payment"]);
}

#[test]
fn every_service_has_a_health_check_and_waits_for_the_health_of_what_it_needs() {
    let services = services();
    for (name, service) in &services {
        let check = texts(&service["healthcheck"]["test"]);
        assert!(check.len() > 1 && check[0] == "CMD", "{name} has no health check");
        let Some(needs) = service["depends_on"].as_mapping() else { continue };
        for (needed, how) in needs {
            assert!(services.contains_key(needed.as_str().unwrap()), "{name} needs {needed:?}, which is no service");
            assert_eq!(how["condition"], "service_healthy", "{name} does not wait for the health of {needed:?}");
        }
    }
    for waiting in ["order", "payment", "delivery", "monitor", "prometheus", "grafana"] {
        assert!(
            services[waiting]["depends_on"].as_mapping().is_some_and(|needs| !needs.is_empty()),
            "{waiting} waits for nothing"
        );
    }
    let compose = fs::read_to_string(root().join("docker-compose.yml")).unwrap();
    assert!(!compose.contains("sleep "), "a health check stands in place of a sleep");
}

#[test]
fn mounted_files_exist_and_volumes_are_declared() {
    let compose = yaml("docker-compose.yml");
    let declared: BTreeSet<String> = compose["volumes"].as_mapping().unwrap().keys().map(text).collect();
    let mut used = BTreeSet::new();
    for (name, service) in services() {
        for volume in texts(&service["volumes"]) {
            let source = volume.split(':').next().unwrap().to_owned();
            if source.starts_with('.') {
                assert!(root().join(&source).exists(), "{name} mounts {source}, which does not exist");
                assert!(volume.ends_with(":ro"), "{name} could write to {source}");
            } else {
                used.insert(source);
            }
        }
    }
    assert_eq!(used, declared);
}

#[test]
fn ports_are_published_once_and_on_this_machine_only() {
    let mut published = BTreeSet::new();
    for (name, service) in services() {
        for port in texts(&service["ports"]) {
            let parts: Vec<&str> = port.split(':').collect();
            assert!(parts.len() == 3 && parts[0] == "127.0.0.1" && parts[1] == parts[2], "{name}: {port}");
            assert!(published.insert(parts[1].to_owned()), "{port} is published twice");
        }
    }
}

#[test]
fn images_are_pinned() {
    for (name, service) in services() {
        let image = text(&service["image"]);
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        assert!(tag.is_some_and(|tag| tag != "latest"), "{name}: {image}");
    }
}

#[test]
fn each_role_has_flags_and_variables_that_its_command_knows() {
    for (name, service) in roles() {
        let mut command = texts(&service["command"]);
        assert_eq!(command[0], name);
        command.push("--help".to_owned());
        let (understood, help) = tidemark(&command);
        assert!(understood, "{name}: {help}");
        // Long lines of the help are wrapped, in between as well.
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for variable in environment(&service).keys() {
            assert!(help.contains(&format!("[env: {variable}")), "tidemark {name} does not know {variable}:\n{help}");
        }
    }
}

#[test]
fn health_checks_of_the_roles_are_commands_that_parse_and_ask_the_port_that_is_listened_on() {
    for (name, service) in roles() {
        let check = texts(&service["healthcheck"]["test"]);
        assert_eq!(&check[1..3], ["tidemark", "healthcheck"], "{name}");
        let listen = environment(&service)["TIDEMARK_LISTEN"].clone();
        let port = listen.rsplit_once(':').unwrap().1.to_owned();
        assert_eq!(check[3], format!("http://127.0.0.1:{port}/readyz"));
        assert!(listen.starts_with("0.0.0.0:"), "{name} could not be reached from other containers");
        assert_eq!(texts(&service["ports"]), [format!("127.0.0.1:{port}:{port}")]);
        let arguments = [&check[2..], &["--help".to_owned()]].concat();
        assert!(tidemark(&arguments).0, "{name}: {check:?}");
    }
}

#[test]
fn the_brokers_form_one_quorum() {
    let services = services();
    let brokers: Vec<_> = services.iter().filter(|(name, _)| name.starts_with("kafka-")).collect();
    let mut voters = Vec::new();
    for (name, service) in &brokers {
        let environment = environment(service);
        voters.push(format!("{}@{name}:9093", environment["KAFKA_NODE_ID"]));
        let advertised = &environment["KAFKA_ADVERTISED_LISTENERS"];
        assert!(advertised.contains(&format!("INTERNAL://{name}:9092")), "{advertised}");
        let port = texts(&service["ports"])[0].rsplit_once(':').unwrap().1.to_owned();
        assert!(advertised.contains(&format!("HOST://localhost:{port}")), "{advertised}");
    }
    for (_, service) in &brokers {
        assert_eq!(environment(service)["KAFKA_CONTROLLER_QUORUM_VOTERS"], voters.join(","));
    }
    let bootstrap: Vec<String> = brokers.iter().map(|(name, _)| format!("{name}:9092")).collect();
    for (name, role) in roles() {
        assert_eq!(environment(&role)["TIDEMARK_KAFKA"], bootstrap.join(","), "{name}");
    }
}

#[test]
fn redis_keeps_every_write_and_evicts_nothing() {
    let command = texts(&services()["redis"]["command"]).join(" ");
    for setting in ["--appendonly yes", "--maxmemory-policy noeviction"] {
        assert!(command.contains(setting), "{command}");
    }
}

#[test]
fn prometheus_scrapes_every_role_and_its_job_is_the_one_of_the_rules() {
    let config = yaml("prometheus/prometheus.yml");
    let mut scraped = BTreeSet::new();
    for job in config["scrape_configs"].as_sequence().unwrap() {
        let targets: Vec<String> =
            job["static_configs"].as_sequence().unwrap().iter().flat_map(|group| texts(&group["targets"])).collect();
        assert_eq!(job["job_name"] == "tidemark", targets == ["monitor:8720"], "{targets:?}");
        scraped.extend(targets);
    }
    let listening: BTreeSet<String> = roles()
        .iter()
        .map(|(name, role)| format!("{name}:{}", environment(role)["TIDEMARK_LISTEN"].rsplit_once(':').unwrap().1))
        .collect();
    assert_eq!(scraped, listening);
    let alertmanagers = &config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"];
    assert_eq!(texts(alertmanagers), ["alertmanager:9093"]);
}

#[test]
fn the_tools_of_prometheus_accept_its_configuration() {
    let check = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(root())
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; apt-get install prometheus prometheus-alertmanager"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
    };
    check("promtool", &["check", "config", "prometheus/prometheus.yml"]);
    check("amtool", &["check-config", "prometheus/alertmanager.yml"]);
}

#[test]
fn grafana_finds_its_dashboards_and_they_find_their_data_source() {
    let source = yaml("grafana/provisioning/datasources/prometheus.yml")["datasources"][0].clone();
    assert_eq!(source["url"], "http://prometheus:9090");
    let uid = text(&source["uid"]);
    let folder = text(&yaml("grafana/provisioning/dashboards/tidemark.yml")["providers"][0]["options"]["path"]);
    let grafana = &services()["grafana"];
    assert!(texts(&grafana["volumes"]).contains(&format!("./grafana/dashboards:{folder}:ro")));
    let home = environment(grafana)["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"].replace(&folder, "grafana/dashboards");
    assert!(root().join(&home).exists(), "{home}");
    for path in dashboards() {
        let board: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(board["uid"], path.file_stem().unwrap().to_str().unwrap(), "the uid is the file's name and stays");
        assert_eq!(board["templating"]["list"][0]["current"]["value"], uid.as_str());
        let panels = board["panels"].as_array().unwrap();
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{}: a panel's id is used twice", path.display());
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            let title = &panel["title"];
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title}");
        }
    }
}

fn dashboards() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(root().join("grafana/dashboards")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert_eq!(paths.len(), 3);
    paths
}

#[test]
fn the_image_is_built_from_what_is_here() {
    let dockerfile = fs::read_to_string(root().join("Dockerfile")).unwrap();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let minimum: f64 = between(&manifest, "rust-version = \"", "\"").parse().unwrap();
    let image: f64 = between(&dockerfile, "FROM rust:", "-").parse().unwrap();
    // 1.95 reads as a number because Rust's second part has had two digits since 1.10.
    assert!(image >= minimum, "the image's compiler {image} is older than {minimum}");
    assert!(dockerfile.contains("USER 10001"), "the container must not run as root");
    for library in ["ca-certificates", "libssl3", "zlib1g"] {
        assert!(dockerfile.contains(library), "{library} is missing in the image");
    }
    assert!(dockerfile.contains("ENTRYPOINT [\"tidemark\"]"));
    let ignored = fs::read_to_string(root().join(".dockerignore")).unwrap();
    assert!(["target", ".git"].iter().all(|name| ignored.lines().any(|line| line == *name)), "{ignored}");
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> &'a str {
    text.split_once(open).and_then(|(_, rest)| rest.split_once(close)).map(|(inner, _)| inner).unwrap()
}
