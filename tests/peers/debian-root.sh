#!/bin/bash
# A clean Debian, the smallest with systemd, made once: debian-root.sh DIRECTORY. As root. From the mirror that apt uses here.
set -euo pipefail
root=$1
mkdir -p "$(dirname "$root")"
exec 9>"$root.lock"
flock 9
[[ ! -d $root ]] || exit 0
. /etc/os-release
mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v release="$VERSION_CODENAME" '$2 == release && $3 == "main" { print $1; exit }')
[[ -n $mirror ]] || { echo "apt knows no mirror of $VERSION_CODENAME: run apt-get update" >&2; exit 1; }
rm -rf "$root.new"
PATH=$PATH:/usr/sbin:/sbin debootstrap --variant=minbase --include=systemd "$VERSION_CODENAME" "$root.new" "$mirror"
rm -rf "$root.new"/var/cache/apt/archives/*.deb "$root.new"/var/lib/apt/lists/*
mv "$root.new" "$root"
