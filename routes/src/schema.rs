//! The schema: one table of the properties of nodes that do not follow from the JSON of a config.
//!
//! Without a rule, an object is a directory, a list of objects is a directory of indices, and any other value is a leaf. A key without
//! a rule is served too. Key case is converted here: camelCase in JSON, kebab-case in paths.

/// A property of the nodes that a pattern matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// An object; any other value is an error in the config.
    Object,
    /// An object with user-defined keys, which are not converted to kebab-case.
    UserKeys,
    /// A list that is a directory of indices even when it is empty or holds plain values.
    ListDirectory,
    /// A leaf whose default format is JSON. A config may have an object as JSON or as a string.
    JsonByDefault,
    /// An object that is one leaf, with `snake_case` keys.
    ObjectLeaf,
    /// A leaf whose text is a JSON document. A config may have it as a string or as JSON.
    Document,
    /// A string; any other value is an error in the config.
    Text,
    /// A leaf that is listed and served by its path, but omitted from recursion, as tokens are.
    Secret,
    /// A directory that is empty in recursion from above; recursion from the directory itself shows its children.
    Closed,
    /// A leaf without a value in the tree: it is listed, and an endpoint computes its value for each request.
    Computed,
    /// A node with this JSON as its default value. While the config does not have it, it is served by its path, but neither listed nor
    /// part of recursion.
    Default(&'static str),
}

use Rule::{
    Closed, Computed, Default, Document, JsonByDefault, ListDirectory, Object, ObjectLeaf, Secret, Text, UserKeys,
};

/// Rules by path below `/computeMetadata/v1/`. `*` matches one segment, `**` at the end any number of segments, including none.
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

/// GCE's keys in their JSON spelling. A key in a config that differs in case only is normalized: the Go emulator's sample has
/// `TargetState`.
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

/// The patterns of all rules.
pub(crate) fn patterns() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|(pattern, _)| *pattern)
}

/// Whether a rule holds for the node at this path.
pub(crate) fn is(path: &[&str], rule: Rule) -> bool {
    RULES.iter().any(|(pattern, of)| *of == rule && matches(pattern, path))
}

/// The rules for a node and for the nodes below it. A walk through a whole config descends with one, which is many times faster than
/// matching the path of each node with the whole table.
#[derive(Debug, Clone)]
pub(crate) struct RulesBelow(Vec<(&'static str, Rule)>);

impl RulesBelow {
    /// The rules of the node at this path, and of those below it.
    pub(crate) fn at(path: &[&str]) -> Self {
        path.iter().fold(Self(RULES.to_vec()), |rules, segment| rules.child(segment))
    }

    /// The rules of this child, and of the nodes below it. Each pattern loses its first segment, except for `**`.
    pub(crate) fn child(&self, segment: &str) -> Self {
        let rest = |pattern: &'static str| match pattern {
            "**" => Some("**"),
            "" => None,
            _ => {
                let (first, rest) = pattern.split_once('/').unwrap_or((pattern, ""));
                (first == "*" || first == segment).then_some(rest)
            }
        };
        Self(self.0.iter().filter_map(|(pattern, rule)| Some((rest(pattern)?, *rule))).collect())
    }

    /// Whether a rule holds for the node.
    pub(crate) fn has(&self, rule: Rule) -> bool {
        self.0.iter().any(|(pattern, of)| *of == rule && matches!(*pattern, "" | "**"))
    }

    /// The names of the computed leaves in the directory.
    pub(crate) fn computed(&self) -> impl Iterator<Item = &'static str> {
        let is_child = |pattern: &str| !pattern.is_empty() && !pattern.contains('/');
        self.0.iter().filter(move |(pattern, rule)| *rule == Computed && is_child(pattern)).map(|(name, _)| *name)
    }
}

/// The paths and the JSON of all defaults.
pub(crate) fn defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    RULES.iter().filter_map(|(path, rule)| match rule {
        Default(json) => Some((*path, *json)),
        _ => None,
    })
}

