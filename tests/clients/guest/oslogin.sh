# Debian's google-compute-engine-oslogin: its NSS modules resolve the config's users, and its PAM modules log them in.

# The same settings as the package's google_oslogin_control makes.
sed -i 's/^passwd:.*/passwd: files cache_oslogin oslogin/; s/^group:.*/group: files cache_oslogin oslogin/' /etc/nsswitch.conf
mkdir -p /var/google-users.d /var/google-sudoers.d
cat >/etc/pam.d/machine <<'PAM'
auth     [success=done perm_denied=die default=ignore] pam_oslogin_login.so
account  [success=ok ignore=ignore default=die] pam_oslogin_login.so
account  [success=ok default=ignore] pam_oslogin_admin.so
session  [success=ok default=ignore] pam_mkhomedir.so
session  required pam_unix.so
PAM

# Single users and groups, from the server.
ada='ada_example_com:*:2001:2001::/home/ada_example_com:/bin/bash'
same 'a user by name' "$ada" getent passwd ada_example_com
same 'a user by uid' "$ada" getent passwd 2001
same 'defaults of a short profile' 'bob_example_com:*:2002:2002::/home/bob_example_com:/bin/bash' getent passwd bob_example_com
# This version of the module writes garbage in the password field.
group() { getent group "$1" | cut -d: -f1,3,4; }
same 'the group of a user' 'ada_example_com:2001:ada_example_com' group 2001
unknown() { getent passwd zoe_example_com || echo none; }
same 'an unknown user' none unknown

# All users, page by page, for the module's cache; it also requests the members of each group.
google_oslogin_nss_cache
all_users() { getent passwd | grep -o '^[a-z]*_example_com' | sort | paste -sd ' '; }
same 'all users' 'ada_example_com bob_example_com eve_example_com' all_users
same 'a group by name' 'builders:3001:ada_example_com,bob_example_com' group builders
same 'a group by gid' 'painters:3002:' group 3002
same 'uid, gid and groups' 'uid=2001(ada_example_com) gid=2001(ada_example_com) groups=2001(ada_example_com),3001(builders)' \
  id ada_example_com
rm /etc/oslogin_*.cache

# The commands that sshd calls.
same 'keys, without expired ones' \
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMadeUpPublicKeyOfAdaWithoutAnyPrivateKeyYet ada@example.com' \
  google_authorized_keys ada_example_com
same 'keys in a security key' 'sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIMadeUpPublicKeyOfASecurityKey00000000000000AAAABHNzaDo= ada@example.com' google_authorized_keys_sk ada_example_com
refused_key() { google_authorized_keys eve_example_com || true; }
same 'no keys of a user without the policy login' '' refused_key

# PAM: a complete login with a second factor.
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
[ -d /home/ada_example_com ] || { echo 'no home directory was created' >&2; exit 1; }
same 'adminLogin gives sudo' 'ada_example_com ALL=(ALL) NOPASSWD: ALL' cat /var/google-sudoers.d/ada_example_com
log_in ada_example_com 2 ''
log_in bob_example_com 123456
[ -e /var/google-users.d/bob_example_com ] || { echo 'the login failed' >&2; exit 1; }
[ ! -e /var/google-sudoers.d/bob_example_com ] || { echo 'sudo without adminLogin' >&2; exit 1; }

! log_in ada_example_com 1 000000 || { echo 'a wrong code was accepted' >&2; exit 1; }
! log_in bob_example_com 654321 || { echo 'a wrong code was accepted' >&2; exit 1; }
! pamtester machine eve_example_com acct_mgmt || { echo 'a user without a policy was accepted' >&2; exit 1; }
! log_in zoe_example_com '' || { echo 'an unknown user was accepted' >&2; exit 1; }

# SSH: Debian's sshd accepts the key in a user's profile.
ssh-keygen -q -t ed25519 -N '' -f /root/key
sed -i "s|ssh-ed25519 AAAA[A-Za-z0-9]* ada@example.com|$(cut -d ' ' -f 1,2 /root/key.pub) ada@example.com|" /run/config.json
key_is_known() { google_authorized_keys ada_example_com | grep -qF "$(cut -d ' ' -f 2 /root/key.pub)"; }
eventually 'the new key' key_is_known
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
same 'an SSH session' $'ada_example_com\n/home/ada_example_com' ssh_in ada_example_com
! ssh_in bob_example_com || { echo 'a key was accepted for another user' >&2; exit 1; }

# Secrets and codes are not in the log.
! grep -qE 'JBSWY|123456|654321' /run/server.log || { echo 'a secret is in the log' >&2; exit 1; }

# Without enable-oslogin there are no such users.
sed -i 's/"enable-oslogin": "TRUE"/"enable-oslogin": "FALSE"/' /run/config.json
gone() { ! getent passwd ada_example_com; }
eventually 'OS Login is off' gone
