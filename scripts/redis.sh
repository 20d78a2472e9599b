#!/usr/bin/env bash
# A private Redis for tests and for trying Tidemark out, on loopback.
#
#   scripts/redis.sh run   [--port P] [--dir D] [--appendonly] [-- MORE REDIS OPTIONS]   in the foreground, until it is signalled
#   scripts/redis.sh start [--port P] [--dir D] [--appendonly] [-- MORE REDIS OPTIONS]   in the background, returns when it answers
#   scripts/redis.sh stop  [--port P] [--dir D]
#
# Nothing is saved unless --appendonly is given: then D holds the data and survives a stop.
set -euo pipefail

fail() {
    echo "redis.sh: $*" >&2
    exit 1
}

command=${1:-help}
[ $# -eq 0 ] || shift
port=6379
dir=${TMPDIR:-/tmp}/tidemark-redis
persistence=(--appendonly no)
more=()
while [ $# -gt 0 ]; do
    case $1 in
    --port | --dir)
        [ $# -gt 1 ] || fail "$1 needs a value"
        [ "$1" = --port ] && port=$2 || dir=$2
        shift 2
        ;;
    --appendonly)
        persistence=(--appendonly yes --appendfsync everysec)
        shift
        ;;
    --)
        shift
        more=("$@")
        break
        ;;
    *) fail "unknown option $1" ;;
    esac
done

answers() {
    [ "$(redis-cli -h 127.0.0.1 -p "$port" ping 2>/dev/null)" = PONG ]
}

case $command in
run | start | stop)
    command -v redis-server >/dev/null || fail "no redis-server found; install it with: scripts/install.sh test"
    ;;
esac

case $command in
run)
    mkdir -p "$dir"
    # noeviction: a ledger that forgets entries under memory pressure would let an event run twice.
    exec redis-server --bind 127.0.0.1 --port "$port" --dir "$dir" --save '' --maxmemory-policy noeviction \
        --loglevel warning "${persistence[@]}" "${more[@]}"
    ;;
start)
    ! answers || fail "something else listens on port $port"
    mkdir -p "$dir"
    extra=()
    [ "${persistence[1]}" = no ] || extra=(--appendonly)
    setsid "$0" run --port "$port" --dir "$dir" "${extra[@]}" -- "${more[@]}" >"$dir/redis.log" 2>&1 </dev/null &
    pid=$!
    for _ in $(seq 1 100); do
        if answers; then
            echo "Redis on 127.0.0.1:$port, data and log in $dir; stop it with: scripts/redis.sh stop --port $port --dir $dir"
            exit 0
        fi
        kill -0 "$pid" 2>/dev/null || fail "it ended while starting: $(tail -n 5 "$dir/redis.log")"
        sleep 0.1
    done
    fail "no answer on port $port within 10 s; see $dir/redis.log"
    ;;
stop)
    answers || fail "nothing answers on port $port"
    redis-cli -h 127.0.0.1 -p "$port" shutdown >/dev/null 2>&1 || true
    for _ in $(seq 1 100); do
        answers || exit 0
        sleep 0.1
    done
    fail "it still answers on port $port after 10 s"
    ;;
*)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    [ "$command" = help ] || [ "$command" = --help ] || exit 1
    ;;
esac
