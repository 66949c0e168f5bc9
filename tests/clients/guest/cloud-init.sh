# cloud-init configures the machine from its GCE datasource.
mkdir -p /etc/cloud/cloud.cfg.d /var/lib/cloud
cat >/etc/cloud/cloud.cfg.d/99_machine.cfg <<'YAML'
datasource_list: [GCE]
# Modules that need the metadata but no disk.
cloud_init_modules: [set_hostname, users-groups, ssh]
YAML
cloud-init init
of() { cloud-init query --format "{{$1}}"; }
same 'the cloud' gce of v1.cloud_name
same 'the id' 5775171277418378001 of v1.instance_id
same 'the name' vm-1 of v1.local_hostname
same 'the zone' us-central1-a of v1.availability_zone
same 'the region' us-central1 of v1.region
same 'user data' $'#cloud-config\nfinal_message: made up' cloud-init query userdata
same 'the hostname was set' vm-1 hostname
key='ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMadeUpPublicKeyOfCloudInitWithoutPrivateKey init@example.com'
same 'the key of the default user' "$key" cat /home/debian/.ssh/authorized_keys
# cloud-init publishes the SSH host keys as guest attributes.
written() { curl -sSf -H 'Metadata-Flavor: Google' "http://metadata/computeMetadata/v1/instance/guest-attributes/hostkeys/$1"; }
same 'the host key' "$(cut -d ' ' -f 2 /etc/ssh/ssh_host_ed25519_key.pub)" written ssh-ed25519
