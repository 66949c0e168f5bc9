//! Fills in the instance of a config that is not a dump, so that clients find the keys that every VM has.
//!
//! The smallest configs have an ID, an account and a project only. Client libraries read the zone or the whole instance to decide
//! whether they run on GCE, and do not work with such a VM. A dump always has `name` and `zone`, so a config with one of them is
//! served unchanged.

use super::walk::Walk;
use crate::sample::{self, Identity};
use serde_json::{Map, Value};

/// Keys of the built-in VM that are never filled in: user data, and accounts, whose presence gives access to tokens.
const NEVER: [&str; 4] = ["attributes", "guestAttributes", "partnerAttributes", "serviceAccounts"];

/// Whether the instance has neither a name nor a zone. A value of the wrong type is not replaced.
pub(super) fn is_due(v1: &Value) -> bool {
    let instance = &v1["instance"];
    v1.is_object()
        && (instance.is_null() || instance.is_object())
        && is_absent(&instance["name"])
        && is_absent(&instance["zone"])
}

/// The missing keys of the instance with the values of the built-in VM. The name, the zone and the project of the config are used
/// where a value contains them.
pub(super) fn missing(v1: &Value) -> Map<String, Value> {
    let (instance, project) = (&v1["instance"], &v1["project"]);
    let text = |value: &Value, default: &str| match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) if !text.is_empty() => text.clone(),
        _ => default.to_owned(),
    };
    let built_in = Identity::default();
    let zone = text(&instance["zone"], &built_in.zone);
    // The first label of a given host name is most likely the name.
    let name = instance["hostname"].as_str().and_then(|hostname| hostname.split('.').next()).unwrap_or_default();
    let name = if name.is_empty() { &built_in.name } else { name };
    let identity = Identity {
        name: text(&instance["name"], name),
        zone: zone.rsplit('/').next().unwrap_or_default().to_owned(),
        project_id: text(&project["projectId"], &built_in.project_id),
        numeric_project_id: text(&project["numericProjectId"], &built_in.numeric_project_id),
    };
    let mut filled = sample::instance(&identity);
    filled.retain(|key, _| !NEVER.contains(&key.as_str()) && is_absent(&instance[key]));
    if let Some(Value::Array(disks)) = filled.get_mut("disks") {
        disks.truncate(1);
    }
    filled
}

/// Records a notice that lists the missing keys. `instance_key` is the key of the instance as the config spells it.
pub(super) fn note(v1: &Value, instance_key: Option<String>, walk: &mut Walk) {
    let keys = missing(v1).into_iter().map(|(key, _)| key).collect::<Vec<_>>().join(", ");
    let notice = format!("neither `name` nor `zone` is given; filled in from the built-in VM: {keys}");
    match instance_key {
        Some(key) => walk.below(key, |walk| walk.note(notice)),
        None => walk.note(notice),
    }
}

/// The metadata with the missing keys of its instance.
pub(super) fn filled(v1: &Value) -> Value {
    let mut filled = v1.clone();
    let missing = missing(v1);
    match &mut filled["instance"] {
        Value::Object(instance) => instance.extend(missing),
        instance => *instance = Value::Object(missing),
    }
    filled
}

/// The Go emulator writes null or an empty string for a value that it does not have.
fn is_absent(value: &Value) -> bool {
    value.is_null() || value == ""
}

#[cfg(test)]
mod tests {
    use crate::{Metadata, Severity};
    use serde_json::{Value, json};

    fn smallest() -> Value {
        json!({
            "instance": {"id": 42, "serviceAccounts": {"default": {"email": "a@example.com", "scopes": ["s"]}}},
            "oslogin": {},
            "project": {"numericProjectId": 111122223333_u64, "projectId": "my-project"},
        })
    }

    fn recursive(metadata: &Metadata) -> Value {
        serde_json::from_slice(&metadata.tree().get("").unwrap().json()).unwrap()
    }

    #[test]
    fn an_instance_without_name_and_zone_is_filled_in() {
        let v1 = recursive(&Metadata::from_json(smallest()).unwrap());
        assert_eq!(v1["instance"]["hostname"], "vm-1.us-central1-a.c.my-project.internal");
        assert_eq!(v1["instance"]["zone"], "projects/111122223333/zones/us-central1-a");
        assert_eq!(v1["instance"]["machineType"], "projects/111122223333/machineTypes/e2-standard-4");
        assert_eq!(v1["instance"]["networkInterfaces"][0]["network"], "projects/111122223333/networks/default");
        assert_eq!((&v1["instance"]["id"], &v1["instance"]["name"]), (&json!(42), &json!("vm-1")));
        assert_eq!(v1["instance"]["disks"].as_array().unwrap().len(), 1);
        for key in
            ["cpuPlatform", "image", "licenses", "maintenanceEvent", "preempted", "scheduling", "tags", "virtualClock"]
        {
            assert_eq!(v1["instance"][key], recursive(&Metadata::sample())["instance"][key], "{key}");
        }
    }

