# Google's clock skew daemon sets the clock by hwclock when the drift token is new, as after a live migration. This machine has the
# host's clock, so a script that only records its arguments replaces hwclock before the daemon starts.
cat >/run/hwclock <<'SH'
#!/bin/sh
echo "$*" >>/run/hwclock.log
SH
chmod +x /run/hwclock
for folder in /sbin /usr/sbin; do cp --remove-destination /run/hwclock $folder/hwclock; done
mkdir -p /run/lock
touch /run/hwclock.log

packages=$(echo /run/clients/venv/lib/python3*/site-packages)
PYTHONPATH=$packages python3 -W ignore -m google_compute_engine.clock_skew.clock_skew_daemon --debug >/run/daemon.log 2>&1 &
daemon=$!
google_guest_agent >/run/agent.log 2>&1 &
agent=$!
trap '[ $? = 0 ] || { cat /run/daemon.log /run/agent.log >&2; failed; }' EXIT
wait_for_a_change() { curl -s http://169.254.169.254:9000/metrics | grep -qx 'metadata_waiters 2'; }
syncs() { grep -cxe --hctosys /run/hwclock.log; }
has_synced() { [ "$(syncs)" = "$1" ]; }
migration() { curl -sSf -X POST -H 'Content-Type: application/json' -d "$2" "http://127.0.0.1:9001/__admin/scenarios/live-migration/$1" >/dev/null; }
asked() { grep -c 'path="/computeMetadata/v1/' /run/server.log; }
eventually 'the daemon sets the clock at its start' has_synced 1
eventually 'the daemon and the guest agent wait for a change' wait_for_a_change
before=$(asked)

migration run '{"progression": "manual"}'
eventually 'both wait for the migration' wait_for_a_change
has_synced 1 || { echo 'the announcement has set the clock' >&2; exit 1; }
migration step ''
eventually 'the daemon sets the clock after the migration' has_synced 2
migration step ''
eventually 'both wait after the migration' wait_for_a_change
has_synced 2 || { echo 'the end of the migration has set the clock, although the drift token stays' >&2; exit 1; }
[ $(($(asked) - before)) -lt 20 ] || { echo 'a program polls in a loop instead of waiting' >&2; exit 1; }
kill -0 $daemon $agent
