//! The values of `/0.1/meta-data/` that v1 has in another form: JSON documents of disks, network and accounts, and the domain.
//!
//! `auth-token` is missing: its answer on GCE is not known. Clients of that time request tokens from `acquire`.

use super::{Answer, Call, Endpoint, Reply};
use crate::snapshot::Reader;
use crate::tree::{Leaf, Node, Tree};
use gce_metadata_layers::Rejection;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Builds a value from the tree; `None` if the tree lacks what the value is made from.
type Build = fn(&Tree) -> Option<Leaf>;

/// The values by path.
pub(crate) const V01_VALUES: [(&str, Build); 4] = [
    ("/0.1/meta-data/attached-disks", attached_disks),
    ("/0.1/meta-data/domain", domain),
    ("/0.1/meta-data/network", network),
    ("/0.1/meta-data/service-accounts", service_accounts),
];

/// Answers a value of the first API.
pub(crate) struct V01Value {
    reader: Reader,
    build: Build,
}

impl V01Value {
    pub(crate) fn new(reader: Reader, build: Build) -> Self {
        Self { reader, build }
    }
}

impl Endpoint for V01Value {
    fn call(&self, _: Call<'_>) -> Reply {
        let leaf = (self.build)(self.reader.snapshot().tree());
        leaf.map(|leaf| Answer::Published(Arc::new(Node::Leaf(leaf)))).ok_or(Rejection::NotFound).into()
    }
}

fn attached_disks(tree: &Tree) -> Option<Leaf> {
    let disks = objects(tree, "instance/disks")?;
    let disk = |disk: &Map<String, Value>| Value::Object(members(disk, &["deviceName", "index", "mode", "type"]));
    Some(Leaf::json_by_default(json!({"disks": disks.iter().map(disk).collect::<Vec<_>>()})))
}

/// The host name without its first label.
fn domain(tree: &Tree) -> Option<Leaf> {
    let hostname = tree.text("instance/hostname")?;
    hostname.split_once('.').map(|(_, domain)| Leaf::text_by_default(domain))
}

fn network(tree: &Tree) -> Option<Leaf> {
    let interface = |interface: &Map<String, Value>| {
        let mut converted = members(interface, &["ip", "network"]);
        let configs = interface.get("accessConfigs").and_then(Value::as_array).into_iter().flatten();
        let configs = configs.filter_map(Value::as_object).map(|config| members(config, &["externalIp", "type"]));
        converted.insert("accessConfiguration".into(), configs.collect());
        Value::Object(converted)
    };
    let interfaces = objects(tree, "instance/network-interfaces")?;
    Some(Leaf::json_by_default(json!({"networkInterface": interfaces.iter().map(interface).collect::<Vec<_>>()})))
}

fn service_accounts(tree: &Tree) -> Option<Leaf> {
    let accounts = tree.service_accounts();
    let account = accounts.iter().map(|account| json!({"scopes": *account.scopes, "serviceAccount": account.email}));
    Some(Leaf::json_by_default(json!({"serviceAccounts": account.collect::<Vec<_>>()})))
}

/// The objects of the list at this path.
fn objects(tree: &Tree, path: &str) -> Option<Vec<Map<String, Value>>> {
    serde_json::from_slice(&tree.get(path)?.json()).ok()
}

/// The members of an object with these keys.
fn members(object: &Map<String, Value>, keys: &[&str]) -> Map<String, Value> {
    keys.iter().filter_map(|key| Some(((*key).to_owned(), object.get(*key)?.clone()))).collect()
}
