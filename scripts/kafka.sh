#!/usr/bin/env bash
# A single Kafka node (KRaft, no ZooKeeper, no container) for tests and for trying Tidemark out, and Kafka's own tools.
#
#   scripts/kafka.sh fetch [POM]                            get the jars (once; cached outside the tree), print their folder
#   scripts/kafka.sh run   [--port P] [--controller-port P] [--dir D] [--with FILE]   in the foreground, until it is signalled
#   scripts/kafka.sh start [--port P] [--controller-port P] [--dir D]   in the background, returns when it answers
#   scripts/kafka.sh stop  [--dir D]
#   scripts/kafka.sh tool  consumer-groups|topics|configs|features|... ARGUMENTS...
#   scripts/kafka.sh java  [--pom POM] FILE.java ARGUMENTS...   a program of one file, with Kafka's classes or those of a pom
#
# FILE holds broker properties that replace or complete those below. D holds the data and survives a stop; the default is a folder under the temporary directory. Only loopback is used.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
pom=$here/kafka-jars.xml
version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$pom")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tidemark
# The sum of the list is part of the name, so that a changed list is fetched anew.
jars=$cache/kafka-$version-$(cksum <"$pom" | cut -d ' ' -f 1)
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1

fail() {
    echo "kafka.sh: $*" >&2
    exit 1
}

# Takes another list of jars than Kafka's own.
use_pom() { # pom
    [ -r "$1" ] || fail "$1 cannot be read"
    pom=$1
    jars=$cache/jars-$(cksum <"$pom" | cut -d ' ' -f 1)
}

need_java() {
    local major
    command -v java >/dev/null || fail "no java found; install it with: scripts/install.sh test"
    major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${major:-0}" -ge 17 ] || fail "Kafka $version needs Java 17 or newer, this is ${major:-unknown}; install it with: scripts/install.sh test"
}

# The folder is renamed into place when it is complete, so a half download is never taken for the jars.
fetch() {
    if [ -d "$jars" ]; then
        echo "$jars"
        return
    fi
    command -v mvn >/dev/null || fail "no mvn found; install it with: scripts/install.sh test"
    local parent new
    parent=$(dirname "$jars")
    mkdir -p "$parent"
    new=$(mktemp -d "$parent/fetch.XXXXXX")
    # Try twice: a registry that is slow to answer is not a reason to fail a whole test run.
    for attempt in 1 2; do
        if mvn -B -q --strict-checksums -f "$pom" "$plugin:copy-dependencies" -DincludeScope=runtime -DoutputDirectory="$new" >&2; then
            mv -T "$new" "$jars" 2>/dev/null || rm -rf "$new" # another run was faster: its jars are as good
            echo "$jars"
            return
        fi
        echo "kafka.sh: fetching the jars failed (attempt $attempt of 2)" >&2
    done
    rm -rf "$new"
    fail "the jars of $pom could not be fetched"
}

need_jars() {
    [ -d "$jars" ] || fail "the jars of Kafka $version are missing; fetch them with: scripts/kafka.sh fetch"
}

# Small and quick to start: one core is enough for it, and the tests' topics are tiny.
jvm() {
    exec java -Xmx"${KAFKA_HEAP:-512m}" -Xms128m -XX:+UseSerialGC -XX:TieredStopAtLevel="${KAFKA_TIER:-4}" -Xshare:auto \
        -Dorg.slf4j.simpleLogger.defaultLogLevel="${KAFKA_LOG:-warn}" -Dorg.slf4j.simpleLogger.showDateTime=true \
        -Dorg.slf4j.simpleLogger.logFile=System.err -Dlog4j2.level=OFF -Djava.awt.headless=true -cp "$jars/*" "$@"
}

write_config() { # dir port controller-port
    cat >"$1/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$3
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$2
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$1/data
auto.create.topics.enable=false
num.partitions=4
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=4194304
log.segment.delete.delay.ms=1000
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
offsets.topic.segment.bytes=16777216
transaction.state.log.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=300
group.consumer.session.timeout.ms=10000
group.consumer.heartbeat.interval.ms=1000
group.streams.min.session.timeout.ms=1000
group.streams.min.heartbeat.interval.ms=300
group.streams.session.timeout.ms=6000
group.streams.heartbeat.interval.ms=1000
group.streams.initial.rebalance.delay.ms=0
EOF
}

# The cluster id is fixed: the folder is private, and a fixed id makes two starts on one folder the same cluster.
format() { # dir
    [ -e "$1/data/meta.properties" ] && return
    (jvm kafka.tools.StorageTool format --cluster-id tidemarkTidemarkTide0A --config "$1/server.properties" --ignore-formatted >"$1/format.log" 2>&1) ||
        fail "formatting $1/data failed: $(tail -n 5 "$1/format.log")"
}