    #[test]
    fn accounts_attributes_and_the_project_are_not_filled_in() {
        let v1 = recursive(&Metadata::from_json(json!({"instance": {}})).unwrap());
        for key in ["attributes", "guestAttributes", "partnerAttributes", "serviceAccounts"] {
            assert_eq!(v1["instance"][key], Value::Null, "{key}");
        }
        assert_eq!(v1.as_object().unwrap().keys().collect::<Vec<_>>(), ["instance"]);
        let v1 = recursive(&Metadata::from_json(smallest()).unwrap());
        assert_eq!((&v1["project"], &v1["oslogin"]), (&smallest()["project"], &json!({})));
        let accounts = v1["instance"]["serviceAccounts"].as_object().unwrap();
        assert_eq!(accounts.keys().collect::<Vec<_>>(), ["a@example.com", "default"]);
    }

    #[test]
    fn a_name_or_a_zone_prevents_filling_in() {
        for instance in
            [json!({"name": "web-1"}), json!({"zone": "projects/1/zones/z"}), json!({"ZONE": "z", "name": ""})]
        {
            let v1 = recursive(&Metadata::from_json(json!({"instance": instance})).unwrap());
            assert!(v1["instance"]["machineType"].is_null(), "{v1}");
        }
        for instance in [json!({"name": null, "zone": ""}), Value::Null] {
            let v1 = recursive(&Metadata::from_json(json!({"instance": instance})).unwrap());
            assert_eq!(v1["instance"]["name"], "vm-1");
        }
        assert_eq!(
            recursive(&Metadata::empty().with_instance("id", 1))["instance"],
            json!({"attributes": {}, "id": 1})
        );
    }

    #[test]
    fn derived_values_follow_the_builder_methods() {
        let metadata = Metadata::from_json(smallest()).unwrap().with_project_id("example.com:other");
        let metadata =
            metadata.with_numeric_project_id(7).with_instance("name", "web-1").with_instance("tags", json!(["t"]));
        let v1 = recursive(&metadata);
        assert_eq!(v1["instance"]["hostname"], "web-1.us-central1-a.c.other.example.com.internal");
        assert_eq!(v1["instance"]["zone"], "projects/7/zones/us-central1-a");
        assert_eq!(v1["instance"]["tags"], json!(["t"]));
        let v1 = recursive(&Metadata::from_json(json!({"instance": {"hostname": "db-1.example.com"}})).unwrap());
        assert_eq!(v1["instance"]["name"], "db-1");
    }

    #[test]
    fn an_edit_at_run_time_fills_in_nothing() {
        let tree = Metadata::from_json(json!({"instance": {"name": "web-1"}})).unwrap().tree();
        let tree = tree.without("instance/name").unwrap().with("instance/id", &json!(5)).unwrap();
        assert_eq!(tree.get("").unwrap().json(), r#"{"instance":{"id":5}}"#);
        let tree = tree.with_merged("", &json!({"project": {"projectId": "p"}})).unwrap();
        assert_eq!(tree.get("instance").unwrap().json(), r#"{"id":5}"#);
        let tree = Metadata::from_json(smallest()).unwrap().tree().without("instance/image").unwrap();
        assert!(tree.get("instance/image").is_none());
    }

    #[test]
    fn a_notice_lists_the_filled_keys() {
        let findings = Metadata::check(json!({"Instance": {"id": 1, "tags": []}}));
        let notice = findings.iter().find(|finding| finding.to_string().contains("filled in")).unwrap();
        assert_eq!(notice.severity(), Severity::Notice);
        assert_eq!(notice.path(), ["Instance"]);
        let text = notice.to_string();
        assert!(
            text.contains("cpuPlatform, description, disks, hostname, ") && text.ends_with("virtualClock, zone"),
            "{text}"
        );
        assert!(!text.contains("tags") && !text.contains("attributes"), "{text}");
        assert_eq!(Metadata::check(json!({"instance": {"name": "web-1"}})), []);
        assert_eq!(Metadata::check(json!({"project": {"projectId": "p"}}))[0].path(), [""; 0]);
        assert_eq!(Metadata::check(json!({"id": 1, "disks": []})).len(), 1, "an error only");
    }
}
