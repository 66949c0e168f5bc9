//! The metadata of a made-up VM, which a server without a config serves. Its instance also fills in the smallest configs.

use crate::metadata::Metadata;
use serde_json::{Map, Value, json};

/// The values of a VM that other values of its instance contain. By default those of the built-in VM.
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) zone: String,
    pub(crate) project_id: String,
    /// A project number, or a string that the config has instead.
    pub(crate) numeric_project_id: String,
}

const NUMERIC_PROJECT_ID: u64 = 123_456_789_012;

impl Default for Identity {
    fn default() -> Self {
        Self {
            name: "vm-1".to_owned(),
            zone: "us-central1-a".to_owned(),
            project_id: "sample-project".to_owned(),
            numeric_project_id: NUMERIC_PROJECT_ID.to_string(),
        }
    }
}

impl Identity {
    /// The internal DNS name. A project ID with a domain, such as `example.com:my-project`, is reversed in it.
    fn hostname(&self) -> String {
        let Self { name, zone, project_id, .. } = self;
        match project_id.split_once(':') {
            Some((domain, id)) => format!("{name}.{zone}.c.{id}.{domain}.internal"),
            None => format!("{name}.{zone}.c.{project_id}.internal"),
        }
    }
}

impl Metadata {
    /// The metadata of a made-up VM, with all the keys of a common VM.
    ///
    /// ```
    /// use gce_metadata_routes::Metadata;
    ///
    /// assert_eq!(Metadata::sample().tree().text("project/project-id").unwrap(), "sample-project");
    /// ```
    pub fn sample() -> Self {
        let identity = Identity::default();
        Self::complete(json!({
            "instance": instance(&identity),
            "oslogin": {"authenticate": {"sessions": {}}},
            "project": {
                "attributes": {
                    "ssh-keys": "ada:ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMadeUpPublicKeyWithoutAnyPrivateKeyForTests ada@example.com",
                },
                "numericProjectId": NUMERIC_PROJECT_ID,
                "projectId": identity.project_id,
            },
        }))
    }
}

/// The instance of the made-up VM, with this identity.
pub(crate) fn instance(identity: &Identity) -> Map<String, Value> {
    let Identity { name, zone, numeric_project_id, .. } = identity;
    let project = format!("projects/{numeric_project_id}");
    let account = json!({
        "aliases": ["default"],
        "email": "vm-1@sample-project.iam.gserviceaccount.com",
        "scopes": [
            "https://www.googleapis.com/auth/cloud-platform",
            "https://www.googleapis.com/auth/userinfo.email",
        ],
    });
    let instance = json!({
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
        "hostname": identity.hostname(),
        "id": 5775171277418378001_u64,
        "image": "projects/debian-cloud/global/images/debian-12-bookworm-v20260101",
        "licenses": [{"id": "2147286739765738111"}],
        "machineType": format!("{project}/machineTypes/e2-standard-4"),
        "maintenanceEvent": "NONE",
        "name": name,
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
                "network": format!("{project}/networks/default"),
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
        "zone": format!("{project}/zones/{zone}"),
    });
    match instance {
        Value::Object(instance) => instance,
        _ => Map::new(),
    }
}
