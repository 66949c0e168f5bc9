//! `/__admin/near-misses` and `/__admin/requests/unmatched/near-misses`: what was nearly asked, and which keys have nearly such a name.

use super::call::{Call, Outcome, json};
use super::requests::{entries, pattern};
use crate::journal::{Entry, NearMiss, logged_request, near_misses, nearest_keys};
use crate::request_pattern::{Pattern, RequestView};
use gce_metadata_routes::Tree;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The limit on the answers for unmatched paths.
const MAX_PATHS: usize = 100;

/// `POST /__admin/near-misses/request-pattern`: the nearest requests that do not match.
pub(super) async fn of_pattern(call: Call) -> Outcome {
    let pattern = pattern(&call)?;
    let snapshot = call.admin.vm.reader().snapshot();
    let near = json_of(&near_misses(&pattern, &entries(&call)), &pattern, snapshot.tree());
    json(&json!({"nearMisses": near}))
}

/// `GET /__admin/requests/unmatched/near-misses`: each path that names nothing once, the newest first, with the nearest keys.
pub(super) async fn of_unmatched(call: Call) -> Outcome {
    let entries = entries(&call);
    let snapshot = call.admin.vm.reader().snapshot();
    let mut paths = BTreeSet::new();
    let is_new = |entry: &&Arc<Entry>| !entry.is_matched() && paths.insert(entry.url_path().into_owned());
    let unmatched = entries.iter().rev().filter(is_new).take(MAX_PATHS);
    let near: Vec<_> = unmatched.map(|entry| unmatched_json(entry, snapshot.tree())).collect();
    json(&json!({"nearMisses": near}))
}

fn unmatched_json(entry: &Entry, tree: &Tree) -> Value {
    let keys = entry.key().map(|key| nearest_keys(tree, &key)).unwrap_or_default();
    let distance = keys.first().map_or(1.0, |(_, distance)| *distance);
    let keys: Vec<_> = keys.into_iter().map(|(key, _)| key).collect();
    let mut request = logged_request(entry, tree);
    request["metadataServer"]["nearestKeys"] = keys.into();
    json!({"request": request, "matchResult": {"distance": distance}})
}

/// Near misses in WireMock's form.
pub(super) fn json_of(near: &[NearMiss], pattern: &Pattern, tree: &Tree) -> Vec<Value> {
    let json = |miss: &NearMiss| {
        json!({
            "request": logged_request(&miss.entry, tree),
            "requestPattern": pattern.json(),
            "matchResult": {"distance": miss.distance},
        })
    };
    near.iter().map(json).collect()
}
