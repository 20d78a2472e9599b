//! A real Kafka broker of our own, and clients of it that are not the product's: librdkafka and Kafka's own tools.

use super::process::{Guarded, free_ports, root, scratch};
use super::{PATIENCE, unique};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One broker (KRaft, no other node). Dropping it ends it.
pub struct Kafka {
    port: u16,
    controller_port: u16,
    dir: PathBuf,
    disposable: bool,
    /// Properties that replace or complete those of the script.
    with: Option<PathBuf>,
    /// An option for its Java.
    java: Option<String>,
    server: Mutex<Option<Guarded>>,
}

/// A record to be written by a test.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub partition: Option<i32>,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    /// When the producer says that it was made, in milliseconds since 1970; now where it does not say.
    pub created_ms: Option<i64>,
}

impl Record {
    /// A record that holds only a value.
    pub fn of(payload: impl Into<Vec<u8>>) -> Record {
        Record { payload: Some(payload.into()), ..Record::default() }
    }

    /// The same record as one that was read, so that it can be published once more.
    pub fn copy_of(message: &OwnedMessage) -> Record {
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_string(), header.value.unwrap_or_default().to_vec())).collect()
        });
        Record {
            partition: Some(message.partition()),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
            created_ms: None,
        }
    }
}

impl Kafka {
    /// Starts a broker that can be stopped and started again with its data.
    pub fn start() -> Kafka {
        Kafka::launch(false, free_ports(), "")
    }

    /// Starts a broker that lives as long as the test process, at whose end nobody is left to remove its folder.
    pub fn start_shared() -> Kafka {
        Kafka::launch(true, free_ports(), "")
    }

    /// Starts a broker with further `key=value` lines of configuration, made for its port.
    pub fn start_with(properties: impl FnOnce(u16) -> String) -> Kafka {
        let ports = free_ports();
        Kafka::launch(false, ports, &properties(ports[0]))
    }

    /// As [`Kafka::start_with`], for its port and its controller's, and with an option for its Java.
    pub fn start_with_java(properties: impl FnOnce(u16, u16) -> String, option: &str) -> Kafka {
        let ports = free_ports();
        Kafka::launch_with(false, ports, &properties(ports[0], ports[1]), Some(option.to_owned()))
    }

    /// As [`Kafka::start_shared`], with further lines of configuration, made for its port and its controller's.
    pub fn start_shared_with(properties: impl FnOnce(u16, u16) -> String) -> Kafka {
        let ports = free_ports();
        Kafka::launch(true, ports, &properties(ports[0], ports[1]))
    }

    /// As [`Kafka::start`], with further lines of configuration, made for its port and its controller's.
    pub fn start_own_with(properties: impl FnOnce(u16, u16) -> String) -> Kafka {
        let ports = free_ports();
        Kafka::launch(false, ports, &properties(ports[0], ports[1]))
    }

    /// Starts brokers 1 to `count` as one cluster. The first is also the only controller: it is not to be stopped.
    pub fn start_cluster(count: i32) -> Vec<Kafka> {
        let first: [u16; 2] = free_ports();
        let shared = format!(
            "offsets.topic.replication.factor={count}\ndefault.replication.factor=1\nbroker.session.timeout.ms=30000\n"
        );
        let node = |id: i32| {
            let [port, _] = free_ports();
            let own = format!(
                "process.roles=broker\nnode.id={id}\ncontroller.quorum.voters=1@127.0.0.1:{}\nlisteners=PLAINTEXT://127.0.0.1:{port}\n",
                first[1]
            );
            if id == 1 { (first, shared.clone()) } else { ([port, first[1]], shared.clone() + &own) }
        };
        (1..=count).map(node).map(|(ports, properties)| Kafka::launch(false, ports, &properties)).collect()
    }

    fn launch(disposable: bool, ports: [u16; 2], properties: &str) -> Kafka {
        Kafka::launch_with(disposable, ports, properties, None)
    }

    fn launch_with(disposable: bool, [port, controller_port]: [u16; 2], properties: &str, java: Option<String>) -> Kafka {
        let dir = scratch("kafka");
        let with = (!properties.is_empty()).then(|| dir.join("with.properties"));
        if let Some(with) = &with {
            std::fs::write(with, properties).expect("the properties can be written");
        }
        let kafka = Kafka { port, controller_port, dir, disposable, with, java, server: Mutex::new(None) };
        kafka.start_again();
        kafka
    }

