# Debian's google-compute-engine-oslogin: its NSS modules know made-up people, and its PAM modules log them in.

# As the package's own google_oslogin_control has it.
sed -i 's/^passwd:.*/passwd: files cache_oslogin oslogin/; s/^group:.*/group: files cache_oslogin oslogin/' /etc/nsswitch.conf
mkdir -p /var/google-users.d /var/google-sudoers.d
cat >/etc/pam.d/machine <<'PAM'
auth     [success=done perm_denied=die default=ignore] pam_oslogin_login.so
account  [success=ok ignore=ignore default=die] pam_oslogin_login.so
account  [success=ok default=ignore] pam_oslogin_admin.so
session  [success=ok default=ignore] pam_mkhomedir.so
session  required pam_unix.so
PAM

# One by one, from the server.
ada='ada_example_com:*:2001:2001::/home/ada_example_com:/bin/bash'
same 'a person by name' "$ada" getent passwd ada_example_com
same 'a person by number' "$ada" getent passwd 2001
same 'what a short profile lacks' 'bob_example_com:*:2002:2002::/home/bob_example_com:/bin/bash' getent passwd bob_example_com
# This version of the module writes rubbish where the password would be.
group() { getent group "$1" | cut -d: -f1,3,4; }
same 'a group of her own' 'ada_example_com:2001:ada_example_com' group 2001
nobody() { getent passwd zoe_example_com || echo nobody; }
same 'a stranger' nobody nobody

# All of them, page after page, for its cache; it asks for the members of each group, too.
google_oslogin_nss_cache
everybody() { getent passwd | grep -o '^[a-z]*_example_com' | sort | paste -sd ' '; }
same 'everybody' 'ada_example_com bob_example_com eve_example_com' everybody
same 'a group by name' 'builders:3001:ada_example_com,bob_example_com' group builders
same 'a group by number' 'painters:3002:' group 3002
same 'who she is' 'uid=2001(ada_example_com) gid=2001(ada_example_com) groups=2001(ada_example_com),3001(builders)' \
  id ada_example_com
rm /etc/oslogin_*.cache

# sshd's questions.
same 'keys, without expired ones' \
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMadeUpKeyOfAdaThatOpensNothingAtAllAnywhe ada@example.com' \
  google_authorized_keys ada_example_com
same 'keys in a security key' 'sk-ssh-ed25519@openssh.com AAAAmadeup ada@example.com' google_authorized_keys_sk ada_example_com
refused_key() { google_authorized_keys eve_example_com || true; }
same 'keys of somebody who may not log in' '' refused_key

# PAM: a whole login, second factor included.
totp() {
  python3 - <<'PY'
import base64, hashlib, hmac, struct, time
key = base64.b32decode("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
digest = hmac.new(key, struct.pack(">Q", int(time.time()) // 30), hashlib.sha1).digest()
start = digest[19] & 15
print("%06d" % ((struct.unpack(">I", digest[start:start + 4])[0] & 0x7FFFFFFF) % 10**6))
PY
}
log_in() { printf '%s\n' "${@:2}" | pamtester machine "$1" authenticate acct_mgmt open_session; }
log_in ada_example_com 1 "$(totp)"
[ -d /home/ada_example_com ] || { echo 'she has no home' >&2; exit 1; }
same 'she may be root' 'ada_example_com ALL=(ALL) NOPASSWD: ALL' cat /var/google-sudoers.d/ada_example_com
log_in ada_example_com 2 ''
log_in bob_example_com 123456
[ -e /var/google-users.d/bob_example_com ] || { echo 'he did not get in' >&2; exit 1; }
[ ! -e /var/google-sudoers.d/bob_example_com ] || { echo 'he must not be root' >&2; exit 1; }

! log_in ada_example_com 1 000000 || { echo 'a wrong code is let in' >&2; exit 1; }
! log_in bob_example_com 654321 || { echo 'a wrong code is let in' >&2; exit 1; }
! pamtester machine eve_example_com acct_mgmt || { echo 'somebody without a policy is let in' >&2; exit 1; }
! log_in zoe_example_com '' || { echo 'a stranger is let in' >&2; exit 1; }

# SSH: Debian's sshd lets her in by the key in her profile, as the machine's own.
ssh-keygen -q -t ed25519 -N '' -f /root/key
sed -i "s|ssh-ed25519 AAAA[A-Za-z0-9]* ada@example.com|$(cut -d ' ' -f 1,2 /root/key.pub) ada@example.com|" /run/config.json
key_is_known() { google_authorized_keys ada_example_com | grep -qF "$(cut -d ' ' -f 2 /root/key.pub)"; }
eventually 'her new key' key_is_known
useradd --system --no-create-home --home-dir /run/sshd sshd
mkdir /run/sshd
ssh-keygen -q -t ed25519 -N '' -f /run/host_key
cat >/run/sshd_config <<'CONFIG'
HostKey /run/host_key
AuthorizedKeysCommand /usr/bin/google_authorized_keys
AuthorizedKeysCommandUser root
AuthenticationMethods publickey
UsePAM yes
CONFIG
cp /etc/pam.d/machine /etc/pam.d/sshd
ssh_in() {
  ssh -F none -i /root/key -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
    -o ProxyCommand='/usr/sbin/sshd -i -f /run/sshd_config' "$1@vm" 'id -un; pwd'
}
same 'a session of hers' $'ada_example_com\n/home/ada_example_com' ssh_in ada_example_com
! ssh_in bob_example_com || { echo 'a key lets somebody else in' >&2; exit 1; }

# Nothing of it is in the log.
! grep -qE 'JBSWY|123456|654321' /run/server.log || { echo 'a secret is in the log' >&2; exit 1; }

# Switched off, there are no such people.
sed -i 's/"enable-oslogin": "TRUE"/"enable-oslogin": "FALSE"/' /run/config.json
gone() { ! getent passwd ada_example_com; }
eventually 'OS Login is off' gone
