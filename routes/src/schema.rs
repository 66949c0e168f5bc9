//! The one table of what JSON alone does not say about a VM's metadata.
//!
//! Everything that is not in it follows from the JSON: an object is a directory, a list of objects a directory of
//! indices, anything else a leaf. Nothing needs to be here to be served.

/// What is special about the nodes that a pattern matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// An object; anything else is a mistake in the config.
    Object,
    /// An object whose keys are a user's own, and so stay as they are written.
    UserKeys,
    /// A list that is a directory of indices even when it is empty or holds plain values.
    ListDirectory,
    /// A leaf that answers JSON unless text is asked for. Where it is an object, a config may also write the text of it.
    JsonByDefault,
    /// An object that is one leaf, with `snake_case` keys.
    ObjectLeaf,
    /// A leaf whose text is a JSON document, which a config may also write as the JSON that it is.
    Document,
    /// A string; anything else is a mistake in the config.
    Text,
    /// A leaf that recursion leaves out, as it does tokens: it is listed, and asked for by itself.
    Secret,
    /// A directory that recursion from above shows empty: what is below it is asked for by itself.
    Closed,
    /// A leaf without a value in the tree: listed, and answered by a route of its own.
    Computed,
    /// Served though the config lacks it, but neither listed nor shown in recursion: its JSON.
    Default(&'static str),
}

use Rule::{
    Closed, Computed, Default, Document, JsonByDefault, ListDirectory, Object, ObjectLeaf, Secret, Text, UserKeys,
};

/// Paths below `/computeMetadata/v1/`. `*` stands for one segment, `**` at the end for any number, none included.
pub(crate) const RULES: &[(&str, Rule)] = &[
    ("instance", Object),
    ("instance/attributes", Object),
    ("instance/attributes", Default("{}")),
    ("instance/attributes/**", UserKeys),
    ("instance/credentials/mds-client-certificate", JsonByDefault),
    ("instance/credentials/mds-client-certificate", Secret),
    ("instance/disks", ListDirectory),
    ("instance/gce-workload-certificates/config-status", Document),
    ("instance/gce-workload-certificates/trust-anchors", Document),
    ("instance/gce-workload-certificates/workload-identities", Document),
    ("instance/gce-workload-certificates/workload-identities", Secret),
    ("instance/guest-attributes", Object),
    ("instance/guest-attributes", Closed),
    ("instance/guest-attributes", Default("{}")),
    ("instance/guest-attributes/*", Object),
    ("instance/guest-attributes/*/*", Text),
    ("instance/guest-attributes/**", UserKeys),
    ("instance/legacy-endpoint-access", UserKeys),
    ("instance/licenses", ListDirectory),
    ("instance/maintenance-event", Default("\"NONE\"")),
    ("instance/network-interfaces", ListDirectory),
    ("instance/network-interfaces/*/access-configs", ListDirectory),
    ("instance/network-interfaces/*/forwarded-ips", ListDirectory),
    ("instance/network-interfaces/*/forwarded-ipv6s", ListDirectory),
    ("instance/network-interfaces/*/ip-aliases", ListDirectory),
    ("instance/partner-attributes", Object),
    ("instance/partner-attributes/**", UserKeys),
    ("instance/platform-security/auto-mtls-configuration", Document),
    ("instance/preempted", Default("\"FALSE\"")),
    ("instance/service-accounts", Object),
    ("instance/service-accounts", Default("{}")),
    ("instance/service-accounts", UserKeys),
    ("instance/service-accounts/*", Object),
    ("instance/service-accounts/*/identity", Computed),
    ("instance/service-accounts/*/token", Computed),
    ("instance/tags", JsonByDefault),
    ("instance/tags", Default("[]")),
    ("instance/upcoming-maintenance", ObjectLeaf),
    ("instance/upcoming-maintenance", Default("{}")),
    ("instance/virtual-clock/drift-token", Default("\"0\"")),
    ("instance/workload-certificates-config-status", Document),
    ("instance/workload-identities", Document),
    ("instance/workload-identities", Secret),
    ("instance/workload-trusted-root-certs", Document),
    ("oslogin", Object),
    ("project", Object),
    ("project/attributes", Object),
    ("project/attributes", Default("{}")),
    ("project/attributes/**", UserKeys),
    ("universe", Object),
    ("universe/universe-domain", Default("\"googleapis.com\"")),
];

