#!/usr/bin/env bash
# Installs what is missing on this machine, and only that, and says what it did.
#
#   scripts/install.sh build    what `cargo build` needs beside Rust: a C and C++ compiler, make, cmake, pkg-config, OpenSSL and zlib
#   scripts/install.sh test     that, and what `make test` needs: Java and Maven (for Kafka), Redis, Chromium, Node.js,
#                               Prometheus with promtool, Alertmanager, Python, jq, curl; fetches Kafka's jars, those of the Java example, the
#                               packages of the Python example and of the browser suite
#
# Debian and Ubuntu (apt). On other systems it names what to install and exits with 1.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
what=${1:-}
case $what in
build | test) ;;
*)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    [ "$what" = help ] || [ "$what" = --help ] || exit 1
    exit 0
    ;;
esac

say() {
    echo "install.sh: $*"
}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# The first whole number in what a command says about its version; 0 when the command is missing.
major() { # command arguments...
    local said
    said=$("$@" 2>&1) || said=
    [[ $said =~ [0-9]+ ]] && echo "${BASH_REMATCH[0]}" || echo 0
}

missing=()
need() { # package [alternative...]: noted as missing; the first that apt knows is taken
    missing+=("$(printf '%s|' "$@")")
}

check_build() {
    if ! has cc || ! has c++ || ! has make; then need build-essential; fi
    has cmake || need cmake
    has pkg-config || need pkg-config
    has perl || need perl
    if ! has pkg-config || ! pkg-config --exists openssl; then need libssl-dev; fi
    if ! has pkg-config || ! pkg-config --exists zlib; then need zlib1g-dev; fi
}

check_test() {
    has curl || need curl
    has jq || need jq
    has redis-server || need redis-server
    [ "$(major java -version)" -ge 17 ] || need default-jre-headless openjdk-17-jre-headless openjdk-21-jre-headless
    has mvn || need maven
    # A program of one file is compiled when it is run: a runtime alone cannot.
    has javac || need default-jdk-headless openjdk-17-jdk-headless openjdk-21-jdk-headless
    # Debian has the module that makes environments, and what it needs in another package.
    if ! has python3 || ! python3 -c 'import ensurepip, venv' 2>/dev/null; then need python3-venv; fi
    [ "$(major node --version)" -ge 18 ] || need nodejs
    # Some packages of Node.js carry npm and conflict with Debian's own.
    if ! has npm && ! { [ "$(major node --version)" -lt 18 ] && apt_node_has_npm; }; then need npm; fi
    has prometheus || need prometheus
    has promtool || need prometheus
    has amtool || has prometheus-alertmanager || need prometheus-alertmanager
    if ! has chromium && ! has chromium-browser && ! has google-chrome; then need chromium chromium-browser; fi
    # Pictures of pages are compared by people: without any font the browser draws boxes.
    if ! has fc-list || [ -z "$(fc-list 2>/dev/null | head -n 1)" ]; then need fonts-dejavu-core; fi
}

apt_node_has_npm() {
    apt-cache show nodejs 2>/dev/null | grep -q '^Version:.*nodesource'
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        fail "not root and no sudo here; run as root: $*"
    fi
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@"
}

# Debian's packages start their services at once. The tests start their own servers on free ports and want no other.
without_services() {
    local policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
    local status=0
    "$@" || status=$?
    as_root rm -f "$policy"
    return "$status"
}

choose() { # "package|alternative|": the first that apt can install
    local candidate
    for candidate in ${1//|/ }; do
        if apt-cache policy "$candidate" 2>/dev/null | grep -q 'Candidate: [^(]'; then
            echo "$candidate"
            return
        fi
    done
    echo "${1%%|*}"
}

install_missing() {
    local names=() entry log
    if ! has apt-get; then
        for entry in "${missing[@]}"; do names+=("${entry%%|*}"); done
        fail "this is not Debian or Ubuntu; install these (Debian's names) with your package manager and try again: ${names[*]}"
    fi
    say "missing: $(printf '%s ' "${missing[@]%%|*}")"
    apt_get update >/dev/null || say "apt-get update failed; trying with the lists that are here"
    for entry in "${missing[@]}"; do names+=("$(choose "$entry")"); done
    log=$(mktemp)
    without_services apt_get install --no-install-recommends "${names[@]}" >"$log" 2>&1 || {
        tail -n 20 "$log" >&2
        fail "apt-get install failed (${names[*]}); its output is in $log"
    }
    rm -f "$log"
    say "installed: ${names[*]}"
}

# apt's default Java may be too old for Kafka, and node for the browser suite: then say so rather than fail later, oddly.
verify_test() {
    [ "$(major java -version)" -ge 17 ] || fail "Kafka 4 needs Java 17 or newer, and apt has none; install one and put it first on PATH"
    [ "$(major node --version)" -ge 18 ] || fail "the browser suite needs Node.js 18 or newer, and apt has none; install one and put it first on PATH"
}

has cargo || fail "Rust is missing: install it (rustup is its installer), then try again"

check_build
[ "$what" = build ] || check_test
if [ ${#missing[@]} -gt 0 ]; then
    install_missing
else
    say "nothing is missing for '$what'"
fi

if [ "$what" = test ]; then
    verify_test
    jars=$("$root/scripts/kafka.sh" fetch) || fail "Kafka could not be fetched"
    say "Kafka's jars are in $jars"
    jars=$("$root/scripts/kafka.sh" fetch "$root/examples/java/pom.xml") || fail "the Java example's jars could not be fetched"
    say "the Java example's jars are in $jars"
    packages=$("$root/scripts/python.sh" fetch) || fail "the Python example's packages could not be installed"
    say "the Python example's packages are in $packages"
    if [ -e "$root/tests/browser/package-lock.json" ]; then
        if [ "$root/tests/browser/node_modules/.package-lock.json" -nt "$root/tests/browser/package-lock.json" ]; then
            say "the browser suite's packages are there"
        else
            (cd "$root/tests/browser" && npm ci --no-audit --no-fund --loglevel=error) || fail "npm ci failed in tests/browser"
            say "the browser suite's packages are installed"
        fi
    fi
fi
