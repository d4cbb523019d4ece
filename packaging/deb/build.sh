#!/usr/bin/env bash
# Builds the Debian package from programs that are built already: build.sh PROGRAMS OUTPUT [OPTION-OF-DPKG-DEB...]
#
# A plain `dpkg-deb` and not cargo-deb: the programs of a test build can be packed as well as those of a release, what is in the package
# is what stands here, and everything needed is in Debian (dpkg-dev). The same programs give the same package, byte for byte.
set -euo pipefail
umask 022

(($# >= 2)) || {
    echo "usage: $0 PROGRAMS OUTPUT [OPTION-OF-DPKG-DEB...]" >&2
    exit 2
}
programs=$(realpath "$1")
mkdir -p "$2"
output=$(realpath "$2")
shift 2
cd "$(dirname "$0")/../.."
source=packaging/deb/debian
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

version=$(dpkg-parsechangelog -l "$source/changelog" -S Version)
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -l "$source/changelog" -S Timestamp)
export SOURCE_DATE_EPOCH
architecture=$(dpkg --print-architecture)
for program in global-lb regional-lb lbctl; do
    said=$("$programs/$program" --version)
    [[ $said == "$program $version" ]] || {
        echo "the changelog is of version $version, and $programs/$program says: $said" >&2
        exit 1
    }
    install -D "$programs/$program" "$root/usr/bin/$program"
    strip --strip-unneeded --remove-section=.comment "$root/usr/bin/$program"
done

# === Manual pages and completions, by the programs themselves ===

for program in global-lb regional-lb lbctl; do
    mkdir -p "$root/usr/share/man/man1"
    "$programs/$program" man "$root/usr/share/man/man1"
done
completions() {
    install -d "$root/$2"
    "$programs/lbctl" completions "$1" >"$root/$2/$3"
}
completions bash usr/share/bash-completion/completions lbctl
completions zsh usr/share/zsh/vendor-completions _lbctl
completions fish usr/share/fish/vendor_completions.d lbctl.fish

# === Services, configuration, documents ===

for tier in global-lb regional-lb; do
    install -D -m 644 "packaging/systemd/$tier.service" "$root/lib/systemd/system/$tier.service"
    install -D -m 644 "packaging/deb/etc/$tier.yaml" "$root/etc/strata/$tier.yaml"
done
install -D -m 644 "$source/sysusers.conf" "$root/usr/lib/sysusers.d/strata.conf"
install -D -m 644 "$source/strata.preset" "$root/lib/systemd/system-preset/50-strata.preset"
documents=$root/usr/share/doc/strata
install -D -m 644 "$source/copyright" "$documents/copyright"
install -m 644 docs/*.md "$documents"
install -D -m 644 -t "$documents/schema" docs/schema/*.json
install -m 644 "$source/changelog" "$documents/changelog"
find "$root/usr/share/man" "$documents/changelog" -type f -exec gzip -9n {} +

# === Control ===

install -d "$root/DEBIAN"
mkdir "$work/debian"
cp "$source/control" "$source/changelog" "$work/debian"
depends=$(cd "$work" && dpkg-shlibdeps -O root/usr/bin/* | sed 's/^shlibs:Depends=//')
{
    printf 'Package: strata\nVersion: %s\nArchitecture: %s\n' "$version" "$architecture"
    printf 'Installed-Size: %s\n' "$(du -k -s --apparent-size --exclude DEBIAN "$root" | cut -f 1)"
    grep -E '^(Maintainer|Section|Priority):' "$source/control"
    sed -n '/^Package:/,$p' "$source/control" | grep -Ev '^(Package|Architecture):' |
        sed "s/\${shlibs:Depends}/$depends/"
} >"$root/DEBIAN/control"
install -m 644 "$source/conffiles" "$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 755 "$source/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\n' | grep -v '^etc/' | LC_ALL=C sort |
    xargs -d '\n' md5sum >DEBIAN/md5sums)

find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
package=$output/strata_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz "$@" --build "$root" "$package" >/dev/null
echo "$package"