/// GCE's spelling of this key, compared without case; `None` if GCE does not have the key.
pub(crate) fn canonical_key(key: &str) -> Option<&'static str> {
    KEYS.iter().copied().find(|known| known.eq_ignore_ascii_case(key))
}

/// Whether all segments of this path are GCE's keys, user-defined keys or indices. Below an unknown key, no path is known.
pub(crate) fn is_known(path: &[&str]) -> bool {
    (0..path.len()).all(|depth| {
        let is_index = path[depth].bytes().all(|byte| byte.is_ascii_digit());
        is_index || is(&path[..depth], UserKeys) || canonical_key(&camel_case(path[depth])).is_some()
    })
}

/// Whether GCE is known to have this key in the directory at this path. The path must be known.
pub(crate) fn is_known_key(directory: &[&str], key: &str) -> bool {
    let is_index = key.bytes().all(|byte| byte.is_ascii_digit());
    is_index || is(directory, UserKeys) || is(directory, ObjectLeaf) || canonical_key(key).is_some()
}

/// The path segment of a JSON key in the directory at this path. The path must be known.
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

/// The `snake_case` form of a JSON key, which GCE's newer objects have: `canReschedule` is `can_reschedule`.
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

/// The JSON key of a new path segment: `cpu-platform` is `cpuPlatform`.
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

/// Whether a pattern matches this path.
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
    fn patterns_match_segments_and_wildcards() {
        assert!(matches("instance/disks", &["instance", "disks"]));
        assert!(!matches("instance/disks", &["instance"]));
        assert!(!matches("instance/disks", &["instance", "disks", "0"]));
        assert!(matches("instance/*/x", &["instance", "0", "x"]));
        assert!(matches("a/**", &["a"]) && matches("a/**", &["a", "b", "c"]) && !matches("a/**", &["b"]));
    }

    #[test]
    fn each_key_is_restored_from_its_segment() {
        for key in KEYS {
            assert_eq!(camel_case(&kebab_case(key)), *key);
        }
        assert_eq!(kebab_case("TargetState"), "target-state");
        assert_eq!(kebab_case("dhcpv6Refresh"), "dhcpv6-refresh");
        assert_eq!(snake_case("latestWindowStartTime"), "latest_window_start_time");
    }

    #[test]
    fn canonical_keys_are_found_in_any_case() {
        assert_eq!(canonical_key("TargetState"), Some("targetState"));
        assert_eq!(canonical_key("requestTimeStamp"), Some("requestTimestamp"));
        assert_eq!(canonical_key("target-state"), None);
    }

    #[test]
    fn a_path_below_an_unknown_key_is_unknown() {
        assert!(is_known(&[]) && is_known(&["instance", "network-interfaces", "0", "access-configs"]));
        assert!(is_known(&["instance", "service-accounts", "a@example.com"]));
        assert!(!is_known(&["instance", "odd"]) && !is_known(&["odd", "instance"]));
    }

    #[test]
    fn tokens_of_an_account_are_computed() {
        let computed = |path: &[&str]| RulesBelow::at(path).computed().collect::<Vec<_>>();
        assert_eq!(computed(&["instance", "service-accounts", "default"]), ["identity", "token"]);
        assert_eq!(computed(&["instance"]), [""; 0]);
    }

    #[test]
    fn the_rules_of_a_descent_are_those_of_the_path() {
        for path in patterns().flat_map(|pattern| {
            [pattern.to_owned(), pattern.replace('*', "0"), format!("{pattern}/x"), format!("x/{pattern}")]
        }) {
            let path: Vec<_> = path.split('/').collect();
            for depth in 0..=path.len() {
                let (path, rules) = (&path[..depth], RulesBelow::at(&path[..depth]));
                for (_, rule) in RULES {
                    assert_eq!(rules.has(*rule), is(path, *rule), "{path:?} {rule:?}");
                }
            }
        }
    }

    #[test]
    fn defaults_are_valid_json() {
        for (path, json) in defaults() {
            assert!(serde_json::from_str::<serde_json::Value>(json).is_ok(), "{path}");
        }
    }
}
