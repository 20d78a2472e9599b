//! What the monitor needs to know.

use super::{
    ARGS, ClusterConfig, ConfigError, EffectiveSetting, FileConfig, NameFilter, ReceiverConfig, ThresholdTable,
    args::{CollectionArgs, ConnectionArgs, WebArgs},
    cluster::{parse_redis, properties_of_file, refuse_what_no_cluster_takes},
    defaults, effective,
    properties::{self, parse_files, parse_values},
    receivers,
};
use secrecy::SecretString;
use std::{collections::BTreeSet, fs, net::SocketAddr, path::Path, time::Duration};

/// Less would hold no more than a few minutes of a hundred partitions.
const HISTORY_BYTES_MIN: u64 = 1 << 20;

#[derive(Clone, Debug)]
pub struct MonitorConfig {
    pub clusters: Vec<ClusterConfig>,
    pub interval: Duration,
    /// Named groups: nothing is listed then. Empty means every group that a listing gives.
    pub groups: Vec<String>,
    pub group_filter: NameFilter,
    pub topic_filter: NameFilter,
    pub granularity: Granularity,
    pub max_series: usize,
    pub stalled_after: Duration,
    pub window: Duration,
    pub history_bytes: u64,
    pub thresholds: ThresholdTable,
    pub receivers: Vec<ReceiverConfig>,
    pub web: WebConfig,
    /// All of the above for people, secrets redacted.
    pub effective: Vec<EffectiveSetting>,
}

#[derive(Clone, Debug)]
pub struct WebConfig {
    pub listen: SocketAddr,
    /// Without a slash at the end.
    pub external_url: Option<String>,
    /// Empty, or `/prefix` without a slash at the end.
    pub route_prefix: String,
    pub allowed_hosts: Vec<String>,
}

/// Finest level of the lag series in `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granularity {
    Partition,
    Topic,
    Group,
}

impl MonitorConfig {
    /// Resolves flags and variables over the file over the defaults.
    pub fn resolve(connection: &ConnectionArgs, collection: &CollectionArgs, web: &WebArgs) -> Result<Self, ConfigError> {
        let file = FileConfig::of(connection)?;
        let duration = |key: &str, arg: &Option<String>, in_file: &Option<String>, default: Duration| {
            layered_duration(key, arg, in_file, &file.origin, default)
        };
        let interval = duration("interval", &collection.interval, &file.interval, defaults::INTERVAL)?;
        let default = defaults::STALLED_AFTER.max(interval * 3);
        let stalled_after = duration("stalled-after", &collection.stalled_after, &file.stalled_after, default)?;
        let window = duration("window", &collection.window, &file.window, defaults::WINDOW.max(stalled_after))?;
        let mut config = Self {
            clusters: resolve_watched(connection, &file)?,
            interval,
            groups: if collection.filter.group.is_empty() {
                file.group.clone().unwrap_or_default()
            } else {
                collection.filter.group.clone()
            },
            group_filter: layered_filter(
                "groups",
                [&collection.filter.groups_include, &collection.filter.groups_exclude],
                [&file.groups_include, &file.groups_exclude],
                &file.origin,
            )?,
            topic_filter: layered_filter(
                "topics",
                [&collection.filter.topics_include, &collection.filter.topics_exclude],
                [&file.topics_include, &file.topics_exclude],
                &file.origin,
            )?,
            granularity: layered(&collection.granularity, &file.granularity, &file.origin)
                .map_or(Ok(Granularity::Partition), |(value, origin)| Granularity::parse(origin, &value))?,
            max_series: collection.max_series.or(file.max_series).unwrap_or(defaults::MAX_SERIES),
            stalled_after,
            window,
            history_bytes: collection.history_bytes.or(file.history_bytes).unwrap_or(defaults::HISTORY_BYTES),
            thresholds: file.thresholds.clone(),
            receivers: receivers::resolve(&file)?,
            web: resolve_web(web, &file)?,
            effective: Vec::new(),
        };
        config.validate(collection, &file)?;
        config.effective = effective::list(&config, collection, web, &file);
        Ok(config)
    }

