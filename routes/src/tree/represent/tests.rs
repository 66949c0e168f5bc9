use super::*;
use crate::tree::Tree;
use proptest::prelude::*;
use serde_json::{Map, json};

fn tree(v1: &Value) -> Tree {
    Tree::from_json(v1)
}

fn vm() -> Tree {
    tree(&json!({"instance": {
        "attributes": {},
        "description": "",
        "disks": [{"deviceName": "boot", "index": 0}, {"deviceName": "data", "index": 1}],
        "id": 18446744073709551615_u64,
        "networkInterfaces": [{
            "accessConfigs": [{"externalIp": "203.0.113.5", "type": "ONE_TO_ONE_NAT"}],
            "dnsServers": ["169.254.169.254", "192.0.2.53"],
            "forwardedIps": [], "ip": "10.128.0.2", "ipAliases": ["10.1.0.0/24"], "ipv6": ["2001:db8::/96"], "mtu": 1460,
        }],
        "serviceAccounts": {"default": {"aliases": ["default"], "email": "vm@example.com", "scopes": ["a", "b"]}},
        "tags": ["http-server", "db"],
    }}))
}

fn answer(tree: &Tree, path: &str, query: &str) -> (String, String) {
    let form = tree.get(path).unwrap().represent(&Query::parse(Some(query))).unwrap();
    (String::from_utf8(form.body().to_vec()).unwrap(), form.content_type().to_str().unwrap().to_owned())
}

fn body(path: &str, query: &str) -> String {
    answer(&vm(), path, query).0
}

