#!/usr/bin/env bash
# Runs black-box suites: `black-box.sh "SUITE..." [ARGUMENT OF THE TEST RUNNER]...`.
#
# Suites start dozens of programs on two cores, which a shared machine may take away for a while; a deadline that is missed then says
# nothing of the program. So up to three tests that failed are tried once more, each alone. What passes only so is named at the end: it is a
# test to be made independent of the machine, or a fault that needs a slow one to show. Anything else is a failure.
set -uo pipefail
cd "$(dirname "$0")/.."

readonly MOST=3
cargo=(${CARGO:-cargo} test --locked --workspace)
logs=$(mktemp -d)
beside=
finish() {
    [[ -z $beside ]] || kill -- "-$beside" 2>/dev/null
    rm -rf "$logs"
}
trap finish EXIT

# Some wait more than they work, and measure nothing: those of `one` run beside those of `two`.
one=() two=() rest=()
for suite in $1; do
    case $suite in
        containers | packages) one+=("--test=$suite") ;;
        discovery | state) two+=("--test=$suite") ;;
        *) rest+=("--test=$suite") ;;
    esac
done
shift

status=0
if ((${#one[@]})); then
    # A process group of its own, so that it can be ended with all that it started.
    set -m
    "${cargo[@]}" --no-fail-fast "${one[@]}" -- "$@" >"$logs/one" 2>&1 &
    beside=$!
    set +m
fi
for lane in two rest; do
    declare -n tests=$lane
    if ((${#tests[@]})); then
        "${cargo[@]}" --no-fail-fast "${tests[@]}" -- "$@" 2>&1 | tee "$logs/$lane"
        status=$((status | PIPESTATUS[0]))
    fi
    # Nothing runs beside what is measured.
    if [[ -n $beside ]]; then
        wait "$beside" || status=$?
        beside=
        cat "$logs/one"
    fi
done
[[ $status == 0 ]] && exit 0

cat "$logs"/* >"$logs/log"
log=$logs/log
# Lines of "SUITE TEST". One that runs itself again in a namespace of its own fails twice.
mapfile -t failed < <(awk '
    $1 == "Running" && $2 ~ /^suites\// { split($2, path, "/"); suite = path[2] }
    /^test .* \.\.\. FAILED$/ { print suite, $2 }' "$log" | sort -u)
# A suite that was killed, or was not built, names no test.
targets=$(grep -c '^    `-p strata-tests --test ' "$log")
named=$(printf '%s\n' "${failed[@]}" | cut -d' ' -f1 | sort -u | grep -c .)
if ((${#failed[@]} == 0 || ${#failed[@]} > MOST || named < targets)); then
    exit "$status"
fi

echo "once more, each alone: ${failed[*]/%/;}"
for one in "${failed[@]}"; do
    read -r suite name <<<"$one"
    "${cargo[@]}" --test "$suite" -- --exact "$name" || exit "$status"
done
printf 'PASSED ONLY ALONE: %s\n' "${failed[@]}"