/// The keys of GCE's own, as they stand in its JSON. A config's key that differs from one of them in case only is read
/// as it: the sample of the Go emulator writes `TargetState`.
const KEYS: &[&str] = &[
    "accessConfigs",
    "aliases",
    "attributes",
    "authenticate",
    "autoMtlsConfiguration",
    "automaticRestart",
    "configStatus",
    "cpuPlatform",
    "credentials",
    "description",
    "deviceName",
    "dhcpv6Refresh",
    "disks",
    "dnsServers",
    "driftToken",
    "email",
    "externalIp",
    "forwardedIps",
    "forwardedIpv6s",
    "gateway",
    "gatewayIpv6",
    "gceWorkloadCertificates",
    "guestAttributes",
    "hostname",
    "id",
    "identityConfiguration",
    "identityUuid",
    "image",
    "index",
    "instance",
    "interface",
    "ip",
    "ipAliases",
    "ipv6",
    "ipv6s",
    "legacyEndpointAccess",
    "licenses",
    "mac",
    "machineType",
    "maintenanceEvent",
    "maxDuration",
    "mdsClientCertificate",
    "mode",
    "mtu",
    "name",
    "network",
    "networkInterfaces",
    "numericProjectId",
    "onHostMaintenance",
    "oslogin",
    "parentInterface",
    "partnerAttributes",
    "physicalHost",
    "platformSecurity",
    "preempted",
    "preemptible",
    "project",
    "projectId",
    "remainingCpuTime",
    "requestTimestamp",
    "scheduling",
    "scopes",
    "serviceAccounts",
    "sessions",
    "shutdownDetails",
    "stopState",
    "subnetmask",
    "tags",
    "targetInstanceIps",
    "targetState",
    "trustAnchors",
    "type",
    "universe",
    "universeDomain",
    "upcomingMaintenance",
    "virtualClock",
    "vlan",
    "vlanNetworkInterfaces",
    "workloadCertificatesConfigStatus",
    "workloadIdentities",
    "workloadTrustedRootCerts",
    "zone",
];

/// Whether a rule holds for the node at this path.
pub(crate) fn is(path: &[&str], rule: Rule) -> bool {
    RULES.iter().any(|(pattern, of)| *of == rule && matches(pattern, path))
}

/// The names of the computed leaves in the directory at this path.
pub(crate) fn computed_in(directory: &[&str]) -> impl Iterator<Item = &'static str> {
    RULES.iter().filter(|(_, rule)| *rule == Computed).filter_map(move |(pattern, _)| {
        let (parent, name) = pattern.rsplit_once('/')?;
        matches(parent, directory).then_some(name)
    })
}

/// The defaults, each with its path.
pub(crate) fn defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    RULES.iter().filter_map(|(path, rule)| match rule {
        Default(json) => Some((*path, *json)),
        _ => None,
    })
}

/// GCE's own spelling of this key, if it has one that differs in nothing but case.
pub(crate) fn canonical_key(key: &str) -> Option<&'static str> {
    KEYS.iter().copied().find(|known| known.eq_ignore_ascii_case(key))
}

/// Whether the directory at this path is GCE's own, so that its keys are. Below a key that nobody knows, nothing is.
pub(crate) fn is_known(path: &[&str]) -> bool {
    (0..path.len()).all(|depth| {
        let is_index = path[depth].bytes().all(|byte| byte.is_ascii_digit());
        is_index || is(&path[..depth], UserKeys) || canonical_key(&camel_case(path[depth])).is_some()
    })
}

/// Whether GCE is known to have this key in the directory at this path, which is known itself.
pub(crate) fn is_known_key(directory: &[&str], key: &str) -> bool {
    let is_index = key.bytes().all(|byte| byte.is_ascii_digit());
    is_index || is(directory, UserKeys) || is(directory, ObjectLeaf) || canonical_key(key).is_some()
}

