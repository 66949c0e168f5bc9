//! Builds a tree from JSON.

use super::{Array, Dir, Entry, Leaf, Node, RenderCache, Tree, Visibility};
use crate::schema::{self, Rule, RulesBelow};
use http::uri::PathAndQuery;
use serde::Serialize;
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

impl Tree {
    /// Builds a tree from the JSON of `/computeMetadata/v1/`, and adds the defaults.
    pub(crate) fn from_json(v1: &Value) -> Self {
        Self::new(Arc::new(node(v1, &[]))).with_defaults("")
    }

    /// Adds the missing defaults at and below this path, and at the paths above it.
    #[expect(clippy::expect_used, reason = "the defaults are constants, and every tree is built with them")]
    pub(super) fn with_defaults(mut self, below: &str) -> Self {
        let below: Vec<_> = below.split('/').filter(|segment| !segment.is_empty()).collect();
        for (path, json) in schema::defaults() {
            let belongs =
                path.split('/').zip(&below).filter(|(segment, wanted)| segment == *wanted).count() == below.len();
            if !belongs || self.get(path).is_some() {
                continue;
            }
            let value = serde_json::from_str(json).expect("the defaults are JSON");
            // Fails if there is a value above the path of the default.
            if let Ok(with_default) = self.with_visibility(path, &value, Visibility::Nowhere) {
                self = with_default;
            }
        }
        self
    }
}

/// Builds the node of a value at this path, by the rules of the schema for the path.
pub(super) fn node(value: &Value, path: &[&str]) -> Node {
    node_with(value, &RulesBelow::at(path))
}

fn node_with(value: &Value, rules: &RulesBelow) -> Node {
    match value {
        _ if rules.has(Rule::JsonByDefault) => Node::Leaf(Leaf::json_by_default(value.clone())),
        Value::Object(_) if rules.has(Rule::ObjectLeaf) => {
            Node::Leaf(Leaf::text_by_default(snake_cased(value.clone())))
        }
        Value::Object(_) | Value::Array(_) if rules.has(Rule::Document) => {
            Node::Leaf(Leaf::text_by_default(document(value)))
        }
        Value::Object(object) => Node::Dir(dir(object, rules)),
        Value::Array(items) if is_directory(items) || rules.has(Rule::ListDirectory) => {
            Node::Array(array(items, rules))
        }
        _ => Node::Leaf(Leaf::text_by_default(value.clone())),
    }
}

/// Whether a list is a directory: one of plain values is a leaf with a line per item, and items of any other list need paths.
fn is_directory(items: &[Value]) -> bool {
    items.iter().any(|item| item.is_object() || item.is_array())
}

fn array(items: &[Value], rules: &RulesBelow) -> Array {
    // Rules apply to all items of a list, so one index represents all of them.
    let rules = rules.child("0");
    let items = items.iter().map(|item| Arc::new(node_with(item, &rules))).collect();
    Array { items, cache: RenderCache::default() }
}

fn dir(object: &Map<String, Value>, rules: &RulesBelow) -> Dir {
    let computed = |name: &'static str| {
        let node = Arc::new(Node::Computed);
        let name: Arc<str> = name.into();
        (Arc::clone(&name), Entry { json_key: name, node, visibility: Visibility::ListingOnly })
    };
    let segments = Segments::with(object, rules.has(Rule::UserKeys));
    let given = object.iter().filter_map(|(key, value)| {
        let segment: Arc<str> = segments.of_key(key).into();
        if rules.computed().any(|name| name == &*segment) {
            return None;
        }
        let rules = rules.child(&segment);
        let visibility = match is_addressable(&segment) {
            true if rules.has(Rule::Secret) => Visibility::ListingOnly,
            true => Visibility::Everywhere,
            false => Visibility::RecursionOnly,
        };
        let node = Arc::new(node_with(value, &rules));
        let json_key = if *segment == **key { Arc::clone(&segment) } else { key.as_str().into() };
        Some((segment, Entry { json_key, node, visibility }))
    });
    // Collected at once, because the keys of a large directory are sorted already: that saves a search for each.
    let entries: BTreeMap<_, _> = rules.computed().map(computed).chain(given).collect();
    Dir { entries, is_closed: rules.has(Rule::Closed), cache: RenderCache::default() }
}

/// Assigns path segments to the keys of an object. No two keys get the same segment, or one of them would be lost.
pub(crate) struct Segments {
    verbatim: bool,
    shared: HashMap<String, usize>,
}

