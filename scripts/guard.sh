#!/usr/bin/env bash
# Runs a server that must not outlive the process that needs it: it is ended (TERM, then KILL) as soon as our standard
# input is closed, which the operating system does even when that process panics or is killed.
#
#   scripts/guard.sh [--rm DIR] [--pid FILE] COMMAND ARGUMENTS...
#
# --rm removes DIR afterwards; --pid writes the server's process id to FILE, for tests that signal it.
set -u

scratch=
pid_file=
while :; do
    case ${1:-} in
    --rm) scratch=$2 ;;
    --pid) pid_file=$2 ;;
    *) break ;;
    esac
    shift 2
done

# A shell gives a background job /dev/null as its standard input, so the pipe that we watch is kept as descriptor 3.
exec 3<&0 </dev/null
"$@" 3<&- &
server=$!
# Renamed into place, so that nobody reads half a number.
[ -z "$pid_file" ] || { echo "$server" >"$pid_file.new" && mv "$pid_file.new" "$pid_file"; }

end_server() {
    kill -TERM "$server" 2>/dev/null || return
    for _ in $(seq 1 "${GUARD_PATIENCE:-100}"); do
        kill -0 "$server" 2>/dev/null || return
        sleep 0.1
    done
    kill -KILL "$server" 2>/dev/null
}

(
    while read -r _ <&3; do :; done
    end_server
) &
watcher=$!
exec 3<&-
trap end_server TERM INT

wait "$server"
status=$?
# A trapped signal ends the first wait early: the second one gets the server's own status.
if kill -0 "$server" 2>/dev/null; then
    wait "$server"
    status=$?
fi
kill "$watcher" 2>/dev/null
[ -z "$scratch" ] || rm -rf "$scratch"
exit "$status"
