# Google's guest agent: creates users from the attribute ssh-keys, and waits for changes with a long poll.
sed -i 's/"enable-oslogin": "TRUE"/"enable-oslogin": "FALSE"/' /run/config.json
eventually 'the config is reloaded' grep -q 'config reloaded' /run/server.log
google_guest_agent >/run/agent.log 2>&1 &
agent=$!
trap '[ $? = 0 ] || { cat /run/agent.log >&2; failed; }' EXIT

has() { grep -qF "$2" "/home/$1/.ssh/authorized_keys"; }
eventually 'a user from the attribute' has grace MadeUpPublicKeyOfGrace
waits() { curl -s http://169.254.169.254:9000/metrics | grep -qx 'metadata_waiters [1-9][0-9]*'; }
eventually 'the agent waits for a change' waits
asked() { grep -c 'path="/computeMetadata/v1/' /run/server.log; }
before=$(asked)

# A change wakes the agent.
sed -i 's/"ssh-keys": "/&alan:ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMadeUpPublicKeyOfAlanWithoutAnyPrivateKey00 alan@example.com\\n/' \
  /run/config.json
eventually 'a user from the changed attribute' has alan MadeUpPublicKeyOfAlan
eventually 'the agent waits again' waits
[ $(($(asked) - before)) -lt 20 ] || { echo 'the agent polls in a loop instead of waiting' >&2; exit 1; }
kill -0 $agent
