//! The table of GCE's types: which values GCE serves at which path.
//!
//! A config with other values is served unchanged, and `check` warns about them. The values of an edit are converted.

use crate::schema;
use serde_json::Value;
use std::str::FromStr;

/// The type of a node on GCE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// A directory, or a leaf that is an object.
    Object,
    Text,
    /// An integer of 64 bits, without or with a sign.
    Unsigned,
    Signed,
    /// A list of strings.
    Texts,
    OneOf(&'static [&'static str]),
    /// A resource path; `*` is any segment.
    Form(&'static str),
}

use Expected::{Form, Object, OneOf, Signed, Text, Texts, Unsigned};

const TRUE_OR_FALSE: Expected = OneOf(&["TRUE", "FALSE"]);

/// Paths below `/computeMetadata/v1/`, in the patterns of the schema. Attributes are also checked by `check/attributes.rs`.
const EXPECTED: &[(&str, Expected)] = &[
    ("instance/attributes/*", Text),
    ("instance/cpu-platform", Text),
    ("instance/credentials", Object),
    ("instance/credentials/mds-client-certificate", Object),
    ("instance/description", Text),
    ("instance/disks/*", Object),
    ("instance/disks/*/device-name", Text),
    ("instance/disks/*/index", Unsigned),
    ("instance/disks/*/interface", OneOf(&["SCSI", "NVME"])),
    ("instance/disks/*/mode", OneOf(&["READ_WRITE", "READ_ONLY"])),
    ("instance/disks/*/type", OneOf(DISK_TYPES)),
    ("instance/gce-workload-certificates", Object),
    ("instance/guest-attributes/*/*", Text),
    ("instance/hostname", Text),
    ("instance/id", Unsigned),
    ("instance/identity-configuration", Object),
    ("instance/image", Text),
    ("instance/legacy-endpoint-access", Object),
    ("instance/licenses/*", Object),
    ("instance/licenses/*/id", Text),
    ("instance/machine-type", Form("projects/*/machineTypes/*")),
    ("instance/maintenance-event", OneOf(&["NONE", "MIGRATE_ON_HOST_MAINTENANCE", "TERMINATE_ON_HOST_MAINTENANCE"])),
    ("instance/name", Text),
    ("instance/network-interfaces/*", Object),
    ("instance/network-interfaces/*/access-configs/*", Object),
    ("instance/network-interfaces/*/access-configs/*/external-ip", Text),
    ("instance/network-interfaces/*/access-configs/*/type", OneOf(&["ONE_TO_ONE_NAT", "DIRECT_IPV6"])),
    ("instance/network-interfaces/*/dns-servers", Texts),
    ("instance/network-interfaces/*/forwarded-ips/*", Text),
    ("instance/network-interfaces/*/forwarded-ipv6s/*", Text),
    ("instance/network-interfaces/*/gateway", Text),
    ("instance/network-interfaces/*/gateway-ipv6", Text),
    ("instance/network-interfaces/*/ip", Text),
    ("instance/network-interfaces/*/ip-aliases/*", Text),
    ("instance/network-interfaces/*/ipv6", Texts),
    ("instance/network-interfaces/*/ipv6s", Texts),
    ("instance/network-interfaces/*/mac", Text),
    ("instance/network-interfaces/*/mtu", Unsigned),
    ("instance/network-interfaces/*/network", Form("projects/*/networks/*")),
    ("instance/network-interfaces/*/subnetmask", Text),
    ("instance/network-interfaces/*/target-instance-ips", Texts),
    ("instance/platform-security", Object),
    ("instance/preempted", TRUE_OR_FALSE),
    ("instance/remaining-cpu-time", Signed),
    ("instance/scheduling", Object),
    ("instance/scheduling/automatic-restart", TRUE_OR_FALSE),
    ("instance/scheduling/on-host-maintenance", OneOf(&["MIGRATE", "TERMINATE"])),
    ("instance/scheduling/preemptible", TRUE_OR_FALSE),
    ("instance/service-accounts/*/aliases", Texts),
    ("instance/service-accounts/*/email", Text),
    ("instance/service-accounts/*/scopes", Texts),
    ("instance/shutdown-details", Object),
    ("instance/tags", Texts),
    ("instance/upcoming-maintenance/maintenance_status", OneOf(&["PENDING", "ONGOING"])),
    ("instance/upcoming-maintenance/type", OneOf(&["SCHEDULED", "UNSCHEDULED"])),
    ("instance/virtual-clock", Object),
    ("instance/virtual-clock/drift-token", Text),
    ("instance/vlan-network-interfaces", Object),
    ("instance/vlan-network-interfaces/*", Object),
    ("instance/vlan-network-interfaces/*/*", Object),
    ("instance/zone", Form("projects/*/zones/*")),
    ("oslogin/authenticate", Object),
    ("oslogin/authenticate/sessions", Object),
    ("project/attributes/*", Text),
    ("project/numeric-project-id", Unsigned),
    ("project/project-id", Text),
    ("universe/universe-domain", Text),
];

