#!/usr/bin/env bash
# Measures collections of many groups: the release monitor, the bare read, and beside them klag-exporter if its binary is given,
# one after the other on one broker in one run. Prints tables for docs/benchmarks.md.
#
#   scripts/bench-collection.sh [path of klag-exporter]
#
# The workloads grow on one broker: 4,000 groups of 10 topics with one partition each; 6,000 more of these and 1,953 of two topics with
# ten each; and, without klag-exporter, up to 65,000.
# CPU is user + system of the process over BENCH_SECONDS (60), divided by the collections that it completed by its own count, at topic
# granularity and without scrapes; memory is the peak (VmHWM). Tidemark is measured twice: at once, and BENCH_SETTLE (75) seconds later,
# when the records that groups wait at have been read and verdicts are certain; then while 1,000 of the groups commit every interval,
# and, as a process of its own, with all series of its page in place of the default bound. The broker's CPU is that of its process without
# what it takes when nobody asks. BENCH_INTERVAL (15 s) is the interval of all of them, BENCH_STAGES (s l x) chooses how many of the workloads, each of which builds on those before it. BENCH_NO_BUILD=1 measures the binaries that are there, BENCH_DIR is where the broker keeps its data.
set -euo pipefail

cd "$(dirname "$0")/.."
klag=${1:-}
window=${BENCH_SECONDS:-60}
settle=${BENCH_SETTLE:-75}
stages=${BENCH_STAGES:-s l x}
interval=${BENCH_INTERVAL:-15}
scratch=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/tmp}}/tidemark-bench.XXXXXX")
port=$((20000 + RANDOM % 5000))
url=http://127.0.0.1:$((port + 2))/metrics
klag_url=http://127.0.0.1:$((port + 3))/metrics
pids=()

clean_up() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    scripts/kafka.sh stop --dir "$scratch/kafka" >/dev/null 2>&1 || true
    rm -rf "$scratch"
}
trap clean_up EXIT

cpu_ms() { # pid: user + system time, from clock ticks
    awk -v hz="$(getconf CLK_TCK)" '{ print ($14 + $15) * 1000 / hz }' "/proc/$1/stat"
}

peak_mib() { # pid
    awk '/^VmHWM/ { printf "%.0f", $2 / 1024 }' "/proc/$1/status"
}

minus() { awk -v a="$1" -v b="$2" 'BEGIN { print a - b }'; }
per() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.1f", a / b; else printf "-" }'; }
page() { curl -s --compressed --max-time 60 "$1" || true; }

sum_of() { # metric, of the page on standard input
    awk -v name="$1{" 'index($0, name) == 1 { total += $NF } END { printf "%d", total }'
}

sum() { # url metric
    page "$1" | sum_of "$2"
}

wait_for_sum() { # url metric: until a page has come on which the sum of all lags is the one that was seeded; prints the seconds that it took
    local began=$EPOCHREALTIME came summed
    for _ in $(seq 1 3000); do
        page "$1" >"$scratch/page"
        came=$EPOCHREALTIME
        summed=$(sum_of "$2" <"$scratch/page")
        if [ "$summed" = "$lag" ]; then
            awk -v a="$began" -v b="$came" 'BEGIN { printf "%.2f", b - a }'
            return
        fi
        sleep 0.02
    done
    echo "never: $summed instead of $lag" >&2
    printf 'never'
}

scrape_ms() { # url: the median of eleven scrapes, compressed where the program can
    for _ in $(seq 1 11); do
        curl -s --max-time 60 -H 'Accept-Encoding: gzip' -o /dev/null -w '%{time_total} %{size_download}\n' "$1"
        sleep 0.7
    done | sort -n | awk 'NR == 6 { printf "%.1f ms, %.2f MB", $1 * 1000, $2 / 1e6 }'
}

collections_of() { # kind: how many collections the program has completed
    case $1 in
    tidemark | first | moving) curl -s --max-time 10 "${url%/metrics}/status?format=json" | sed 's/.*"collections":\([0-9]*\).*/\1/' ;;
    bare) wc -l <"$scratch/bare.log" ;;
    klag) grep -c "Collection cycle completed" "$scratch/klag.log" || true ;;
    esac
}

measure() { # name kind pid first scrape: over the window, CPU of the process and of the broker for each collection
    local name=$1 kind=$2 pid=$3 first=$4 scrape=$5 counted own broker
    counted=$(collections_of "$kind")
    own=$(cpu_ms "$pid")
    broker=$(cpu_ms "$broker_pid")
    sleep "$window"
    own=$(minus "$(cpu_ms "$pid")" "$own")
    broker=$(minus "$(minus "$(cpu_ms "$broker_pid")" "$broker")" "$idle")
    counted=$(minus "$(collections_of "$kind")" "$counted")
    printf '| %s | %s | %s ms | %s MiB | %s | %s | %s ms |\n' "$name" "$counted" "$(per "$own" "$counted")" "$(peak_mib "$pid")" \
        "$first" "$scrape" "$(per "$broker" "$counted")"
    echo "point $kind $pairs $(per "$own" "$counted") $(peak_mib "$pid")" >>"$scratch/points"
}

longest_collection() { # how long the last collection took
    page "$url" | grep '^tidemark_collection_duration_seconds' || true
}