answers() { # port
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

start() {
    if [ -e "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null; then
        fail "already running in $dir as process $(cat "$dir/pid")"
    fi
    ! answers "$port" || fail "something else listens on port $port"
    mkdir -p "$dir"
    setsid "$0" run --port "$port" --controller-port "$controller_port" --dir "$dir" >"$dir/kafka.log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    for _ in $(seq 1 300); do
        if answers "$port"; then
            echo "Kafka $version on 127.0.0.1:$port, data and log in $dir; stop it with: scripts/kafka.sh stop --dir $dir"
            return
        fi
        kill -0 "$(cat "$dir/pid")" 2>/dev/null || fail "it ended while starting: $(tail -n 5 "$dir/kafka.log")"
        sleep 0.2
    done
    fail "no answer on port $port within 60 s; see $dir/kafka.log"
}

stop() {
    local pid
    [ -e "$dir/pid" ] || fail "nothing was started in $dir"
    pid=$(cat "$dir/pid")
    rm -f "$dir/pid"
    kill "$pid" 2>/dev/null || return 0
    for _ in $(seq 1 150); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.2
    done
    echo "kafka.sh: process $pid did not end within 30 s and is killed" >&2
    kill -KILL "$pid" 2>/dev/null || true
}

tool() {
    [ $# -gt 0 ] || fail "which tool? For example: scripts/kafka.sh tool consumer-groups --help"
    local name=${1#kafka-} class
    shift
    case ${name%.sh} in
    consumer-groups) class=org.apache.kafka.tools.consumer.group.ConsumerGroupCommand ;;
    share-groups) class=org.apache.kafka.tools.consumer.group.ShareGroupCommand ;;
    groups) class=org.apache.kafka.tools.GroupsCommand ;;
    acls) class=org.apache.kafka.tools.AclCommand ;;
    topics) class=org.apache.kafka.tools.TopicCommand ;;
    configs) class=kafka.admin.ConfigCommand ;;
    features) class=org.apache.kafka.tools.FeatureCommand ;;
    delete-records) class=org.apache.kafka.tools.DeleteRecordsCommand ;;
    get-offsets) class=org.apache.kafka.tools.GetOffsetShell ;;
    console-producer) class=org.apache.kafka.tools.ConsoleProducer ;;
    console-consumer) class=org.apache.kafka.tools.consumer.ConsoleConsumer ;;
    console-share-consumer) class=org.apache.kafka.tools.consumer.ConsoleShareConsumer ;;
    producer-perf-test) class=org.apache.kafka.tools.ProducerPerformance ;;
    *) fail "unknown tool $name" ;;
    esac
    KAFKA_TIER=1 KAFKA_HEAP=256m jvm "$class" "$@"
}

command=${1:-help}
[ $# -eq 0 ] || shift
case $command in
fetch)
    [ $# -eq 0 ] || use_pom "$1"
    fetch
    ;;
java)
    need_java
    if [ "${1:-}" = --pom ]; then
        [ $# -gt 2 ] || fail "--pom needs a file, and a program behind it"
        use_pom "$2"
        shift 2
        fetch >/dev/null
    fi
    need_jars
    KAFKA_TIER=1 KAFKA_HEAP=256m jvm "$@"
    ;;
tool)
    need_java
    need_jars
    tool "$@"
    ;;
run | start | stop)
    port=9092
    controller_port=
    with=
    dir=${TMPDIR:-/tmp}/tidemark-kafka
    while [ $# -gt 0 ]; do
        [ $# -gt 1 ] || fail "$1 needs a value"
        case $1 in
        --port) port=$2 ;;
        --controller-port) controller_port=$2 ;;
        --dir) dir=$2 ;;
        --with) with=$2 ;;
        *) fail "unknown option $1" ;;
        esac
        shift 2
    done
    controller_port=${controller_port:-$((port + 1))}
    case $command in
    start)
        need_java
        fetch >/dev/null
        start
        ;;
    stop) stop ;;
    run)
        need_java
        need_jars
        mkdir -p "$dir"
        write_config "$dir" "$port" "$controller_port"
        # The last one of two lines with the same key counts.
        [ -z "$with" ] || cat "$with" >>"$dir/server.properties"
        format "$dir"
        jvm kafka.Kafka "$dir/server.properties"
        ;;
    esac
    ;;
*)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    [ "$command" = help ] || [ "$command" = --help ] || exit 1
    ;;
esac
