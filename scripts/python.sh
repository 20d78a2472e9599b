#!/usr/bin/env bash
# Python with the packages of examples/python/requirements.txt, in a virtual environment of its own outside the tree.
#
#   scripts/python.sh fetch                 make it (once), print its folder
#   scripts/python.sh run FILE ARGUMENTS... run a program in it
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
requirements=$here/../examples/python/requirements.txt
# The sum of the list is part of the name, so that a changed list is fetched anew.
folder=${XDG_CACHE_HOME:-$HOME/.cache}/tidemark/python-$(cksum <"$requirements" | cut -d ' ' -f 1)

fail() {
    echo "python.sh: $*" >&2
    exit 1
}

# An environment names its own folder and cannot be moved: a mark says that it is complete, and a lock that one at a time makes it.
fetch() {
    command -v python3 >/dev/null || fail "no python3 found; install it with: scripts/install.sh test"
    mkdir -p "$folder"
    exec 9>"$folder/lock"
    flock 9
    if [ ! -e "$folder/complete" ]; then
        python3 -m venv "$folder/env" >&2 || fail "no environment could be made; install python3-venv with: scripts/install.sh test"
        # Try twice: a registry that is slow to answer is not a reason to fail a whole test run.
        "$folder/env/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements" >&2 ||
            "$folder/env/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements" >&2 ||
            fail "the packages of $requirements could not be installed"
        touch "$folder/complete"
    fi
    exec 9>&-
    echo "$folder"
}

case ${1:-help} in
fetch) fetch ;;
run)
    shift
    [ $# -gt 0 ] || fail "run what? For example: scripts/python.sh run examples/python/ledger_consumer.py --help"
    fetch >/dev/null
    exec "$folder/env/bin/python" "$@"
    ;;
*)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    [ "${1:-help}" = help ] || [ "$1" = --help ] || exit 1
    ;;
esac
