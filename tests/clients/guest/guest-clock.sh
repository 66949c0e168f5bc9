# Google's guest agent sets the clock by hwclock when the drift token is new. This machine has the host's clock, so a script that only
# records its arguments replaces hwclock before the agent starts.
cat >/run/hwclock <<'SH'
#!/bin/sh
echo "$*" >>/run/hwclock.log
SH
chmod +x /run/hwclock
for folder in /sbin /usr/sbin; do cp --remove-destination /run/hwclock $folder/hwclock; done
cmp /run/hwclock "$(command -v hwclock)"
touch /run/hwclock.log

google_guest_agent >/run/agent.log 2>&1 &
agent=$!
trap '[ $? = 0 ] || { cat /run/agent.log >&2; failed; }' EXIT
waits() { curl -s http://169.254.169.254:9000/metrics | grep -qx 'metadata_waiters [1-9][0-9]*'; }
calls() { wc -l </run/hwclock.log; }
has_called() { [ "$(calls)" = "$1" ]; }
scenario() { curl -sSf -X POST -H 'Content-Type: application/json' -d "$2" "http://127.0.0.1:9001/__admin/scenarios/live-migration/$1" >/dev/null; }
eventually 'the agent waits for a change' waits
before=$(calls)

scenario run '{"progression": "manual"}'
eventually 'the agent waits for the migration' waits
same 'the announcement does not set the clock' "$before" calls
scenario step ''
eventually 'the agent sets the clock after the migration' has_called $((before + 1))
same 'the clock is set from the hardware clock' '--hctosys -u --noadjfile' tail -n 1 /run/hwclock.log
kill -0 $agent
