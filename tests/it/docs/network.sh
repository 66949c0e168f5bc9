#!/usr/bin/env bash
# The first process of a network of its own (network.rs): prepares it, prints its process id, and waits.
set -euo pipefail

ip link set lo up
# A route to everywhere, as a machine has: packets for an address without a route never reach the packet filter.
ip link add eth0 type veth peer name outside
ip address add 192.0.2.2/24 dev eth0
ip link set eth0 up
ip link set outside up
ip route add default via 192.0.2.1

mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/{changes,work}
mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/changes,workdir=/mnt/work /etc

# The id outside of the namespaces: /proc is still that of the host.
read -r pid _ </proc/self/stat
echo "$pid"
read -r _