    /// Starts it on the same ports and data.
    pub fn start_again(&self) {
        let script = root().join("scripts/kafka.sh").display().to_string();
        let mut command = vec![script, "run".into(), "--port".into(), self.port.to_string()];
        command.extend(["--controller-port".into(), self.controller_port.to_string()]);
        command.extend(["--dir".into(), self.dir.display().to_string()]);
        if let Some(with) = &self.with {
            command.extend(["--with".into(), with.display().to_string()]);
        }
        let mut environment = Vec::new();
        if self.with.is_some() {
            environment.push(("KAFKA_HEAP".to_string(), "256m".to_string()));
        }
        environment.extend(self.java.iter().map(|option| ("JDK_JAVA_OPTIONS".to_string(), option.clone())));
        let mut server = Guarded::start(&command, &environment, &self.dir, self.disposable.then_some(self.dir.as_path()));
        let probe: BaseConsumer = self.config().create().expect("a client can be made");
        let end = Instant::now() + PATIENCE;
        while probe.fetch_metadata(None, Duration::from_millis(500)).is_err() {
            if server.exited().is_some() || Instant::now() > end {
                panic!("Kafka does not start (install it with: scripts/install.sh test):\n{}", server.log_tail(10));
            }
        }
        *self.server() = Some(server);
    }

    /// Ends the broker cleanly.
    pub fn stop(&self) {
        *self.server() = None;
    }

    /// Ends the broker at once, as a crash would: no partition is without a leader before nobody answers.
    pub fn kill(&self) {
        if let Some(server) = self.server().take() {
            server.signal("KILL");
        }
    }

