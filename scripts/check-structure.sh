#!/usr/bin/env bash
# What the compiler does not check: sizes, the rings, and what may not stand in the sources. Prints every fault.
set -euo pipefail
cd "$(dirname "$0")/.."

MAX_LINES=600
MAX_MEDIAN=150
# What the pure ring must not depend on, directly or not: runtimes, sockets, logging, the global random number generator.
IMPURE='^(tokio|pingora[a-z-]*|mio|socket2|hyper|async-std|log|env_logger|getrandom) '

faults=0
fault() {
    echo "structure: $*" >&2
    faults=$((faults + 1))
}

# Sources that ship. Tests may be long, and the packages `tests`, `bench` and `sim` are not shipped.
shipped() {
    git ls-files --cached --others --exclude-standard -- '*.rs' |
        grep -vE '^(tests|bench|sim)/|/tests/|/tests\.rs$|_tests\.rs$' |
        while read -r file; do [[ ! -f $file ]] || echo "$file"; done
}

# Finds a pattern in Rust sources, comments left out; each hit is a fault.
forbid() {
    local reason=$1 pattern=$2 hits
    hits=$(git ls-files --cached --others --exclude-standard -- '*.rs' | xargs -r grep -nHE "$pattern" 2>/dev/null |
        grep -vE '^[^:]*:[0-9]+: *//' || true)
    [[ -z $hits ]] || fault "$reason"$'\n'"$hits"
}

sizes=$(shipped | xargs wc -l | grep -v ' total$' | sort -n | awk '{ print $1, $2 }')
while read -r lines file; do
    ((lines <= MAX_LINES)) || fault "$file has $lines lines, more than $MAX_LINES: split it"
done <<<"$sizes"
median=$(awk '{ n[NR] = $1 } END { print n[int((NR + 1) / 2)] }' <<<"$sizes")
((median <= MAX_MEDIAN)) || fault "half of the files have more than $median lines; $MAX_MEDIAN are enough"

forbid 'unsafe code' '\bunsafe[[:space:]]*(\{|fn\b|impl\b|trait\b|extern\b)'
words=$(shipped | xargs grep -nHwiE 'backends?|clusters?' || true)
[[ -z $words ]] || fault "CONTRIBUTING.md has the words that we use: server or endpoint, pool, region, replica"$'\n'"$words"
todo=$(git grep --untracked -nwE 'TODO|FIXME|XXX' -- '*.rs' '*.toml' '*.sh' '*.yaml' '*.py' ':!scripts/check-structure.sh' || true)
[[ -z $todo ]] || fault "work left open: do it, or open an issue"$'\n'"$todo"

tree=$(cargo tree --locked --package lb-core --edges normal,build --prefix none)
impure=$(grep -E "$IMPURE" <<<"$tree" | sort -u || true)
[[ -z $impure ]] || fault "lb-core is pure, but depends on"$'\n'"$impure"
pingora=$(cargo tree --locked --package lb-core --edges normal,build,dev --prefix none | grep -E '^(tokio|pingora)' || true)
[[ -z $pingora ]] || fault "not even a test of lb-core needs"$'\n'"$pingora"
grep -qx 'unsafe_code = "forbid"' Cargo.toml || fault 'Cargo.toml no longer forbids unsafe code'
for manifest in shared/core shared/files shared/runtime global-lb regional-lb lbctl tests bench sim; do
    grep -A1 '^\[lints\]' "$manifest/Cargo.toml" | grep -q '^workspace = true' ||
        fault "$manifest/Cargo.toml does not take the workspace's lints"
done

if ((faults > 0)); then
    echo "structure: $faults faults" >&2
    exit 1
fi
echo "structure: $(wc -l <<<"$sizes") files that ship, median $median lines, longest $(tail -1 <<<"$sizes" | cut -d' ' -f1); lb-core is pure"
