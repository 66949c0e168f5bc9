//! Warnings about values that the server can serve but GCE would not.

mod attributes;

use super::expect::{self, Expected::Object};
use super::walk::{self, Walk};
use serde_json::{Map, Value};

/// Checks one node without its children.
pub(super) fn node(walk: &mut Walk, value: &Value, segments: &[&str]) {
    match (segments, value) {
        (["instance" | "project", "attributes"], Value::Object(all)) => attributes::all(walk, all),
        (["instance" | "project", "attributes", key], value) => attributes::one(walk, key, value),
        (["instance", "guest-attributes"], Value::Object(all)) => attributes::all_of_guest(walk, all),
        (["instance", "guest-attributes", name] | ["instance", "guest-attributes", _, name], value) => {
            attributes::of_guest(walk, name, value);
        }
        (["instance", "service-accounts"], Value::Object(accounts)) => service_accounts(walk, accounts),
        _ => {
            if let Some(expected) = expect::at(segments).filter(|expected| !expected.is_met(value)) {
                // A value instead of an object may be a secret.
                let shown = if expected == Object { walk::kind(value).to_owned() } else { shown(value) };
                walk.warn(format!("expected {}, found {shown}", expected.words()));
            }
        }
    }
}

/// A short value is shown, a long one is not. The leaves that are checked here hold no secrets, unlike attributes.
fn shown(value: &Value) -> String {
    const SHORT: usize = 60;
    let json = value.to_string();
    if json.len() <= SHORT { format!("`{json}`") } else { "the value".to_owned() }
}

/// Warns about accounts under a name that is not theirs, and about accounts that differ between their names.
fn service_accounts(walk: &mut Walk, accounts: &Map<String, Value>) {
    let email = |account: &Value| account["email"].as_str().filter(|email| !email.is_empty()).map(str::to_owned);
    let mut seen: Vec<(&str, String)> = Vec::new();
    for (name, account) in accounts {
        let Some(email) = email(account) else { continue };
        let is_alias = name == "default"
            || account["aliases"].as_array().is_some_and(|aliases| aliases.iter().any(|alias| alias == name));
        if *name != email && !is_alias {
            walk.below(name.as_str(), |walk| {
                walk.warn(format!(
                    "this is neither the account's e-mail, `{email}`, nor one of its aliases: rename it"
                ));
            });
        }
        if let Some((other, _)) = seen.iter().find(|(other, others)| *others == email && accounts[*other] != *account) {
            walk.below(name.as_str(), |walk| {
                walk.warn(format!("the same e-mail as that of `{other}`, but not the same account: make them one"));
            });
        }
        seen.push((name, email));
    }
}

#[cfg(test)]
mod tests {
    use crate::metadata::{Metadata, Severity};
    use serde_json::{Value, json};

    pub(super) fn findings(mut instance: Value) -> Vec<(Severity, String)> {
        // With a name, so that nothing is filled in.
        instance["name"] = "vm-1".into();
        let findings = Metadata::check(json!({"instance": instance}));
        findings.iter().map(|finding| (finding.severity(), finding.to_string())).collect()
    }

    pub(super) fn warning(instance: Value) -> String {
        let mut all = findings(instance);
        assert_eq!(all.len(), 1, "{all:?}");
        let (severity, text) = all.remove(0);
        assert_eq!(severity, Severity::Warning);
        text
    }

    #[test]
    fn the_sample_has_no_findings() {
        let sample: Value = serde_json::from_slice(&Metadata::sample().tree().get("").unwrap().json()).unwrap();
        assert_eq!(Metadata::check(sample), []);
    }