    fn validate(&self, args: &CollectionArgs, file: &FileConfig) -> Result<(), ConfigError> {
        self.thresholds.validate(&file.origin)?;
        let origin = |arg: bool, in_file: bool| match (arg, in_file) {
            (true, _) => ARGS,
            (false, true) => file.origin.as_str(),
            (false, false) => "default",
        };
        let of_window = (origin(args.window.is_some(), file.window.is_some()), "window", self.window);
        let of_stalled =
            (origin(args.stalled_after.is_some(), file.stalled_after.is_some()), "stalled-after", self.stalled_after);
        // Between two readings nothing can be seen to move.
        let orders = [(of_window, "stalled-after", self.stalled_after), (of_stalled, "interval", self.interval)];
        for ((origin, key, span), other, least) in orders {
            if span < least {
                let [span, least] = [span, least].map(|span| humantime::format_duration(span).to_string());
                let rule = format!("must not be shorter than {other}, which is {least}");
                return Err(ConfigError::new(origin, key, span, rule));
            }
        }
        if self.history_bytes < HISTORY_BYTES_MIN {
            let (value, rule) = (self.history_bytes.to_string(), format!("must be at least {HISTORY_BYTES_MIN}"));
            let origin = origin(args.history_bytes.is_some(), file.history_bytes.is_some());
            return Err(ConfigError::new(origin, "history-bytes", value, rule));
        }
        let mut names = BTreeSet::new();
        match self.clusters.iter().find(|cluster| !names.insert(cluster.name.as_str())) {
            Some(twice) => Err(ConfigError::new(&file.origin, "cluster.name", &twice.name, "must be unique")),
            None => Ok(()),
        }
    }
}

impl Granularity {
    fn parse(origin: &str, value: &str) -> Result<Self, ConfigError> {
        match value {
            "partition" => Ok(Self::Partition),
            "topic" => Ok(Self::Topic),
            "group" => Ok(Self::Group),
            _ => Err(ConfigError::new(origin, "granularity", value, "must be partition, topic or group")),
        }
    }
}

/// The value of the highest layer that has one, with where it came from.
fn layered<'a, T: Clone>(arg: &Option<T>, file: &Option<T>, file_origin: &'a str) -> Option<(T, &'a str)> {
    arg.clone().map(|value| (value, ARGS)).or_else(|| file.clone().map(|value| (value, file_origin)))
}

pub(crate) fn layered_duration(
    key: &str,
    arg: &Option<String>,
    file: &Option<String>,
    file_origin: &str,
    default: Duration,
) -> Result<Duration, ConfigError> {
    layered(arg, file, file_origin).map_or(Ok(default), |(value, origin)| parse_duration(origin, key, &value))
}

pub(crate) fn parse_duration(origin: &str, key: &str, value: &str) -> Result<Duration, ConfigError> {
    match humantime::parse_duration(value) {
        Ok(duration) if duration >= Duration::from_millis(100) => Ok(duration),
        Ok(_) => Err(ConfigError::new(origin, key, value, "must be at least 100ms")),
        Err(_) => Err(ConfigError::new(origin, key, value, "must be a duration such as 500ms, 10s, 5m or 7d")),
    }
}

fn layered_filter(
    key: &str,
    args: [&Option<String>; 2],
    file: [&Option<String>; 2],
    file_origin: &str,
) -> Result<NameFilter, ConfigError> {
    let [include, exclude] = [0, 1].map(|i| layered(args[i], file[i], file_origin));
    let [include, exclude] =
        [&include, &exclude].map(|one| one.as_ref().map(|(pattern, origin)| (pattern.as_str(), *origin)));
    NameFilter::new(key, include, exclude)
}

pub(crate) fn parse_listen(origin: &str, value: &str) -> Result<SocketAddr, ConfigError> {
    value
        .parse()
        .map_err(|_| ConfigError::new(origin, "listen", value, "must be ADDRESS:PORT, such as 127.0.0.1:8720 or [::]:8720"))
}