stop() {
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

seed() { # groups topics partitions prefix each first
    local seeded
    seeded=$("$target/examples/seed_groups" "127.0.0.1:$port" "$1" "$2" "$3" 100 "$4" "$5" "$6")
    lag=$((lag + ${seeded##* }))
    groups=$((groups + $1))
    [ "$6" != 0 ] || stuck=$((stuck + $2 * $3))
    pairs=$((pairs + $1 * $3 * $5))
}

put() { # records: 1,000 of the groups stand so much further on than they were seeded
    "$target/examples/seed_groups" "127.0.0.1:$port" 1000 1000 1 100 l 10 1 "$1" >/dev/null
}

move() { # once every interval
    for step in $(seq 1 100); do
        put "$step"
        sleep "$interval"
    done
}

stage() { # name
    case $1 in
    s) seed 4000 1000 1 l 10 0 ;;
    l)
        seed 6000 1000 1 l 10 4000
        seed 1953 200 10 m 2 0
        ;;
    x) seed 53047 1000 1 l 10 10000 ;;
    *)
        echo "BENCH_STAGES takes s, l and x, not $1" >&2
        exit 2
        ;;
    esac
    sleep 5
    idle=$(cpu_ms "$broker_pid")
    sleep "$window"
    idle=$(minus "$(cpu_ms "$broker_pid")" "$idle")
    echo
    echo "$groups groups, $pairs pairs"
    echo
    echo '| | collections | CPU a collection | peak memory | complete and right after | scrape, median | broker CPU a collection |'
    echo '|---|---|---|---|---|---|---|'

    "$target/examples/bare_read" "127.0.0.1:$port" $interval >"$scratch/bare.log" 2>&1 &
    pids+=($!)
    sleep 11
    measure "the bare read" bare $! - -
    stop "${pids[-1]}"

    RUST_LOG=warn "$target/tidemark" monitor --kafka "127.0.0.1:$port" --interval ${interval}s --granularity topic \
        --listen "127.0.0.1:$((port + 2))" >"$scratch/tidemark.log" 2>&1 &
    pids+=($!)
    local pid=$! first
    first="$(wait_for_sum "$url" tidemark_group_lag_messages) s"
    sleep 11
    measure "tidemark, at once" first $pid "$first" -
    sleep "$settle"
    measure "tidemark, ${settle} s later" tidemark $pid - -
    printf '| tidemark, scraped | - | - | %s MiB | - | %s | - |\n' "$(peak_mib $pid)" "$(scrape_ms "$url")"
    local bytes records
    bytes=$(sum "$url" tidemark_time_lag_read_bytes_total) records=$(sum "$url" tidemark_time_lag_records_read_total)
    move &
    pids+=($!)
    local mover=$!
    sleep $((interval * 2))
    measure "tidemark, 1,000 groups move" moving $pid - -
    stop $mover
    sleep 2
    put 0
    longest_collection
    stop $pid
    RUST_LOG=warn "$target/tidemark" monitor --kafka "127.0.0.1:$port" --interval ${interval}s --granularity topic --max-series 5000000 \
        --listen "127.0.0.1:$((port + 2))" >"$scratch/tidemark.log" 2>&1 &
    pids+=($!)
    pid=$!
    first="$(wait_for_sum "$url" tidemark_group_lag_messages) s"
    printf '| tidemark, all series | - | - | %s MiB | %s | %s | - |\n' "$(peak_mib $pid)" "$first" "$(scrape_ms "$url")"
    stop $pid
    awk -v r="$records" -v b="$bytes" -v p="$stuck" 'BEGIN {
        printf "\n%d records read for time lag, %d bytes: %.2f %% of 256 KiB from each of %d partitions\n\n", r, b, b * 100 / (p * 262144), p }'

    [ -n "$klag" ] && [ "$1" != x ] || return 0
    cat >"$scratch/klag.toml" <<EOF
[exporter]
poll_interval = "${interval}s"
http_host = "127.0.0.1"
http_port = $((port + 3))
granularity = "topic"

[[clusters]]
name = "local"
bootstrap_servers = "127.0.0.1:$port"
topic_blacklist = ["^__.*"]
EOF
    "$klag" -c "$scratch/klag.toml" -l klag_exporter::cluster::manager=debug >"$scratch/klag.log" 2>&1 &
    pids+=($!)
    pid=$!
    first="$(wait_for_sum "$klag_url" kafka_consumergroup_group_topic_sum_lag) s"
    measure "klag-exporter $("$klag" --version | awk '{ print $2 }')" klag $pid "$first" "$(scrape_ms "$klag_url")"
    stop $pid
}

[ -n "${BENCH_NO_BUILD:-}" ] || cargo build --release --quiet --bin tidemark --example seed_groups --example bare_read
target=${CARGO_TARGET_DIR:-target}/release
KAFKA_HEAP=2g scripts/kafka.sh start --port "$port" --dir "$scratch/kafka" >/dev/null
broker_pid=$(cat "$scratch/kafka/pid")
lag=0 groups=0 pairs=0 stuck=0
echo "$(nproc) cores; Kafka $(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' scripts/kafka-jars.xml); load $(cut -d' ' -f1 /proc/loadavg)"
for name in $stages; do stage "$name"; done
echo
cat "$scratch/points"
