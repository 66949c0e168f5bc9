//! Tests of the store: the faults of a file, and what a reset restores.

use super::*;
use crate::events::Events;
use gce_metadata_layers::{FaultPlan, FaultRequest};
use gce_metadata_routes::{Metadata, Publisher};
use serde_json::{Value, json};

fn faults() -> Faults {
    Faults::new(Publisher::new(Metadata::sample().tree()).reader(), Events::default())
}

fn definitions(documents: Value) -> Vec<Definition> {
    Definition::parse_all(&documents, "/faults").unwrap()
}

fn named(name: &str) -> Value {
    json!({"name": name, "request": {"urlPath": "/"}, "instructions": ["return-503"]})
}

fn names(faults: &Faults) -> Vec<String> {
    faults.list().into_iter().filter_map(|fault| fault.name).collect()
}

fn is_faulty(faults: &Faults) -> bool {
    faults.action(&FaultRequest::of(&http::Request::get("/").body(()).unwrap())).is_some()
}

#[test]
fn a_reset_restores_the_faults_of_the_file_with_new_counters() {
    let faults = faults();
    faults.set_baseline(definitions(json!([named("a"), named("b")])));
    assert_eq!(names(&faults), ["a", "b"], "in the order of the file");
    assert!(is_faulty(&faults) && is_faulty(&faults) && !is_faulty(&faults));
    let ids: Vec<_> = faults.list().into_iter().map(|fault| fault.id).collect();
    faults.remove(&ids[0]);
    faults.insert(definitions(json!([named("c")])).remove(0)).unwrap();
    assert_eq!(names(&faults), ["c", "b"]);
    faults.reset();
    assert_eq!(names(&faults), ["a", "b"]);
    assert!(faults.list().iter().all(|fault| fault.matched == 0) && is_faulty(&faults));
    faults.clear();
    assert!(names(&faults).is_empty() && !is_faulty(&faults));
    faults.reset();
    assert_eq!(names(&faults), ["a", "b"]);
}

#[test]
fn a_new_file_replaces_its_own_faults_and_keeps_those_of_the_run() {
    let faults = faults();
    faults.set_baseline(definitions(json!([named("a")])));
    faults.insert(definitions(json!([named("c")])).remove(0)).unwrap();
    faults.set_baseline(definitions(json!([named("b")])));
    assert_eq!(names(&faults), ["b", "c"]);
    faults.reset();
    assert_eq!(names(&faults), ["b"]);
}

#[test]
fn exported_faults_are_the_same_in_another_server() {
    let faults = faults();
    faults.set_baseline(definitions(json!([named("a"), named("b")])));
    is_faulty(&faults);
    let other = self::faults();
    other.set_baseline(definitions(faults.export().into()));
    assert_eq!(other.documents(), {
        faults.reset();
        let ids = |faults: &Faults| faults.list().into_iter().map(|fault| fault.id).collect::<Vec<_>>();
        let mut documents = faults.documents();
        for (document, id) in documents.iter_mut().zip(ids(&other)) {
            document["id"] = id.clone().into();
            document["uuid"] = id.into();
        }
        documents
    });
}

#[test]
fn ids_are_random_uuids_of_version_4() {
    let faults = faults();
    for _ in 0..20 {
        let added = faults.insert(definitions(json!([named("a")])).remove(0)).unwrap();
        let id = added["id"].as_str().unwrap().to_owned();
        assert_eq!((&id[14..15], id.len()), ("4", 36), "{id}");
        assert!(["8", "9", "a", "b"].contains(&&id[19..20]), "{id}");
        // It is accepted back.
        assert!(faults.replace(&id, Definition::parse(&added, "").unwrap()).is_some());
    }
    assert_eq!(faults.list().len(), 20);
}

/// A request is compared with up to a thousand faults.
#[test]
fn comparing_a_request_with_a_path_allocates_nothing() {
    let request = http::Request::get("/computeMetadata/v1/instance/id?alt=text").body(()).unwrap();
    for pattern in [
        json!({"path": "instance/name"}),
        json!({"path": "*/name"}),
        json!({"url": "/computeMetadata/v1/instance/id"}),
        json!({"urlPath": "/computeMetadata/v1/instance/name"}),
        json!({"urlPathPattern": "/[^/]+"}),
    ] {
        let faults = faults();
        let fault = json!([{"request": pattern, "instructions": ["return-503"]}]);
        faults.insert(definitions(fault).remove(0)).unwrap();
        let compare = || assert!(faults.action(&FaultRequest::of(&request)).is_none());
        // A regular expression allocates at its first use.
        compare();
        assert_eq!(allocation_counter::measure(compare).count_total, 0, "{pattern}");
    }
}
