# Runs inside of the machine: starts the server, whose admin API is at 127.0.0.1:9001, then sources the script.
set -euo pipefail
cd /
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
/run/server --config-file /run/config.json --interface 169.254.169.254 --port 80 \
  --metrics-enabled --metrics-interface 169.254.169.254 --admin 9001 -v 1 >/run/server.out 2>/run/server.log &
# The server prints its address once it listens.
until [ -s /run/server.out ]; do
  kill -0 $! || { cat /run/server.log >&2; exit 1; }
done
failed() { echo "-- the server's log" >&2; cat /run/server.log >&2; }
trap '[ $? = 0 ] || failed' EXIT

# same WHAT WANTED COMMAND…: the command's output equals WANTED.
same() {
  local what=$1 wanted=$2 got
  shift 2
  got=$("$@") || { echo "$what: $* failed: $got" >&2; exit 1; }
  [ "$got" = "$wanted" ] || { printf '%s\n  wanted: %s\n  got:    %s\n' "$what" "$wanted" "$got" >&2; exit 1; }
}

# eventually WHAT COMMAND…: the command succeeds within a minute.
eventually() {
  local what=$1 deadline=$((SECONDS + 60))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || { echo "$what: not within a minute" >&2; exit 1; }
  done
}

source "/run/$1"