const DISK_TYPES: &[&str] = &[
    "PERSISTENT",
    "PERSISTENT-BALANCED",
    "PERSISTENT-SSD",
    "PERSISTENT-EXTREME",
    "HYPERDISK-BALANCED",
    "HYPERDISK-BALANCED-HIGH-AVAILABILITY",
    "HYPERDISK-EXTREME",
    "HYPERDISK-ML",
    "HYPERDISK-THROUGHPUT",
    "LOCAL-SSD",
];

/// The type at this path; `None` if it is not known.
pub(super) fn at(segments: &[&str]) -> Option<Expected> {
    EXPECTED.iter().find(|(pattern, _)| schema::matches(pattern, segments)).map(|(_, expected)| *expected)
}

/// The paths whose type is known.
pub(super) fn patterns() -> impl Iterator<Item = &'static str> {
    EXPECTED.iter().map(|(pattern, _)| *pattern)
}

impl Expected {
    pub(super) fn is_met(self, value: &Value) -> bool {
        match self {
            Object => value.is_object(),
            Text => value.is_string(),
            Unsigned => value.is_u64(),
            Signed => value.is_i64(),
            Texts => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
            OneOf(words) => value.as_str().is_some_and(|value| words.contains(&value)),
            Form(pattern) => {
                value.as_str().is_some_and(|value| schema::matches(pattern, &value.split('/').collect::<Vec<_>>()))
            }
        }
    }

    /// Converts a value to GCE's type if that is possible without loss, and keeps it otherwise.
    pub(super) fn convert(self, value: &mut Value) {
        let converted = match (self, &mut *value) {
            (TRUE_OR_FALSE, Value::Bool(is_true)) => Some(if *is_true { "TRUE" } else { "FALSE" }.into()),
            (Unsigned, Value::String(text)) => exactly::<u64>(text).map(Value::from),
            (Signed, Value::String(text)) => exactly::<i64>(text).map(Value::from),
            (Text | Form(_), scalar @ (Value::Bool(_) | Value::Number(_))) => Some(scalar.to_string().into()),
            (Texts, Value::Array(items)) => {
                items.iter_mut().for_each(|item| Text.convert(item));
                None
            }
            _ => None,
        };
        if let Some(converted) = converted {
            *value = converted;
        }
    }

    /// The type in words, for warnings.
    pub(super) fn words(self) -> String {
        match self {
            Object => "an object".to_owned(),
            Text => "a string".to_owned(),
            Unsigned => "an integer from 0 to 18446744073709551615, without quotes".to_owned(),
            Signed => "an integer, without quotes".to_owned(),
            Texts => "a list of strings".to_owned(),
            OneOf(words) => words.join(" or "),
            Form(pattern) => format!("a path such as {pattern}"),
        }
    }
}

/// Parses a number in its canonical form: `42`, but neither `042` nor `+42`.
fn exactly<T: FromStr + ToString>(text: &str) -> Option<T> {
    text.parse::<T>().ok().filter(|number| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_type_accepts_its_values_and_no_others() {
        let is_met = |path: &str, value: Value| at(&path.split('/').collect::<Vec<_>>()).unwrap().is_met(&value);
        assert!(is_met("instance/id", json!(u64::MAX)) && !is_met("instance/id", json!("1")));
        assert!(!is_met("instance/id", serde_json::from_str("18446744073709551616").unwrap()), "too large");
        assert!(is_met("instance/remaining-cpu-time", json!(-1)) && !is_met("instance/remaining-cpu-time", json!(0.5)));
        assert!(is_met("instance/tags", json!([])) && !is_met("instance/tags", json!(["a", 1])));
        assert!(is_met("instance/zone", json!("projects/1/zones/z")) && !is_met("instance/zone", json!("z")));
        assert!(is_met("instance/preempted", json!("TRUE")) && !is_met("instance/preempted", json!(true)));
    }

    /// A row with an unknown key would never match.
    #[test]
    fn each_row_has_a_path_that_the_schema_knows() {
        for (pattern, _) in EXPECTED {
            let path: Vec<_> = pattern.split('/').map(|segment| segment.replace('*', "0")).collect();
            let path: Vec<_> = path.iter().map(String::as_str).collect();
            let (name, parent) = path.split_last().unwrap();
            let is_known = if schema::is(parent, schema::Rule::ObjectLeaf) {
                schema::is_known(parent) && schema::snake_case(name) == *name
            } else {
                schema::is_known(&path)
            };
            assert!(is_known, "{pattern}");
        }
    }
}