    fn server(&self) -> MutexGuard<'_, Option<Guarded>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A client configuration that names only the broker and keeps librdkafka quiet.
    pub fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap()).set("log_level", "0").set("reconnect.backoff.max.ms", "500");
        config
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.config().create().expect("an admin client can be made")
    }

    /// Creates a topic of a fixed name with `key=value` settings.
    pub async fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let results = self.admin().create_topics([&topic], &AdminOptions::new()).await.expect("the broker answers");
        for result in results {
            result.unwrap_or_else(|(topic, code)| panic!("topic {topic} is not created: {code}"));
        }
    }

    /// Creates a topic with a new name.
    pub async fn topic(&self, partitions: i32) -> String {
        let name = unique("it-topic");
        self.create_topic(&name, partitions, &[]).await;
        name
    }

    /// Writes records in order (per partition) and waits for all acknowledgements; returns partition and offset of each.
    pub async fn produce(&self, topic: &str, records: &[Record]) -> Vec<(i32, i64)> {
        self.produce_with(topic, records, &[]).await
    }

    /// The same by a producer with `key=value` settings of its own.
    pub async fn produce_with(&self, topic: &str, records: &[Record], settings: &[(&str, &str)]) -> Vec<(i32, i64)> {
        let mut config = self.config();
        config.set("enable.idempotence", "true").set("linger.ms", "5").set("queue.buffering.max.messages", "1000000");
        for (key, value) in settings {
            config.set(*key, *value);
        }
        let producer: FutureProducer = config.create().expect("a producer can be made");
        let mut sent = Vec::with_capacity(records.len());
        for record in records {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &record.headers {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            let mut message: FutureRecord<'_, Vec<u8>, Vec<u8>> = FutureRecord::to(topic).headers(headers);
            message.partition = record.partition;
            message.key = record.key.as_ref();
            message.payload = record.payload.as_ref();
            message.timestamp = record.created_ms;
            sent.push(producer.send_result(message).map_err(|(error, _)| error).expect("the queue has room"));
        }
        let mut places = Vec::with_capacity(sent.len());
        for delivery in sent {
            let place =
                delivery.await.expect("the producer lives").map_err(|(error, _)| error).expect("the record is stored");
            places.push((place.partition, place.offset));
        }
        places
    }

    /// Reads every record that is in a topic now, partition by partition.
    pub async fn read_all(&self, topic: &str) -> Vec<OwnedMessage> {
        let consumer: BaseConsumer = self.reader(&unique("it-reader")).create().expect("a consumer can be made");
        let topic = topic.to_string();
        blocking(move || {
            let mut left = 0;
            let mut start = TopicPartitionList::new();
            for partition in partitions(&consumer, &topic) {
                let (low, high) = consumer.fetch_watermarks(&topic, partition, PATIENCE).expect("both ends can be read");
                if low < high {
                    start.add_partition_offset(&topic, partition, Offset::Offset(low)).expect("a valid offset");
                    left += 1;
                }
            }
            consumer.assign(&start).expect("partitions can be assigned");
            let end = Instant::now() + PATIENCE;
            let mut records = Vec::new();
            while left > 0 {
                match consumer.poll(Duration::from_millis(200)) {
                    Some(Ok(message)) => records.push(message.detach()),
                    Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => left -= 1,
                    Some(Err(error)) => panic!("reading {topic}: {error}"),
                    None => assert!(Instant::now() < end, "{topic} is not read to its end"),
                }
            }
            records.sort_by_key(|record| (record.partition(), record.offset()));
            records
        })
        .await
    }

    /// Log start and log end of every partition of a topic.
    pub async fn ends(&self, topic: &str) -> Vec<(i64, i64)> {
        let consumer: BaseConsumer = self.config().create().expect("a consumer can be made");
        let topic = topic.to_string();
        blocking(move || {
            // A topic that was just created has no leader yet.
            let end = Instant::now() + PATIENCE;
            let read = |partition| loop {
                match consumer.fetch_watermarks(&topic, partition, PATIENCE) {
                    Ok(ends) => return ends,
                    Err(error) => assert!(Instant::now() < end, "both ends can be read: {error}"),
                }
            };
            partitions(&consumer, &topic).into_iter().map(read).collect()
        })
        .await
    }

    /// Commits offsets of a group that has no member.
    pub async fn commit(&self, group: &str, topic: &str, offsets: &[(i32, i64)]) {
        let consumer: BaseConsumer = self.reader(group).create().expect("a consumer can be made");
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).expect("a valid offset");
        }
        // A broker that has just started is no coordinator yet.
        let commit = move || {
            let end = Instant::now() + PATIENCE;
            while let Err(error) = consumer.commit(&list, CommitMode::Sync) {
                use rdkafka::types::RDKafkaErrorCode::{CoordinatorLoadInProgress, CoordinatorNotAvailable, NotCoordinator};
                let code = error.rdkafka_error_code();
                let is_starting = matches!(code, Some(NotCoordinator | CoordinatorNotAvailable | CoordinatorLoadInProgress));
                assert!(is_starting && Instant::now() < end, "offsets are committed: {error}");
            }
        };
        blocking(commit).await;
    }

    /// The offsets that a group has committed on a topic; `None` where it has not.
    pub async fn committed(&self, group: &str, topic: &str) -> Vec<Option<i64>> {
        let consumer: BaseConsumer = self.reader(group).create().expect("a consumer can be made");
        let topic = topic.to_string();
        blocking(move || {
            let mut list = TopicPartitionList::new();
            for partition in partitions(&consumer, &topic) {
                list.add_partition(&topic, partition);
            }
            let list = consumer.committed_offsets(list, PATIENCE).expect("offsets can be read");
            list.elements().iter().map(|element| element.offset().to_raw().filter(|offset| *offset >= 0)).collect()
        })
        .await
    }

    /// Deletes the records before `offset` of one partition.
    pub async fn delete_records(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("a valid offset");
        let deleted = self.admin().delete_records(&list, &AdminOptions::new()).await.expect("the broker answers");
        for element in deleted.elements() {
            element.error().expect("the records are deleted");
        }
    }

    /// Runs one of Kafka's own command-line tools against this broker and returns what it printed.
    pub async fn tool(&self, name: &str, arguments: &[&str]) -> String {
        self.try_tool(name, arguments).await.unwrap_or_else(|errors| panic!("kafka-{name} failed: {errors}"))
    }

    /// As [`Kafka::tool`]; an error holds all that it printed.
    pub async fn try_tool(&self, name: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(root().join("scripts/kafka.sh"));
        command.args(["tool", name, "--bootstrap-server", &self.bootstrap()]).args(arguments);
        let output = blocking(move || command.output().expect("scripts/kafka.sh can be run")).await;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(printed) } else { Err(printed + &String::from_utf8_lossy(&output.stderr)) }
    }

    fn reader(&self, group: &str) -> ClientConfig {
        let mut config = self.config();
        config.set("group.id", group).set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        config
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        *self.server() = None;
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Vec<i32> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("the topic can be described");
    let topic = metadata.topics().first().expect("the topic exists");
    let mut ids: Vec<i32> = topic.partitions().iter().map(|partition| partition.id()).collect();
    ids.sort_unstable();
    ids
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("the work does not panic")
}
