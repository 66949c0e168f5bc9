#!/usr/bin/env bash
# Runs a program on a machine of its own: the file system of this one with the unpacked Debian packages laid over it, whose
# changes are gone with it; a network in which there is nothing but 169.254.169.254; and the server there, as on a VM.
#
#   unshare --net --mount --pid --uts --ipc --fork --kill-child machine.sh SERVER CONFIG PROGRAM
#
# The program finds the server's log, which has a line per request, at /run/server.log, and may change /run/config.json.
set -euo pipefail
server=$1 config=$2
shift 2
packages=$(cd "$(dirname "$0")/../../.." && pwd)/target/clients/guest/system
[ -d "$packages" ] || { echo "$packages: not there; scripts/test unpacks it" >&2; exit 1; }

ip link set lo up
ip address add 169.254.169.254/32 dev lo

# Nothing that is mounted from here on shows outside.
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/{changes,work,root}
# An overlay takes no layer that is inside of another, as the packages are inside of the file system.
cp -a "$packages" /mnt/packages
root=/mnt/root
mount -t overlay overlay -o lowerdir=/mnt/packages:/,upperdir=/mnt/changes,workdir=/mnt/work $root
# No disk is there to be grown, and no kernel parameter to be set: guest software does such things.
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
# What the firmware says, which is how guest software knows where it is.
mkdir -p /mnt/firmware/class/dmi/id /mnt/sysfs
echo Google | tee /mnt/firmware/class/dmi/id/{bios,sys,board,chassis}_vendor >/mnt/firmware/class/dmi/id/bios_version
echo 'Google Compute Engine' | tee /mnt/firmware/class/dmi/id/board_name >/mnt/firmware/class/dmi/id/product_name
echo GoogleCloud-0123456789ABCDEF0123456789ABCDEF >/mnt/firmware/class/dmi/id/product_serial
mount -t sysfs sysfs /mnt/sysfs
mount -t overlay overlay -o lowerdir=/mnt/firmware:/mnt/sysfs $root/sys
# Namespaces look like a container's, in which nobody believes the firmware.
printf '#!/bin/sh\ncase "$*" in *container*) exit 1 ;; esac\necho google\n' >/mnt/systemd-detect-virt
chmod +x /mnt/systemd-detect-virt
cp --remove-destination /mnt/systemd-detect-virt $root/usr/bin/
mount -t tmpfs tmpfs $root/run
mount -t tmpfs tmpfs $root/tmp
cp "$config" $root/run/config.json
cp "$server" $root/run/server
cp "$(dirname "$0")"/*.sh $root/run/
echo '127.0.0.1 localhost' >$root/etc/hosts
echo '169.254.169.254 metadata.google.internal metadata' >>$root/etc/hosts

exec chroot $root /bin/bash /run/boot.sh "$@"