pub(crate) fn layered_listen(arg: &Option<String>, file: &FileConfig, default: &str) -> Result<SocketAddr, ConfigError> {
    match layered(arg, &file.listen, &file.origin) {
        Some((value, origin)) => parse_listen(origin, &value),
        None => parse_listen("default", default),
    }
}

/// The clusters of a monitor, which has no other use for settings of the one that `--kafka` names: other commands read a ledger that
/// belongs to no cluster of the file.
pub(crate) fn resolve_watched(args: &ConnectionArgs, file: &FileConfig) -> Result<Vec<ClusterConfig>, ConfigError> {
    if args.kafka.is_none() && file.kafka.is_none() && !file.cluster.is_empty() {
        refuse_what_no_cluster_takes(args, file)?;
    }
    resolve_clusters(args, file)
}

/// `--kafka` describes one cluster and wins over every `[[cluster]]` of the file.
pub(crate) fn resolve_clusters(args: &ConnectionArgs, file: &FileConfig) -> Result<Vec<ClusterConfig>, ConfigError> {
    let name = args.cluster_name.clone().or(file.cluster_name.clone()).unwrap_or_else(|| defaults::CLUSTER_NAME.to_owned());
    let namespace = args.namespace.clone().or(file.namespace.clone()).unwrap_or_else(|| defaults::NAMESPACE.to_owned());
    let own_redis = resolve_redis(args, file)?;
    let mut clusters = Vec::new();
    if let Some((bootstrap, origin)) = layered(&args.kafka, &file.kafka, &file.origin) {
        let mut properties = properties_of_file(&file.origin, &file.properties, &file.properties_file)?;
        for (values, files) in
            [(&args.property_from_environment, &args.property_file_from_environment), (&args.property, &args.property_file)]
        {
            properties.extend(properties::layer(ARGS, parse_values(values)?, parse_files(files)?)?);
        }
        let cluster = ClusterConfig { name, bootstrap, properties, redis: own_redis, namespace };
        cluster.validate(origin)?;
        clusters.push(cluster);
    }
    if args.kafka.is_none() {
        for entry in &file.cluster {
            let cluster = ClusterConfig {
                name: entry.name.clone(),
                bootstrap: entry.kafka.clone(),
                properties: properties_of_file(&file.origin, &entry.properties, &entry.properties_file)?,
                redis: read_redis(&file.origin, entry.redis.as_deref(), entry.redis_file.as_deref().map(Path::new))?,
                namespace: entry.namespace.clone().unwrap_or_else(|| defaults::NAMESPACE.to_owned()),
            };
            cluster.validate(&file.origin)?;
            clusters.push(cluster);
        }
    }
    if clusters.is_empty() {
        return Err(ConfigError::new(
            ARGS,
            "kafka",
            "",
            "is needed: give --kafka HOST:PORT, TIDEMARK_KAFKA or [[cluster]] in --config",
        ));
    }
    Ok(clusters)
}

/// The ledger's address outside `[[cluster]]`.
pub(crate) fn resolve_redis(args: &ConnectionArgs, file: &FileConfig) -> Result<Option<SecretString>, ConfigError> {
    let from_args = read_redis(ARGS, args.redis.as_deref(), args.redis_file.as_deref())?;
    match from_args {
        Some(redis) => Ok(Some(redis)),
        None => read_redis(&file.origin, file.redis.as_deref(), file.redis_file.as_deref().map(Path::new)),
    }
}

fn read_redis(origin: &str, url: Option<&str>, from_file: Option<&Path>) -> Result<Option<SecretString>, ConfigError> {
    if let Some(url) = url {
        return parse_redis(origin, url).map(Some);
    }
    let Some(path) = from_file else { return Ok(None) };
    let text = fs::read_to_string(path).map_err(|error| {
        ConfigError::new(origin, "redis-file", path.display().to_string(), format!("must be a readable file ({error})"))
    })?;
    parse_redis(origin, text.trim()).map(Some)
}

