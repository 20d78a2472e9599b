#!/usr/bin/env bash
# Measures orders through the three services as release processes, on one broker and one Redis without persistence.
# Prints rates and the CPU time of each process, then the highest rate of orders that is kept up, and the time from order to
# delivery at half of it, for docs/benchmarks.md.
#
#   scripts/bench-orders.sh [ORDERS] [POSTS_AT_A_TIME]      default: 10000 orders, 32 at a time
#
# BENCH_NO_BUILD=1 measures the binaries that are there.
set -euo pipefail

cd "$(dirname "$0")/.."
orders=${1:-10000}
at_a_time=${2:-32}
scratch=$(mktemp -d)
port=$((20000 + RANDOM % 5000))
redis_port=$((port + 2))
target=${CARGO_TARGET_DIR:-target}
pids=()

clean_up() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    scripts/kafka.sh stop --dir "$scratch/kafka" >/dev/null 2>&1 || true
    scripts/redis.sh stop --port "$redis_port" --dir "$scratch/redis" >/dev/null 2>&1 || true
    rm -rf "$scratch"
}
trap clean_up EXIT

cpu_s() { # pid: user + system time, from clock ticks
    awk -v hz="$(getconf CLK_TCK)" '{ printf "%.2f", ($14 + $15) / hz }' "/proc/$1/stat"
}

[ -n "${BENCH_NO_BUILD:-}" ] || cargo build --release --bin tidemark --example order_load
scripts/kafka.sh start --port "$port" --controller-port "$((port + 1))" --dir "$scratch/kafka" >/dev/null
scripts/redis.sh start --port "$redis_port" --dir "$scratch/redis" >/dev/null

names=(order payment delivery)
for number in 0 1 2; do
    "$target/release/tidemark" "${names[$number]}" --kafka "127.0.0.1:$port" --redis "redis://127.0.0.1:$redis_port" \
        --listen "127.0.0.1:$((port + 10 + number))" --log warn 2>"$scratch/${names[$number]}.log" &
    pids+=($!)
done
for number in 0 1 2; do
    for _ in $(seq 1 150); do
        "$target/release/tidemark" healthcheck "http://127.0.0.1:$((port + 10 + number))/readyz" 2>/dev/null && break
        sleep 0.2
    done
done

"$target/release/examples/order_load" "http://127.0.0.1:$((port + 10))" 200 8 >/dev/null # warm
"$target/release/examples/order_load" "http://127.0.0.1:$((port + 10))" "$orders" "$at_a_time"
for number in 0 1 2; do
    echo "CPU of ${names[$number]}: $(cpu_s "${pids[$number]}") s"
done
"$target/release/tidemark" ledger status --redis "redis://127.0.0.1:$redis_port" | grep -E '^shop|granted|duplicates|books' || true

echo "the scripts of Redis, by their share of its time:"
redis-cli -p "$redis_port" info commandstats | tr -d '\r' | awk -F '[:,=]' '/^cmdstat_/ { print $5, $3, $1 }' | sort -rn | head -5 |
    awk '{ printf "  %s: %d calls, %.2f s\n", substr($3, 9), $2, $1 / 1e6 }'

# A rate is kept up when the last delivery comes within 2 s of the last order, for 20 s of orders.
at_rate() { "$target/release/examples/order_load" "http://127.0.0.1:$((port + 10))" "$(($1 * 20))" 256 "$1" "127.0.0.1:$port"; }
kept=0
for rate in ${BENCH_RATES:-1400 1200 1000 900 800 700 600 500 400 300 200}; do
    echo "--- $rate orders a second"
    if at_rate "$rate"; then
        kept=$rate
        break
    fi
    # What is left over must not count for the next rate.
    sleep 5
done
[ "$kept" -gt 0 ] || { echo "no rate was kept up" >&2; exit 1; }
echo "--- kept up: $kept orders a second; at half of it, $((kept / 2)):"
at_rate "$((kept / 2))"
awk '{ print "load average: " $1 ", " $2 ", " $3 }' /proc/loadavg
