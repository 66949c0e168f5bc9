//! The metadata of a made-up VM, which a server without a config serves.

use crate::metadata::Metadata;
use serde_json::json;

impl Metadata {
    /// The metadata of a made-up VM, with all the keys of a common VM.
    ///
    /// ```
    /// use gce_metadata_routes::Metadata;
    ///
    /// assert_eq!(Metadata::sample().tree().text("project/project-id").unwrap(), "sample-project");
    /// ```
    pub fn sample() -> Self {
        let account = json!({
            "aliases": ["default"],
            "email": "vm-1@sample-project.iam.gserviceaccount.com",
            "scopes": [
                "https://www.googleapis.com/auth/cloud-platform",
                "https://www.googleapis.com/auth/userinfo.email",
            ],
        });
        Self::complete(json!({
            "instance": {
                "attributes": {
                    "enable-oslogin": "FALSE",
                    "my-key": "my value",
                },
                "cpuPlatform": "Intel Broadwell",
                "description": "",
                "disks": [
                    {
                        "deviceName": "boot",
                        "index": 0,
                        "interface": "SCSI",
                        "mode": "READ_WRITE",
                        "type": "PERSISTENT-BALANCED",
                    },
                    {
                        "deviceName": "data",
                        "index": 1,
                        "interface": "SCSI",
                        "mode": "READ_ONLY",
                        "type": "PERSISTENT-BALANCED",
                    },
                ],
                "guestAttributes": {},
                "hostname": "vm-1.us-central1-a.c.sample-project.internal",
                "id": 5775171277418378001_u64,
                "image": "projects/debian-cloud/global/images/debian-12-bookworm-v20260101",
                "licenses": [{"id": "2147286739765738111"}],
                "machineType": "projects/123456789012/machineTypes/e2-standard-4",
                "maintenanceEvent": "NONE",
                "name": "vm-1",
                "networkInterfaces": [
                    {
                        "accessConfigs": [{"externalIp": "203.0.113.10", "type": "ONE_TO_ONE_NAT"}],
                        "dnsServers": ["169.254.169.254"],
                        "forwardedIps": [],
                        "gateway": "10.128.0.1",
                        "ip": "10.128.0.19",
                        "ipAliases": [],
                        "mac": "42:01:0a:80:00:13",
                        "mtu": 1460,
                        "network": "projects/123456789012/networks/default",
                        "subnetmask": "255.255.240.0",
                        "targetInstanceIps": [],
                    },
                ],
                "partnerAttributes": {},
                "preempted": "FALSE",
                "remainingCpuTime": -1,
                "scheduling": {
                    "automaticRestart": "TRUE",
                    "onHostMaintenance": "MIGRATE",
                    "preemptible": "FALSE",
                },
                "serviceAccounts": {
                    "default": account,
                    "vm-1@sample-project.iam.gserviceaccount.com": account,
                },
                "tags": ["http-server", "https-server"],
                "virtualClock": {"driftToken": "0"},
                "zone": "projects/123456789012/zones/us-central1-a",
            },
            "oslogin": {"authenticate": {"sessions": {}}},
            "project": {
                "attributes": {
                    "ssh-keys": "ada:ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMadeUpKeyThatNobodyHasThePrivateHalfOf ada@example.com",
                },
                "numericProjectId": 123456789012_u64,
                "projectId": "sample-project",
            },
        }))
    }
}
