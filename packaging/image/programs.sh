#!/usr/bin/env bash
# Builds the programs for the image into a tree: programs.sh PROFILE DIRECTORY
#
# Linked statically, glibc too, so that they need nothing else. An explicit target is what keeps build scripts and procedural
# macros, which run while it builds, from being linked so. Names are looked up by code of our own (hickory), not by glibc's plug-ins.
set -euo pipefail
cd "$(dirname "$0")/../.."

profile=${1:?profile: release or dev}
tree=${2:?directory for the tree}
target=$(rustc -vV | sed -n 's/^host: //p')
case $target in
    x86_64-unknown-linux-gnu | aarch64-unknown-linux-gnu) ;;
    *) echo "programs.sh: no static build is known for $target" >&2; exit 1 ;;
esac

registry=${CARGO_HOME:-$HOME/.cargo}
export RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$PWD=/source --remap-path-prefix=$registry=/cargo"
# What is installed below is stripped, so in the unoptimised build the line tables would be made for nothing.
export CARGO_PROFILE_DEV_DEBUG=false
directory=${CARGO_TARGET_DIR:-$PWD/target}/static
cargo build --locked --profile "$profile" --target "$target" --target-dir "$directory" -p global-lb -p regional-lb -p lbctl

built=$directory/$target/${profile/dev/debug}
install -d "$tree/usr/bin" "$tree/etc/ssl/certs" "$tree/usr/share/strata" "$tree/tmp"
for program in global-lb regional-lb lbctl; do
    install -s -m 0755 "$built/$program" "$tree/usr/bin/$program"
done
# kubectl looks for its plug-in by this name.
ln -sf lbctl "$tree/usr/bin/kubectl-lb"
printf 'strata:x:65532:65532:Strata:/:/sbin/nologin\n' >"$tree/etc/passwd"
printf 'strata:x:65532:\n' >"$tree/etc/group"
# For servers and stores whose certificates public authorities signed.
install -m 0644 /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/ca-certificates.crt"
install -m 0644 LICENSE "$tree/usr/share/strata/LICENSE"
python3 scripts/sbom.py >"$tree/usr/share/strata/sbom.cdx.json"
