# Google's guest agent: makes people of the attribute ssh-keys, and waits for it to change.
sed -i 's/"enable-oslogin": "TRUE"/"enable-oslogin": "FALSE"/' /run/config.json
eventually 'the config is followed' grep -q 'config reloaded' /run/server.log
google_guest_agent >/run/agent.log 2>&1 &
agent=$!
trap '[ $? = 0 ] || { cat /run/agent.log >&2; failed; }' EXIT

has() { grep -qF "$2" "/home/$1/.ssh/authorized_keys"; }
eventually 'a person of the attribute' has grace MadeUpKeyOfGrace
waits() { curl -s http://169.254.169.254:9000/metrics | grep -qx 'metadata_waiters [1-9][0-9]*'; }
eventually 'it waits for a change' waits
asked() { grep -c 'path="/computeMetadata/v1/' /run/server.log; }
before=$(asked)

# A change wakes it.
sed -i 's/"ssh-keys": "/&alan:ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMadeUpKeyOfAlanThatOpensNothingAtAllAnywh alan@example.com\\n/' \
  /run/config.json
eventually 'a person of the changed attribute' has alan MadeUpKeyOfAlan
eventually 'it waits again' waits
[ $(($(asked) - before)) -lt 20 ] || { echo 'it does not wait, it asks again and again' >&2; exit 1; }
kill -0 $agent