#[test]
fn leaves_are_rendered_as_text_or_json() {
    assert_eq!(answer(&vm(), "instance/id", ""), ("18446744073709551615".into(), "application/text".into()));
    assert_eq!(answer(&vm(), "instance/id", "alt=json"), ("18446744073709551615".into(), "application/json".into()));
    assert_eq!(body("instance/network-interfaces/0/ip", "alt=json"), "\"10.128.0.2\"");
    assert_eq!(body("instance/network-interfaces/0/ip", "recursive=true"), "10.128.0.2");
    assert_eq!(body("instance/network-interfaces/0/dns-servers", ""), "169.254.169.254\n192.0.2.53\n");
    assert_eq!(body("instance/network-interfaces/0/dns-servers", "alt=json"), r#"["169.254.169.254","192.0.2.53"]"#);
    assert_eq!(body("instance/description", ""), "");
}

#[test]
fn tags_are_json_by_default() {
    assert_eq!(answer(&vm(), "instance/tags", ""), (r#"["http-server","db"]"#.into(), "application/json".into()));
    assert_eq!(answer(&vm(), "instance/tags", "alt=text"), ("http-server\ndb\n".into(), "application/text".into()));
}

#[test]
fn listings_are_sorted_and_directories_end_in_a_slash() {
    assert_eq!(
        body("instance", ""),
        "attributes/\ndescription\ndisks/\nid\nnetwork-interfaces/\nservice-accounts/\ntags\n"
    );
    assert_eq!(body("instance/disks", ""), "0/\n1/\n");
    assert_eq!(body("instance/attributes", ""), "");
    assert_eq!(body("instance/network-interfaces/0/ip-aliases", ""), "0\n");
    assert_eq!(body("instance/service-accounts/default", ""), "aliases\nemail\nidentity\nscopes\ntoken\n");
}

#[test]
fn a_listing_rejects_alt_and_wait_for_change() {
    for query in ["alt=json", "alt=text", "wait_for_change=true"] {
        let refused = vm().get("instance").unwrap().represent(&Query::parse(Some(query)));
        assert_eq!(refused.unwrap_err(), Rejection::BadRequest, "{query}");
    }
}

#[test]
fn recursion_is_compact_json_in_byte_order_without_tokens() {
    assert_eq!(
        answer(&vm(), "instance/service-accounts", "recursive=true"),
        (
            r#"{"default":{"aliases":["default"],"email":"vm@example.com","scopes":["a","b"]}}"#.into(),
            "application/json".into()
        )
    );
    let tree = tree(&json!({"x": {"ipv6": 1, "ipAliases": [], "ip": {}, "a": "<&>\"\n\u{e9}"}}));
    assert_eq!(
        answer(&tree, "x", "recursive=true").0,
        "{\"a\":\"<&>\\\"\\n\u{e9}\",\"ip\":{},\"ipAliases\":[],\"ipv6\":1}"
    );
}

#[test]
fn recursive_text_has_a_line_with_the_path_for_each_value() {
    assert_eq!(
        body("instance", "recursive=true&alt=text"),
        "description \n\
         disks/0/device-name boot\ndisks/0/index 0\ndisks/1/device-name data\ndisks/1/index 1\n\
         id 18446744073709551615\n\
         network-interfaces/0/access-configs/0/external-ip 203.0.113.5\n\
         network-interfaces/0/access-configs/0/type ONE_TO_ONE_NAT\n\
         network-interfaces/0/dns-servers 169.254.169.254\nnetwork-interfaces/0/dns-servers 192.0.2.53\n\
         network-interfaces/0/ip 10.128.0.2\nnetwork-interfaces/0/ip-aliases/0 10.1.0.0/24\n\
         network-interfaces/0/ipv6 2001:db8::/96\nnetwork-interfaces/0/mtu 1460\n\
         service-accounts/default/aliases default\nservice-accounts/default/email vm@example.com\n\
         service-accounts/default/scopes a\nservice-accounts/default/scopes b\n\
         tags http-server\ntags db\n"
    );
    assert_eq!(body("instance/disks/0", "recursive=true&alt=text"), "device-name boot\nindex 0\n");
}

/// Arbitrary JSON, with arbitrary keys.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter_map("JSON has no infinities", |number| serde_json::Number::from_f64(number).map(Value::from)),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any_key(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9_.@-]{1,8}", "[a-z]{1,4}([A-Z][a-z]{1,4}){0,2}", ".{0,6}"]
}

/// Collects all nodes that listings lead to, with their paths.
fn walk<'a>(node: &'a Node, path: &str, found: &mut Vec<(String, &'a Node)>) {
    found.push((path.to_owned(), node));
    if node.is_directory() {
        for line in String::from_utf8(node.listing().to_vec()).unwrap().split_terminator('\n') {
            let segment = line.strip_suffix('/').unwrap_or(line);
            let child = node.child(segment).unwrap_or_else(|| panic!("{path}/ lists {line:?}, which is not served"));
            assert_eq!(child.is_directory(), line.ends_with('/'), "{path}/{line}");
            walk(child, &format!("{path}/{segment}"), found);
        }
    }
}

proptest! {
    #[test]
    fn any_object_is_served_unchanged(values in prop::collection::btree_map(any_key(), any_json(), 0..6)) {
        let wanted = json!({ "unknown": values });
        let served: Value = serde_json::from_slice(&tree(&wanted).root.json()).unwrap();
        prop_assert_eq!(served, wanted);
    }

    #[test]
    fn each_listed_node_is_served_in_every_form(values in prop::collection::btree_map(any_key(), any_json(), 0..6)) {
        let tree = tree(&json!({ "unknown": values }));
        let mut found = Vec::new();
        walk(&tree.root, "", &mut found);
        for (path, node) in found {
            prop_assert!(std::ptr::eq(&**tree.get(&path).unwrap(), node), "{}", path);
            for query in ["recursive=true", "recursive=true&alt=text", "recursive=true&alt=json"] {
                prop_assert!(node.represent(&Query::parse(Some(query))).is_ok(), "{}?{}", path, query);
            }
        }
    }

    #[test]
    fn no_path_panics(path in ".*") {
        let _ = vm().get(&path);
    }
}
