//! The JSON Schema of a config: it agrees with `check-config`, and `docs/config.schema.json` is up to date.

use crate::support::repository;
use boon::{Compiler, Schemas};
use gce_metadata_server::routes::Severity;
use gce_metadata_server::{ConfigDocument, ConfigFile, Overrides};
use serde_json::{Value, json};

/// Whether the schema accepts each of these configs.
fn accepted(configs: &[Value]) -> Vec<bool> {
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.add_resource("config.json", ConfigDocument::json_schema()).unwrap();
    let schema = compiler.compile("config.json", &mut schemas).unwrap();
    configs.iter().map(|config| schemas.validate(config, schema).is_ok()).collect()
}

/// Whether `check-config` has neither errors nor warnings.
fn is_good(config: &Value) -> bool {
    let file = ConfigFile::new("config.json", Overrides::default());
    let diagnostics = file.check_content(config.to_string().as_bytes());
    diagnostics.iter().all(|diagnostic| diagnostic.severity == Severity::Notice)
}

#[test]
fn the_schema_and_check_config_agree() {
    let config = |v1: Value| json!({"computeMetadata": {"v1": v1}});
    let instance = |instance: Value| json!({"instance": instance});
    let with_login = |section: Value| json!({"computeMetadata": {"v1": {"instance": {"attributes": {"enable-oslogin": "TRUE"}}}}, "osLogin": section});
    let file =
        |name: &str| -> Value { serde_json::from_str(&std::fs::read_to_string(repository(name)).unwrap()).unwrap() };
    let good = [
        file("config.json"),
        file("tests/clients/guest/vm.json"),
        file("tests/conformance/smallest.json"),
        config(json!({})),
        json!({"$schema": "config.schema.json", "project": {}}),
        instance(json!({"odd": 1, "attributes": null, "disks": null})),
        instance(json!({"preempted": "TRUE", "id": u64::MAX, "remainingCpuTime": -1, "tags": ["a"]})),
        instance(json!({"zone": "projects/1/zones/z", "machineType": "projects/1/machineTypes/t"})),
        instance(json!({"upcomingMaintenance": {"maintenanceStatus": "PENDING", "type": "SCHEDULED"}})),
        instance(json!({"serviceAccounts": {"default": {"email": "a@example.com", "scopes": ["s"], "token": 1}}})),
        instance(json!({"workloadIdentities": {"status": 5}, "guestAttributes": {"ns": {"key": "value"}}})),
        instance(json!({"networkInterfaces": [{"mtu": 1460, "forwardedIps": [], "dnsServers": ["a"]}]})),
        with_login(json!({"loginProfiles": [{"name": "a@b", "posixAccounts": [{"username": "ada", "uid": "2001"}]}]})),
        with_login(json!({"posixGroups": [{"name": "builders", "gid": 3001}], "policies": null})),
    ];
    let bad = [
        json!([]),
        json!({}),
        json!({"computeMetadata": {}}),
        json!({"computeMetadata": {"v1": []}}),
        json!({"id": 1, "name": "vm-1"}),
        instance(json!(5)),
        instance(json!({"preempted": true})),
        instance(json!({"preempted": "true"})),
        instance(json!({"id": "1"})),
        instance(json!({"id": -1})),
        instance(json!({"tags": "a"})),
        instance(json!({"tags": null})),
        instance(json!({"disks": {}})),
        instance(json!({"disks": [{"mode": "READ"}]})),
        instance(json!({"zone": "us-central1-a"})),
        instance(json!({"scheduling": null})),
        instance(json!({"attributes": {"a": 1}})),
        instance(json!({"attributes": {"a.b": ""}})),
        instance(json!({"attributes": {"a": "v".repeat(262_145)}})),
        instance(json!({"guestAttributes": {"ns": {"key": 1}}})),
        instance(json!({"upcomingMaintenance": {"maintenance_status": "SOON"}})),
        instance(json!({"serviceAccounts": {"default": {"scopes": "s"}}})),
        config(json!({"project": {"numericProjectId": "42"}})),
        config(json!({"universe": {"universeDomain": 1}})),
        with_login(json!({"people": []})),
        with_login(json!({"loginProfiles": [{}]})),
        with_login(json!({"policies": {"a@b": ["root"]}})),
    ];
    for (configs, expected) in [(&good[..], true), (&bad[..], false)] {
        for (config, accepted) in configs.iter().zip(accepted(configs)) {
            let shown = config.to_string().chars().take(200).collect::<String>();
            assert_eq!((is_good(config), accepted), (expected, expected), "(check-config, schema) for {shown}");
        }
    }
}

#[test]
fn the_schema_knows_keys_in_their_usual_case_only() {
    let misread = json!({"instance": {"name": "a", "Preempted": true}});
    assert_eq!((is_good(&misread), accepted(&[misread])[0]), (false, true));
    let wrapped = json!({"ComputeMetadata": {"V1": {"Instance": {"name": "a"}}}});
    assert_eq!((is_good(&wrapped), accepted(&[wrapped])[0]), (true, false));
}

#[test]
fn the_published_schema_is_up_to_date() {
    let file = repository("docs/config.schema.json");
    let expected = format!("{:#}\n", ConfigDocument::json_schema());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    let published = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(published == expected, "docs/config.schema.json is outdated: UPDATE_DOCS=1 rewrites it");
}