    #[test]
    fn a_value_that_gce_does_not_have_is_a_warning() {
        assert_eq!(
            warning(json!({"maintenanceEvent": "SOON"})),
            "instance.maintenanceEvent: expected NONE or MIGRATE_ON_HOST_MAINTENANCE or TERMINATE_ON_HOST_MAINTENANCE, \
             found `\"SOON\"`"
        );
        assert!(
            warning(json!({"networkInterfaces": [{"accessConfigs": [{"type": "NAT"}]}]})).contains("found `\"NAT\"`")
        );
        assert!(warning(json!({"id": "1"})).contains("an integer from 0 to"));
        for key in ["maintenance_status", "maintenanceStatus"] {
            assert!(warning(json!({"upcomingMaintenance": {key: "SOON"}})).contains("expected PENDING or ONGOING"));
        }
    }

    #[test]
    fn a_value_instead_of_a_directory_is_a_warning() {
        for (instance, expected) in [
            (json!({"credentials": true}), "instance.credentials: expected an object, found a boolean"),
            (
                json!({"credentials": {"mdsClientCertificate": "hidden"}}),
                "instance.credentials.mdsClientCertificate: expected an object, found a string",
            ),
            (json!({"disks": [5]}), "instance.disks[0]: expected an object, found a number"),
            (
                json!({"gceWorkloadCertificates": "hidden"}),
                "instance.gceWorkloadCertificates: expected an object, found a string",
            ),
            (
                json!({"identityConfiguration": "hidden"}),
                "instance.identityConfiguration: expected an object, found a string",
            ),
            (json!({"legacyEndpointAccess": 3}), "instance.legacyEndpointAccess: expected an object, found a number"),
            (json!({"licenses": ["123"]}), "instance.licenses[0]: expected an object, found a string"),
            (
                json!({"networkInterfaces": ["eth0"]}),
                "instance.networkInterfaces[0]: expected an object, found a string",
            ),
            (
                json!({"networkInterfaces": [{"accessConfigs": [1]}]}),
                "instance.networkInterfaces[0].accessConfigs[0]: expected an object, found a number",
            ),
            (json!({"platformSecurity": []}), "instance.platformSecurity: expected an object, found a list"),
            (json!({"scheduling": null}), "instance.scheduling: expected an object, found null"),
            (json!({"shutdownDetails": []}), "instance.shutdownDetails: expected an object, found a list"),
            (json!({"virtualClock": 5}), "instance.virtualClock: expected an object, found a number"),
            (
                json!({"vlanNetworkInterfaces": [{"5": {"vlan": 5}}]}),
                "instance.vlanNetworkInterfaces: expected an object, found a list",
            ),
            (
                json!({"vlanNetworkInterfaces": {"0": {"5": 5}}}),
                "instance.vlanNetworkInterfaces.0.5: expected an object, found a number",
            ),
        ] {
            let text = warning(instance);
            assert_eq!(text, expected);
            assert!(!text.contains("hidden"), "{text}");
        }
    }

    #[test]
    fn an_account_that_differs_between_its_names_is_a_warning() {
        let account = json!({"aliases": ["default"], "email": "a@example.com", "scopes": []});
        assert_eq!(findings(json!({"serviceAccounts": {"default": account, "a@example.com": account}})), []);
        assert!(
            warning(json!({"serviceAccounts": {"b@example.com": account}})).contains("neither the account's e-mail")
        );
        let other = json!({"aliases": ["default"], "email": "a@example.com", "scopes": ["s"]});
        assert!(
            warning(json!({"serviceAccounts": {"default": account, "a@example.com": other}}))
                .starts_with("instance.serviceAccounts.default: the same e-mail as that of `a@example.com`")
        );
    }

    #[test]
    fn all_findings_are_returned_also_after_an_error() {
        let all = findings(
            json!({"disks": {}, "attributes": {"a": 1}, "odd": 1, "ZONE": "projects/1/zones/z", "tags": null}),
        );
        let places: Vec<_> = all.iter().map(|(severity, text)| (*severity, text.split(':').next().unwrap())).collect();
        assert_eq!(
            places,
            [
                (Severity::Notice, "instance.ZONE"),
                (Severity::Warning, "instance.attributes.a"),
                (Severity::Error, "instance.disks"),
                (Severity::Notice, "instance.odd"),
                (Severity::Warning, "instance.tags"),
            ]
        );
    }
}
