#!/usr/bin/env bash
# Runs the black-box suites: those that know their subject once, the functional one against each proxy. The same script
# has to hold for nginx and HAProxy, so that a test which is wrong about HTTP is seen to be.
set -euo pipefail
cd "$(dirname "$0")/.."

run() {
    echo "== $1 ${STRATA_SUBJECT:+against $STRATA_SUBJECT}"
    cargo test --locked --workspace --test "$1" -- "${args[@]}"
}

args=("$@")
suites=$(sed -n 's/^path = "suites\/\(.*\)\/main.rs"$/\1/p' tests/Cargo.toml)
for suite in $suites; do
    if [[ $suite != functional ]]; then
        run "$suite"
        continue
    fi
    for subject in ${STRATA_SUBJECT:-nginx haproxy regional two-tier}; do
        STRATA_SUBJECT=$subject run functional
    done
done