impl Segments {
    pub(crate) fn of(object: &Map<String, Value>, path: &[&str]) -> Self {
        Self::with(object, schema::is(path, Rule::UserKeys))
    }

    /// `verbatim`: the keys are users' own.
    fn with(object: &Map<String, Value>, verbatim: bool) -> Self {
        let mut shared = HashMap::new();
        if !verbatim {
            for key in object.keys() {
                *shared.entry(schema::kebab_case(key)).or_default() += 1;
            }
        }
        Self { verbatim, shared }
    }

    /// The segment of a key: its kebab-case form, or the key itself if two keys have the same kebab-case form.
    pub(crate) fn of_key<'a>(&self, key: &'a str) -> Cow<'a, str> {
        if self.verbatim {
            return key.into();
        }
        let segment = schema::kebab_case(key);
        if self.shared.get(&segment) == Some(&1) { segment.into() } else { key.into() }
    }
}

/// Whether a URL can contain the segment.
pub(crate) fn is_addressable(segment: &str) -> bool {
    const SHORT: usize = 256;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    // Nearly all keys need no parsing, which would be a large part of building a tree of many attributes.
    if (1..=SHORT).contains(&segment.len()) && segment.bytes().all(is_plain) {
        return true;
    }
    let path = format!("/{segment}");
    !segment.is_empty()
        && !segment.contains('/')
        && PathAndQuery::try_from(path.as_str()).is_ok_and(|parsed| parsed.as_str() == path && parsed.query().is_none())
}

/// Formats JSON as GCE does in the text of a leaf: indented by one space per level, with a line break at the end.
#[expect(clippy::expect_used, reason = "keys are strings, a Vec takes every write, and serde_json writes UTF-8")]
fn document(value: &Value) -> String {
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b" "));
    value.serialize(&mut serializer).expect("values serialize");
    text.push(b'\n');
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// Converts the keys of an object to `snake_case`. Members that have such keys already are GCE's and are not changed.
pub(super) fn snake_cased(value: Value) -> Value {
    let Value::Object(object) = value else { return value };
    let written: Vec<_> = object.keys().cloned().collect();
    let member = |(key, value): (String, Value)| {
        let snake = schema::snake_case(&key);
        // A key is kept if the object also has its snake_case form.
        if written.contains(&snake) { (key, snake_cased(value)) } else { (snake, boolean(snake_cased(value))) }
    };
    Value::Object(object.into_iter().map(member).collect())
}