fn resolve_web(args: &WebArgs, file: &FileConfig) -> Result<WebConfig, ConfigError> {
    let external_url = match layered(&args.external_url, &file.external_url, &file.origin) {
        None => None,
        Some((url, origin)) => Some(parse_external_url(origin, &url)?),
    };
    let route_prefix = match layered(&args.route_prefix, &file.route_prefix, &file.origin) {
        Some((prefix, origin)) => parse_prefix(origin, &prefix)?,
        None => external_url.as_deref().map(path_of).unwrap_or_default(),
    };
    Ok(WebConfig {
        listen: layered_listen(&args.listen, file, defaults::MONITOR_LISTEN)?,
        external_url,
        route_prefix,
        allowed_hosts: if args.allowed_host.is_empty() {
            file.allowed_host.clone().unwrap_or_default()
        } else {
            args.allowed_host.clone()
        },
    })
}

fn parse_external_url(origin: &str, url: &str) -> Result<String, ConfigError> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    match rest.filter(|rest| !rest.is_empty() && !rest.contains(['?', '#']) && !rest.contains(char::is_whitespace)) {
        Some(_) => Ok(url.trim_end_matches('/').to_owned()),
        None => Err(ConfigError::new(origin, "external-url", url, "must be an http:// or https:// address without query")),
    }
}

/// The path part of a URL, as a route prefix.
fn path_of(url: &str) -> String {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    after_scheme.find('/').map(|slash| after_scheme[slash..].trim_end_matches('/').to_owned()).unwrap_or_default()
}

