# A client of scripts/retry-matrix: Google's guest agent. It takes the fault from FAULT, a stub mapping, and the seconds for which the
# server is not ready from NOT_READY, and prints the journal at the end.
sed -i 's/"enable-oslogin": "TRUE"/"enable-oslogin": "FALSE"/' /run/config.json
eventually 'the config is reloaded' grep -q 'config reloaded' /run/server.log
admin() { curl -sSf -H 'Content-Type: application/json' "http://127.0.0.1:9001/__admin/$1" "${@:2}"; }
[ -z "${FAULT:-}" ] || admin mappings -d "$FAULT" >/dev/null
[ -z "${NOT_READY:-}" ] || admin settings -d '{"ready": false}' >/dev/null

# The agent sets the clock by /sbin/hwclock, with that path, so PATH does not matter. This one only records its call; it is in the
# machine's overlay, as all files here are. The agent itself can't set the clock, because it has no CAP_SYS_TIME.
rm -f /usr/sbin/hwclock
printf '#!/bin/sh\necho "hwclock $*" >>/run/hwclock.log\n' >/usr/sbin/hwclock
chmod +x /usr/sbin/hwclock
echo started
setpriv --bounding-set -sys_time google_guest_agent >/run/agent.log 2>&1 &
agent=$!
trap '[ $? = 0 ] || { cat /run/agent.log >&2; failed; }' EXIT
if [ -n "${NOT_READY:-}" ]; then
  sleep "$NOT_READY"
  admin settings -d '{"ready": true}' >/dev/null
fi

# The agent has got the metadata when it has created the user of the attribute ssh-keys.
outcome=ok
deadline=$((SECONDS + 280))
until grep -qsF MadeUpPublicKeyOfGrace /home/grace/.ssh/authorized_keys; do
  kill -0 $agent || { outcome='error exit'; break; }
  [ $SECONDS -lt $deadline ] || { outcome='error none'; break; }
  sleep 0.2
done
echo "$outcome"
echo "journal $(admin requests)"
# Shown with the output of the client.
[ ! -e /run/hwclock.log ] || cat /run/hwclock.log >&2
