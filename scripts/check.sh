#!/usr/bin/env bash
# The checks behind `make test`, one phase after the other; the time of each is printed at the end.
#
#   scripts/check.sh all | lint | unit | integration | browser | rules | long
#
# `all` is everything but `long`: what needs long (campaigns, clusters of Redis, other languages, comparisons) stands in tests/it/long/.
# Every phase runs even if one before it failed, so that one run shows everything that is wrong; any failure makes the exit code 1.
set -uo pipefail

cd "$(dirname "$0")/.." || exit 1
cargo=${CARGO:-cargo}
failed=()
times=()

# Runs one command of a phase and remembers what failed; the rest of the phase goes on.
try() { # words command...
    local words=$1
    shift
    echo "==> $words"
    if ! "$@"; then
        failed+=("$words")
        echo "==> FAILED: $words" >&2
    fi
}

lint() {
    try "format" "$cargo" fmt --all --check
    try "clippy" "$cargo" clippy --locked --all-targets --quiet -- -D warnings
    try "documentation" env RUSTDOCFLAGS="-D warnings" "$cargo" doc --locked --no-deps --document-private-items --quiet
    if "$cargo" deny --version >/dev/null 2>&1; then
        try "licences and sources of dependencies" "$cargo" deny --log-level error check licenses bans sources
    else
        echo "==> skipped: licences and sources of dependencies (no cargo-deny here; cargo install cargo-deny)"
    fi
    if command -v shellcheck >/dev/null; then
        try "shell scripts" shellcheck scripts/*.sh .ci/run
    else
        echo "==> skipped: shell scripts (no shellcheck here)"
    fi
}

# Everything that needs no server: the library's and the binary's own tests, the documents' examples, and each file in tests/.
unit() {
    local targets=(--lib --bins) file
    for file in tests/*.rs; do
        [ -e "$file" ] && targets+=(--test "$(basename "$file" .rs)")
    done
    try "unit tests" "$cargo" test --locked --no-fail-fast "${targets[@]}"
    try "the protocol's model" "$cargo" test --locked --test model -- --skip long:: --nocapture
    try "examples in the documentation" "$cargo" test --locked --doc
}

integration() {
    try "integration tests on real Kafka and Redis" "$cargo" test --locked --test it -- --skip long::
}

long() {
    try "the protocol's model, in larger bounds" "$cargo" test --locked --test model -- long:: --nocapture --test-threads 1
    try "long tests on real Kafka and Redis" "$cargo" test --locked --test it -- long:: --nocapture --test-threads 1
}

browser() {
    if [ ! -e tests/browser/package.json ]; then
        echo "==> skipped: browser suite (tests/browser/package.json is not there)"
        return
    fi
    # With the examples the features are those of the tests: nothing that is built already is built again.
    try "binary and server for the browser suite" "$cargo" build --locked --bins --examples
    try "browser suite" npm --prefix tests/browser test
}

rules() {
    local file
    while IFS= read -r file; do
        try "rules: $file" promtool check rules "$file"
    done < <(find . -name '*.rules.yml' -not -path './target/*' -not -path '*/node_modules/*' | sort)
    while IFS= read -r file; do
        try "rule tests: $file" promtool test rules "$file"
    done < <(find . -name '*.rules.test.yml' -not -path './target/*' -not -path '*/node_modules/*' | sort)
}

phase() {
    local began=$SECONDS
    "$1"
    times+=("$(printf '%-12s %4d s' "$1" $((SECONDS - began)))")
}

case ${1:-all} in
all) for name in lint unit integration browser rules; do phase "$name"; done ;;
lint | unit | integration | browser | rules | long) phase "$1" ;;
*)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit 1
    ;;
esac

echo "==> time of each phase"
printf '    %s\n' "${times[@]}"
if [ ${#failed[@]} -gt 0 ]; then
    echo "==> ${#failed[@]} failed:"
    printf '    %s\n' "${failed[@]}"
    exit 1
fi
echo "==> all passed"
