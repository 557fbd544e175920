#!/bin/sh
# Starts systemd as the first process of a machine that is this one's copy: what it writes lies in memory and goes with
# it. $1: an empty folder. Processes, mounts, cgroups and IPC are its own; the network is ours, so that it reaches the
# mail servers of the tests. It starts none of our services: sysinit.target has the journal and little else.
set -eu
folder=$1
if [ "${2:-}" != inside ]; then
    mount --make-rprivate /
    mount -t tmpfs -o size=2G tmpfs "$folder"
    mkdir "$folder/upper" "$folder/work" "$folder/root" "$folder/cgroup"
    # A cgroup of its own, that systemd may divide; ours is somebody else's.
    mount -t cgroup2 cgroup2 "$folder/cgroup"
    own="$folder/cgroup/mailflow-test-$$"
    mkdir "$own"
    # shellcheck disable=SC2016  # the inner shell expands it
    status=0
    sh -c 'echo $$ >"$1/cgroup.procs" && exec unshare --mount --cgroup --pid --ipc --uts --fork sh "$2" "$3" inside' \
        sh "$own" "$0" "$folder" || status=$?
    find "$own" -depth -type d -exec rmdir {} + 2>/dev/null || :
    exit "$status"
fi
cd "$folder"
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
mount -t proc proc root/proc
mount --bind root/proc/sys root/proc/sys
mount -o remount,bind,ro root/proc/sys
mount -t sysfs sysfs root/sys
mount -o remount,bind,ro root/sys
mount -t cgroup2 cgroup2 root/sys/fs/cgroup
for name in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "root/$name"; done
chmod 1777 root/tmp
mkdir root/dev/shm root/dev/pts
mount -t tmpfs -o mode=1777 tmpfs root/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts root/dev/pts
ln -s pts/ptmx root/dev/ptmx
ln -s /proc/self/fd root/dev/fd
for name in null zero full random urandom tty; do
    touch "root/dev/$name"
    mount --bind "/dev/$name" "root/dev/$name"
done
# The network is there, and whatever this machine does to bring it up must not be done again.
ln -sf /dev/null root/etc/systemd/system/network-online.target
# dpkg is told by this script, where somebody left one, to start nothing.
rm -f root/usr/sbin/policy-rc.d
hostname mailflow-test
# Not chroot, in which no process may have a user namespace (PrivateUsers=).
cd root
mkdir -p mnt/before
pivot_root . mnt/before
umount -l /mnt/before
# So that what systemd mounts for a service (its credentials) reaches it.
mount --make-rshared /
exec env -i container=mailflow-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=sysinit.target --show-status=no --log-target=journal
