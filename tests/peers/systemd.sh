#!/bin/bash
# A systemd of its own as process 1 of a new pid namespace, for one test. As root:
#
#   unshare --mount --pid --cgroup --uts --ipc --fork --kill-child tests/peers/systemd.sh DIRECTORY PROGRAMS
#
# DIRECTORY has etc/ (configurations) and units/ (services); PROGRAMS becomes /opt/bin. None of the machine's own units is seen, and
# no cgroup controller is touched: only systemd's own hierarchy is mounted, from this process's cgroup downwards.
set -euo pipefail
dir=$(realpath "$1")
programs=$(realpath "$2")

mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /opt
mkdir -p /opt/bin /opt/etc /opt/units /etc/systemd /etc/strata
mount --bind "$programs" /opt/bin
cp "$dir"/etc/* /opt/etc/
cp "$dir"/units/* /opt/units/
mount -t tmpfs tmpfs /etc/systemd
mount -t tmpfs tmpfs /etc/strata
cp /opt/etc/* /etc/strata/
mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/systemd
mount -t tmpfs tmpfs /usr/lib/systemd/system
cp /opt/units/* /usr/lib/systemd/system/
for target in sysinit basic multi-user shutdown umount network-online; do
    printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' "$target" >"/usr/lib/systemd/system/$target.target"
done
echo 0123456789abcdef0123456789abcdef >/run/machine-id
[[ ! -e /etc/machine-id ]] || mount --bind /run/machine-id /etc/machine-id
if [[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]]; then
    mount -t cgroup2 cgroup /sys/fs/cgroup
else
    mount -t tmpfs tmpfs /sys/fs/cgroup
    mkdir /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
fi
export container=strata
exec /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --show-status=no \
    --default-standard-output=inherit
