#!/bin/bash
# Boots a Debian with a systemd of its own as process 1 of new namespaces, for one test. As root:
#
#   unshare --mount --pid --cgroup --uts --ipc --net --fork --kill-child tests/peers/debian.sh ROOT PACKAGE
#
# ROOT is not changed: what is written goes into memory, and is gone with the test. PACKAGE lies there as /strata.deb.
set -euo pipefail
root=$(realpath "$1")
package=$(realpath "$2")

mount --make-rprivate /
PATH=$PATH:/usr/sbin:/sbin ip link set lo up
mount -t tmpfs -o size=1g tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o "lowerdir=$root,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
cd /mnt/root
cp "$package" strata.deb
echo 0123456789abcdef0123456789abcdef >etc/machine-id
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs dev
mkdir dev/pts dev/shm
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
ln -s /proc/self/fd dev/fd
# PrivateDevices wants one to copy.
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
if [[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]]; then
    mount -t cgroup2 cgroup sys/fs/cgroup
else
    mount -t tmpfs tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
fi
mkdir -p run/old
pivot_root . run/old
umount -l /run/old
rmdir /run/old
export container=strata PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec chroot . /lib/systemd/systemd --system --unit=multi-user.target --show-status=no