/// The path segment of a JSON key in the directory at this path, which is known itself.
pub(crate) fn segment(directory: &[&str], key: &str) -> String {
    if is(directory, UserKeys) {
        key.to_owned()
    } else if is(directory, ObjectLeaf) {
        snake_case(key)
    } else {
        kebab_case(canonical_key(key).unwrap_or(key))
    }
}

/// The path segment of a JSON key: `cpuPlatform` is `cpu-platform`.
pub(crate) fn kebab_case(key: &str) -> String {
    separated(key, '-')
}

/// The other convention, which GCE's newer objects follow: `canReschedule` is `can_reschedule`.
pub(crate) fn snake_case(key: &str) -> String {
    separated(key, '_')
}

fn separated(key: &str, separator: char) -> String {
    let mut separated = String::with_capacity(key.len() + 4);
    for character in key.chars() {
        if character.is_ascii_uppercase() && !separated.is_empty() {
            separated.push(separator);
        }
        separated.push(character.to_ascii_lowercase());
    }
    separated
}

/// The JSON key of a path segment that only a path is known of: `cpu-platform` is `cpuPlatform`.
pub(crate) fn camel_case(segment: &str) -> String {
    let mut camel = String::with_capacity(segment.len());
    let mut after_dash = false;
    for character in segment.chars() {
        if character == '-' {
            after_dash = true;
        } else if after_dash {
            camel.push(character.to_ascii_uppercase());
            after_dash = false;
        } else {
            camel.push(character);
        }
    }
    camel
}

/// Whether a pattern of the table's kind is about this path.
pub(crate) fn matches(pattern: &str, path: &[&str]) -> bool {
    let mut path = path.iter();
    for wanted in pattern.split('/') {
        match (wanted, path.next()) {
            ("**", _) => return true,
            ("*", Some(_)) => {}
            (_, Some(segment)) if wanted == *segment => {}
            _ => return false,
        }
    }
    path.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(matches("instance/disks", &["instance", "disks"]));
        assert!(!matches("instance/disks", &["instance"]));
        assert!(!matches("instance/disks", &["instance", "disks", "0"]));
        assert!(matches("instance/*/x", &["instance", "0", "x"]));
        assert!(matches("a/**", &["a"]) && matches("a/**", &["a", "b", "c"]) && !matches("a/**", &["b"]));
    }

    #[test]
    fn every_key_survives_its_segment() {
        for key in KEYS {
            assert_eq!(camel_case(&kebab_case(key)), *key);
        }
        assert_eq!(kebab_case("TargetState"), "target-state");
        assert_eq!(kebab_case("dhcpv6Refresh"), "dhcpv6-refresh");
        assert_eq!(snake_case("latestWindowStartTime"), "latest_window_start_time");
    }

    #[test]
    fn case_is_forgiven() {
        assert_eq!(canonical_key("TargetState"), Some("targetState"));
        assert_eq!(canonical_key("requestTimeStamp"), Some("requestTimestamp"));
        assert_eq!(canonical_key("target-state"), None);
    }

    #[test]
    fn what_is_below_an_unknown_key_is_unknown() {
        assert!(is_known(&[]) && is_known(&["instance", "network-interfaces", "0", "access-configs"]));
        assert!(is_known(&["instance", "service-accounts", "a@example.com"]));
        assert!(!is_known(&["instance", "odd"]) && !is_known(&["odd", "instance"]));
    }

    #[test]
    fn an_account_computes_its_tokens() {
        let names: Vec<_> = computed_in(&["instance", "service-accounts", "default"]).collect();
        assert_eq!(names, ["identity", "token"]);
        assert_eq!(computed_in(&["instance"]).count(), 0);
    }

    #[test]
    fn defaults_are_json() {
        for (path, json) in defaults() {
            assert!(serde_json::from_str::<serde_json::Value>(json).is_ok(), "{path}");
        }
    }
}
