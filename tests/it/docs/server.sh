#!/usr/bin/env bash
# Stands for gce-metadata-server in the commands of the documentation. A server runs in the background at ports that it chose itself;
# the file `ports` maps the documented ports to these. Everything else is run unchanged.
set -euo pipefail
state=$(dirname "$0")/..

case "${1-}" in
  -V | --version | -h | --help) exec "$PROGRAM" "$@" ;;
  '' | serve | -*) ;;
  *) exec "$PROGRAM" "$@" ;;
esac

http=8080 tls='' metrics='' admin='' previous=''
for word; do
  case "$previous" in
    --port) http=$word ;;
    --tls-port) tls=$word ;;
    --admin) admin=$word ;;
  esac
  [ "$word" != --metrics-enabled ] || metrics=9000
  previous=$word
done
free=(--port 0)
[ -z "$tls" ] || free+=(--tls-port 0)
[ -z "$metrics" ] || free+=(--metrics-port 0)
[ -z "$admin" ] || free+=(--admin 0)
# In a network of its own, every port is free.
[ -z "${DOCUMENTED_PORTS-}" ] || free=()

mkfifo "$state/announcement.$$"
"$PROGRAM" "$@" "${free[@]}" </dev/null >"$state/announcement.$$" 2>"$state/log.$$" &
server=$!
# The server writes the announcement at once, so one read gets all of it.
announcement=$(dd bs=65536 count=1 status=none <"$state/announcement.$$")
if [ -z "$announcement" ]; then
  cat "$state/log.$$" >&2
  wait "$server"
  exit
fi
echo "$server" >>"$state/servers"
echo "$announcement"
while read -r line; do
  case "$line" in
    '# Serving '*' at http'*) echo "$http ${line##*:}" ;;
    '# HTTPS for clients'*) echo "$tls ${line##*:}" ;;
    '# Metrics '*) echo "$metrics ${line##*:}" ;;
    'export GCE_METADATA_ADMIN='*) echo "$admin ${line##*:}" ;;
  esac
done <<<"$announcement" >>"$state/ports"
