#!/usr/bin/env bash
# Measures one collection of many groups: the release monitor, and beside it klag-exporter if its binary is given, one after
# the other on one broker in one run. Prints a table for docs/benchmarks.md.
#
#   scripts/bench-collection.sh [GROUPS] [path of klag-exporter]      default: 2000 groups of 20 partitions
#
# CPU is user + system of the process over BENCH_SECONDS (60) of collections every 5 s, divided by their number; memory is the peak (VmHWM).
# BENCH_NO_BUILD=1 measures the binaries that are there.
set -euo pipefail

cd "$(dirname "$0")/.."
groups=${1:-2000}
klag=${2:-}
interval=5
window=${BENCH_SECONDS:-60}
scratch=$(mktemp -d)
port=$((20000 + RANDOM % 5000))
pids=()

clean_up() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    scripts/kafka.sh stop --dir "$scratch/kafka" 2>/dev/null || true
    rm -rf "$scratch"
}
trap clean_up EXIT

cpu_ms() { # pid: user + system time, from clock ticks
    awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) * 1000 / hz }' "/proc/$1/stat"
}

peak_mib() { # pid
    awk '/^VmHWM/ { printf "%.0f", $2 / 1024 }' "/proc/$1/status"
}

wait_for_sum() { # url metric: until the sum of all lags is the one that was seeded; prints the seconds that it took
    local began=$EPOCHREALTIME
    for _ in $(seq 1 600); do
        if [ "$(sum "$1" "$2")" = "$lag" ]; then
            awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'
            return
        fi
        sleep 0.1
    done
    echo "never: $(sum "$1" "$2") instead of $lag" >&2
    return 1
}

sum() { # url metric
    curl -s "$1" | awk -v name="$2{" 'index($1, name) == 1 || index($0, name) == 1 { total += $NF } END { printf "%d", total }'
}

measure() { # name pid url metric
    local name=$1 pid=$2 url=$3 metric=$4 first began took collections
    first=$(wait_for_sum "$url" "$metric")
    began=$(cpu_ms "$pid")
    sleep "$window" # a steady state, without scrapes
    took=$(awk -v a="$began" -v b="$(cpu_ms "$pid")" 'BEGIN { print b - a }')
    collections=$((window / interval))
    local scrape
    scrape=$(curl -s -o /dev/null -w '%{time_total} s, %{size_download} bytes' "$url")
    [ "$(sum "$url" "$metric")" = "$lag" ] || echo "$name: the sum of lags is wrong" >&2
    printf '| %s | %s | %s | %s | %s |\n' "$name" \
        "$(awk -v t="$took" -v n="$collections" 'BEGIN { printf "%.0f ms", t / n }')" "$(peak_mib "$pid") MiB" "$first s" "$scrape"
}

[ -n "${BENCH_NO_BUILD:-}" ] || cargo build --release --quiet --bin tidemark --example seed_groups
target=${CARGO_TARGET_DIR:-target}/release
KAFKA_HEAP=1g scripts/kafka.sh start --port "$port" --dir "$scratch/kafka" >/dev/null
seeded=$("$target/examples/seed_groups" "127.0.0.1:$port" "$groups" 200 10 100)
lag=${seeded##* }
echo "$seeded; $(nproc) cores; Kafka $(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' scripts/kafka-jars.xml)"
echo
echo '| | CPU a collection | peak memory | first right answer after | one scrape |'
echo '|---|---|---|---|---|'

"$target/tidemark" monitor --kafka "127.0.0.1:$port" --interval ${interval}s --listen 127.0.0.1:$((port + 2)) \
    >"$scratch/tidemark.log" 2>&1 &
pids+=($!)
measure "tidemark, every partition" $! "http://127.0.0.1:$((port + 2))/metrics" tidemark_group_lag_messages
kill "${pids[-1]}"

[ -n "$klag" ] || exit 0
for granularity in partition topic; do
    cat >"$scratch/klag.toml" <<EOF
[exporter]
poll_interval = "${interval}s"
http_host = "127.0.0.1"
http_port = $((port + 3))
granularity = "$granularity"

[[clusters]]
name = "local"
bootstrap_servers = "127.0.0.1:$port"
topic_blacklist = ["^__.*"]
EOF
    "$klag" -c "$scratch/klag.toml" -l error >"$scratch/klag.log" 2>&1 &
    pids+=($!)
    case $granularity in
    partition) metric=kafka_consumergroup_group_lag ;;
    topic) metric=kafka_consumergroup_group_topic_sum_lag ;;
    esac
    measure "klag-exporter $("$klag" --version | awk '{ print $2 }'), $granularity" $! "http://127.0.0.1:$((port + 3))/metrics" "$metric"
    kill "${pids[-1]}"
    wait "${pids[-1]}" 2>/dev/null || true
done
