#!/usr/bin/env bash
# Runs a script on an isolated machine made of namespaces: an overlay of the unpacked Debian packages over the host's file
# system, whose changes are discarded; a network with nothing but 169.254.169.254; and the server at that address, as on a VM.
#
#   unshare --net --mount --pid --uts --ipc --fork --kill-child machine.sh SERVER CONFIG PROGRAM
#
# The server's log, with a line per request, is /run/server.log. The script may change /run/config.json.
set -euo pipefail
server=$1 config=$2
shift 2
packages=$(cd "$(dirname "$0")/../../.." && pwd)/target/clients/guest/system
[ -d "$packages" ] || { echo "$packages: not there; scripts/test unpacks it" >&2; exit 1; }

ip link set lo up
ip address add 169.254.169.254/32 dev lo

# Later mounts are not visible outside of the namespace.
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/{changes,work,root}
# The layers of an overlay must not contain each other, so the packages are copied out of the host's file system.
cp -a "$packages" /mnt/packages
root=/mnt/root
mount -t overlay overlay -o lowerdir=/mnt/packages:/,upperdir=/mnt/changes,workdir=/mnt/work $root
# An empty /dev and a read-only /proc/sys: guest software would grow disks and set kernel parameters.
mount -t tmpfs tmpfs $root/dev
mkdir $root/dev/pts
ln -s /proc/self/fd $root/dev/fd
for device in null zero full random urandom tty; do
  touch $root/dev/$device
  mount --bind /dev/$device $root/dev/$device
done
mount -t proc proc $root/proc
mount --bind $root/proc/sys $root/proc/sys
mount -o remount,bind,ro $root/proc/sys
# The firmware's strings, by which guest software detects GCE.
mkdir -p /mnt/firmware/class/dmi/id /mnt/sysfs
echo Google | tee /mnt/firmware/class/dmi/id/{bios,sys,board,chassis}_vendor >/mnt/firmware/class/dmi/id/bios_version
echo 'Google Compute Engine' | tee /mnt/firmware/class/dmi/id/board_name >/mnt/firmware/class/dmi/id/product_name
echo GoogleCloud-0123456789ABCDEF0123456789ABCDEF >/mnt/firmware/class/dmi/id/product_serial
mount -t sysfs sysfs /mnt/sysfs
mount -t overlay overlay -o lowerdir=/mnt/firmware:/mnt/sysfs $root/sys
# Guest software ignores the firmware inside containers, and these namespaces look like one.
printf '#!/bin/sh\ncase "$*" in *container*) exit 1 ;; esac\necho google\n' >/mnt/systemd-detect-virt
chmod +x /mnt/systemd-detect-virt
cp --remove-destination /mnt/systemd-detect-virt $root/usr/bin/
mount -t tmpfs tmpfs $root/run
mount -t tmpfs tmpfs $root/tmp
cp "$config" $root/run/config.json
cp "$server" $root/run/server
cp "$(dirname "$0")"/*.sh $root/run/
# The Python packages, read-only.
mkdir $root/run/clients
mount --bind "$packages/../.." $root/run/clients
mount -o remount,bind,ro $root/run/clients
echo '127.0.0.1 localhost' >$root/etc/hosts
echo '169.254.169.254 metadata.google.internal metadata' >>$root/etc/hosts

exec chroot $root /bin/bash /run/boot.sh "$@"