fn parse_prefix(origin: &str, prefix: &str) -> Result<String, ConfigError> {
    let trimmed = prefix.trim_end_matches('/');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
    if trimmed.is_empty() || (trimmed.starts_with('/') && !trimmed.contains("//") && trimmed.chars().all(plain)) {
        return Ok(trimmed.to_owned());
    }
    Err(ConfigError::new(origin, "route-prefix", prefix, "must be a path such as /tidemark, of letters, digits and - _ . ~"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Property, args::FilterArgs};

    fn args(kafka: &str) -> ConnectionArgs {
        ConnectionArgs { kafka: Some(kafka.to_owned()), ..ConnectionArgs::default() }
    }

    #[test]
    fn defaults_are_those_of_the_documentation() {
        let config = MonitorConfig::resolve(&args("k:9092"), &CollectionArgs::default(), &WebArgs::default()).unwrap();
        assert_eq!(config.web.listen.to_string(), "127.0.0.1:8720");
        assert_eq!((config.interval, config.stalled_after), (Duration::from_secs(10), Duration::from_secs(60)));
        let slow = CollectionArgs { interval: Some("5m".into()), ..CollectionArgs::default() };
        let slow = MonitorConfig::resolve(&args("k:9092"), &slow, &WebArgs::default()).unwrap();
        assert_eq!((slow.stalled_after, slow.window), (Duration::from_secs(900), Duration::from_secs(900)));
        assert_eq!(config.clusters[0].name, "local");
        assert_eq!(config.clusters[0].namespace, "shop");
        assert_eq!(config.granularity, Granularity::Partition);
    }

    #[test]
    fn without_a_cluster_the_error_says_how_to_give_one() {
        let error =
            MonitorConfig::resolve(&ConnectionArgs::default(), &CollectionArgs::default(), &WebArgs::default()).unwrap_err();
        assert!(error.to_string().contains("--kafka HOST:PORT"), "{error}");
    }

    #[test]
    fn an_argument_wins_over_the_file_and_the_file_over_the_default() {
        let path = std::env::temp_dir().join(format!("tidemark-config-{}.toml", std::process::id()));
        fs::write(&path, "kafka = \"file:1\"\ninterval = \"7s\"\nwindow = \"3m\"\n").unwrap();
        let connection = ConnectionArgs { config: Some(path.clone()), ..ConnectionArgs::default() };
        let collection = CollectionArgs { interval: Some("2s".into()), ..CollectionArgs::default() };
        let config = MonitorConfig::resolve(&connection, &collection, &WebArgs::default()).unwrap();
        fs::remove_file(path).unwrap();
        assert_eq!(config.interval, Duration::from_secs(2));
        assert_eq!(config.window, Duration::from_secs(180));
        assert_eq!(config.stalled_after, Duration::from_secs(60));
        assert_eq!(config.clusters[0].bootstrap, "file:1");
    }

    #[test]
    fn a_property_in_a_file_has_the_rank_of_the_layer_that_names_it() {
        let folder = std::env::temp_dir().join(format!("tidemark-layers-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let secret = |name: &str| {
            let path = folder.join(name);
            fs::write(&path, name).unwrap();
            path.display().to_string()
        };
        let file = folder.join("tidemark.toml");
        let text = format!(
            "kafka = \"k:1\"\n[X]\n\"client.id\" = \"file\"\n[x-file]\n\"sasl.password\" = \"{}\"\n\"ssl.key.password\" = \"{}\"\n",
            secret("of-file"),
            secret("kept")
        );
        fs::write(&file, text).unwrap();
        let connection = ConnectionArgs {
            config: Some(file),
            property_file_from_environment: vec![
                format!("sasl.password={}", secret("of-environment")),
                format!("client.id={}", secret("id")),
            ],
            property: vec!["sasl.password=of-flag".to_owned()],
            ..ConnectionArgs::default()
        };
        let config = MonitorConfig::resolve(&connection, &CollectionArgs::default(), &WebArgs::default()).unwrap();
        let shown: Vec<String> =
            config.effective.iter().map(|setting| format!("{} {}", setting.key, setting.value)).collect();
        fs::remove_dir_all(&folder).unwrap();
        let properties = &config.clusters[0].properties;
        assert_eq!(properties["sasl.password"], Property::from("of-flag"));
        assert_eq!(properties["client.id"].path(), Some(folder.join("id").as_path()));
        assert_eq!(properties["ssl.key.password"].path(), Some(folder.join("kept").as_path()));
        assert!(shown.contains(&"cluster local property sasl.password = ***".to_owned()), "{shown:?}");
    }

    #[test]
    fn each_bad_value_is_refused_with_its_key() {
        let bad = |key: &str, collection: CollectionArgs, web: WebArgs| {
            assert_eq!(MonitorConfig::resolve(&args("k:1"), &collection, &web).unwrap_err().key, key);
        };
        let none = CollectionArgs::default;
        bad("interval", CollectionArgs { interval: Some("soon".into()), ..none() }, WebArgs::default());
        bad("interval", CollectionArgs { interval: Some("0s".into()), ..none() }, WebArgs::default());
        bad("granularity", CollectionArgs { granularity: Some("fine".into()), ..none() }, WebArgs::default());
        bad(
            "groups-include",
            CollectionArgs { filter: FilterArgs { groups_include: Some("[".into()), ..FilterArgs::default() }, ..none() },
            WebArgs::default(),
        );
        bad("window", CollectionArgs { window: Some("1s".into()), ..none() }, WebArgs::default());
        bad("stalled-after", CollectionArgs { stalled_after: Some("9s".into()), ..none() }, WebArgs::default());
        bad("history-bytes", CollectionArgs { history_bytes: Some(10), ..none() }, WebArgs::default());
        bad("listen", none(), WebArgs { listen: Some("8720".into()), ..WebArgs::default() });
        bad("route-prefix", none(), WebArgs { route_prefix: Some("x".into()), ..WebArgs::default() });
        bad("external-url", none(), WebArgs { external_url: Some("tidemark.example".into()), ..WebArgs::default() });
    }

    #[test]
    fn the_route_prefix_follows_the_external_url() {
        let web = WebArgs { external_url: Some("https://ops.example/tools/tidemark/".into()), ..WebArgs::default() };
        let config = MonitorConfig::resolve(&args("k:1"), &CollectionArgs::default(), &web).unwrap();
        assert_eq!(config.web.route_prefix, "/tools/tidemark");
    }
}