/// A boolean for `TRUE` or `FALSE`: configs of the Go emulator have these words under their camelCase keys.
fn boolean(value: Value) -> Value {
    match value.as_str() {
        Some("TRUE") => Value::Bool(true),
        Some("FALSE") => Value::Bool(false),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_layers::{Query, Represent};
    use serde_json::json;

    fn tree(v1: Value) -> Tree {
        Tree::from_json(&v1)
    }

    #[test]
    fn a_list_of_plain_values_is_a_leaf_and_other_lists_are_directories() {
        let tree = tree(json!({"instance": {
            "disks": [], "tags": [], "aliases": [],
            "networkInterfaces": [{"dnsServers": ["169.254.169.254"], "forwardedIps": ["192.0.2.1"], "ipAliases": []}],
            "odd": [1, {"a": 2}, [3]],
        }}));
        assert!(tree.get("instance/disks").unwrap().is_directory());
        assert!(!tree.get("instance/tags").unwrap().is_directory());
        assert!(!tree.get("instance/aliases").unwrap().is_directory());
        assert!(!tree.get("instance/network-interfaces/0/dns-servers").unwrap().is_directory());
        assert!(tree.get("instance/network-interfaces/0/ip-aliases").unwrap().is_directory());
        assert_eq!(tree.text("instance/network-interfaces/0/forwarded-ips/0").unwrap(), "192.0.2.1");
        assert_eq!(tree.text("instance/odd/0").unwrap(), "1");
        assert_eq!(tree.text("instance/odd/1/a").unwrap(), "2");
        assert!(tree.get("instance/odd/3").is_none());
    }

    #[test]
    fn user_keys_are_kept_and_other_keys_become_kebab_case() {
        let tree = tree(json!({
            "instance": {"attributes": {"sshKeys": "a", "ssh-keys": "b"}, "cpuPlatform": "c",
                "partnerAttributes": {"iam.example.com": {"camelCase": "d"}},
                "serviceAccounts": {"Me@Example.com": {"email": "e"}}},
        }));
        for (path, text) in [
            ("instance/attributes/sshKeys", "a"),
            ("instance/attributes/ssh-keys", "b"),
            ("instance/cpu-platform", "c"),
            ("instance/partner-attributes/iam.example.com/camelCase", "d"),
            ("instance/service-accounts/Me@Example.com/email", "e"),
        ] {
            assert_eq!(tree.text(path).as_deref(), Some(text), "{path}");
        }
    }

    #[test]
    fn keys_with_the_same_kebab_case_form_are_all_kept() {
        let tree = tree(json!({"x": {"fooBar": 1, "foo-bar": 2, "FooBar": 3, "other": 4}}));
        for (path, text) in [("x/fooBar", "1"), ("x/foo-bar", "2"), ("x/FooBar", "3"), ("x/other", "4")] {
            assert_eq!(tree.text(path).as_deref(), Some(text), "{path}");
        }
    }

    #[test]
    fn a_token_in_the_config_is_not_served() {
        let account = json!({"email": "a@example.com", "token": "secret", "identity": ""});
        let tree = tree(json!({"instance": {"serviceAccounts": {"default": account}}}));
        assert_eq!(**tree.get("instance/service-accounts/default/token").unwrap(), Node::Computed);
    }

    #[test]
    fn missing_values_have_defaults() {
        let tree = tree(json!({"instance": {"maintenanceEvent": "TERMINATE_ON_HOST_MAINTENANCE"}}));
        assert_eq!(tree.text("universe/universe-domain").unwrap(), "googleapis.com");
        assert_eq!(tree.text("instance/maintenance-event").unwrap(), "TERMINATE_ON_HOST_MAINTENANCE");
        assert!(tree.get("instance/service-accounts").unwrap().is_directory());
    }

    #[test]
    fn a_document_may_be_a_string_or_json() {
        let tree = tree(json!({"instance": {
            "gceWorkloadCertificates": {"configStatus": {"partnerMetadata": {}, "aList": [1]}, "trustAnchors": "{ }"},
            "platformSecurity": {"autoMtlsConfiguration": {"s2a": {"plaintext_address": "a:1"}}},
        }}));
        let text = |path| tree.text(path).unwrap();
        let written = "{\n \"aList\": [\n  1\n ],\n \"partnerMetadata\": {}\n}\n";
        assert_eq!(text("instance/gce-workload-certificates/config-status"), written);
        assert_eq!(text("instance/gce-workload-certificates/trust-anchors"), "{ }");
        assert!(text("instance/platform-security/auto-mtls-configuration").contains("\"plaintext_address\": \"a:1\""));
    }

    #[test]
    fn a_sealed_certificate_is_a_json_leaf_that_recursion_omits() {
        let blob = json!({"encrypted_credentials": "c", "key_import_blob": {"public_area": "p", "Seed": "s"}});
        for written in [blob.clone(), blob.to_string().into()] {
            let v1 = json!({"instance": {"credentials": {"mdsClientCertificate": written}}});
            let tree = crate::Metadata::unfilled(v1).tree();
            let leaf = tree.get("instance/credentials/mds-client-certificate").unwrap();
            assert_eq!(leaf.represent(&Query::default()).unwrap().body(), &*blob.to_string());
            assert_eq!(tree.get("instance/credentials").unwrap().listing(), "mds-client-certificate\n");
            assert_eq!(tree.get("").unwrap().json(), r#"{"instance":{"credentials":{}}}"#);
        }
    }

    #[test]
    fn keys_of_maintenance_windows_become_snake_case() {
        let window = json!({"canReschedule": "TRUE", "type": "SCHEDULED", "window_end_time": "2030-01-01T00:00:00Z"});
        let tree = tree(json!({"instance": {"upcomingMaintenance": window}}));
        assert_eq!(
            tree.text("instance/upcoming-maintenance").unwrap(),
            "can_reschedule true\ntype SCHEDULED\nwindow_end_time 2030-01-01T00:00:00Z\n"
        );
        let gces = json!({"instance": {"upcomingMaintenance": {"can_reschedule": "FALSE", "type": "TRUE"}}});
        let gces = self::tree(gces).get("").unwrap().json();
        assert_eq!(gces, r#"{"instance":{"upcomingMaintenance":{"can_reschedule":"FALSE","type":"TRUE"}}}"#);
        let both = json!({"instance": {"upcomingMaintenance": {"canReschedule": "a", "can_reschedule": "b"}}});
        let both = self::tree(both).text("instance/upcoming-maintenance").unwrap();
        assert_eq!(both, "canReschedule a\ncan_reschedule b\n");
    }
}
