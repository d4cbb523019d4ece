#!/usr/bin/env bash
# Holds the documentation against the programs and the tree. Usage: check-docs.sh DIRECTORY_OF_THE_PROGRAMS
#
# Every block of YAML starts with a comment that says what it is:
#   # tier: regional             a whole file (or global): it must pass `regional-lb check`
#   # part of: regional          some top-level keys: they must pass together with those of a small whole file
#   # from: conf/regional.yaml   lines of that file, as they stand there
# Paths of this repository in backticks and relative links must exist, and so must every `make` target that is named.
set -euo pipefail
programs=$(realpath "${1:-target/debug}")
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
faults=0
fault() {
    echo "docs: $*" >&2
    faults=$((faults + 1))
}

mapfile -t pages < <(git ls-files --cached --others --exclude-standard -- '*.md' ':!bench/*' ':!tests/*')

cat >"$work/base.regional" <<'YAML'
name: r1
region: eu
listeners:
  - { name: web, address: 127.0.0.1:8080 }
routes:
  - { name: all, pool: app }
pools:
  - name: app
    servers:
      - { name: app-1, address: 127.0.0.1:9001 }
YAML
cat >"$work/base.global" <<'YAML'
name: g1
listeners:
  - { name: web, address: 127.0.0.1:8080 }
routes:
  - { name: all }
regions:
  - name: eu
    replicas:
      - { name: r1, address: 127.0.0.1:8081, admin: 127.0.0.1:9901 }
  - name: us
    replicas:
      - { name: r1, address: 127.0.0.1:8082, admin: 127.0.0.1:9902 }
YAML

# Writes each YAML block of a page to $work/block.N, its line number in front.
blocks() {
    awk -v out="$work/block." '
        /^```yaml/ { on = 1; n++; print NR > (out n); next }
        /^```/ { on = 0; next }
        on { print > (out n) }
    ' "$1"
}

# The base's top-level keys that the part does not have, then the part.
merge() {
    awk '
        NR == FNR { if (match($0, /^[a-z_]+:/)) has[substr($0, 1, RLENGTH)] = 1; next }
        match($0, /^[a-z_]+:/) { keep = !(substr($0, 1, RLENGTH) in has) }
        keep
    ' "$1" "$2"
    cat "$1"
}

check() {
    local tier=$1 file=$2 where=$3 told
    [[ $tier == regional || $tier == global ]] || { fault "$where: there is no tier \"$tier\""; return; }
    told=$("$programs/$tier-lb" check "$file" 2>&1) || fault "$where: $tier-lb refuses the block"$'\n'"$told"
}

verbatim() {
    awk 'NR == FNR { want[++n] = $0; next } { have[++m] = $0 }
        END {
            for (i = 1; i + n - 1 <= m; i++) {
                for (j = 1; j <= n && have[i + j - 1] == want[j]; j++);
                if (j > n) exit 0
            }
            exit 1
        }' "$1" "$2"
}

count=0
for page in "${pages[@]}"; do
    rm -f "$work"/block.*
    blocks "$page"
    for block in "$work"/block.*; do
        [[ -e $block ]] || continue
        count=$((count + 1))
        where="$page:$(head -1 "$block")"
        kind=$(sed -n 2p "$block")
        tail -n +3 "$block" >"$work/body"
        case $kind in
        '# tier: '*) check "${kind#\# tier: }" "$work/body" "$where" ;;
        '# part of: '*)
            tier=${kind#\# part of: }
            [[ ! -e $work/base.$tier ]] || merge "$work/body" "$work/base.$tier" >"$work/whole"
            check "$tier" "$work/whole" "$where"
            ;;
        '# from: '*)
            file=${kind#\# from: }
            if [[ ! -f $file ]]; then
                fault "$where: there is no $file"
            elif ! verbatim "$work/body" "$file"; then
                fault "$where: these are not lines of $file"
            fi
            ;;
        *) fault "$where: the block does not say what it is (see $0)" ;;
        esac
    done
done

# Paths in backticks may start at the root or at a ring's sources.
for page in "${pages[@]}"; do
    directory=$(dirname "$page")
    while read -r path; do
        for root in . "$directory" shared/core/src shared/runtime/src; do
            [[ ! -e $root/$path ]] || continue 2
        done
        fault "$page: there is no \`$path\`"
    done < <(awk '/^```/ { code = !code } !code' "$page" |
        grep -oE '`[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*(/|\.(rs|md|toml|sh|yaml|json))`' | tr -d '`' | sort -u)
    while read -r link; do
        [[ -e $directory/${link%%#*} ]] || fault "$page: the link to $link leads nowhere"
    done < <(grep -oE '\]\([^)#: ]+[^):]*\)' "$page" | sed 's/^](//; s/)$//' | grep -v '^#' | sort -u)
    while read -r target; do
        grep -q "^$target:" Makefile || fault "$page: there is no \`make $target\`"
    done < <(grep -oE '`make [a-z-]+`' "$page" | sed 's/`make \(.*\)`/\1/' | sort -u)
done

if ((faults > 0)); then
    echo "docs: $faults faults" >&2
    exit 1
fi
echo "docs: ${#pages[@]} pages, $count configurations; examples, paths and links hold"
