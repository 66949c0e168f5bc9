# Puppet's facter reads a VM's facts from one recursive answer.
same 'the id, all 64 bits of it' 5775171277418378001 facter gce.instance.id
same 'the zone' us-central1-a facter gce.instance.zone
same 'an address' 10.128.0.19 facter gce.instance.networkInterfaces.0.ip
same 'an attribute' TRUE facter gce.instance.attributes.enable-oslogin
same 'the project' sample-project facter gce.project.projectId
same 'the cloud' gce facter cloud.provider
