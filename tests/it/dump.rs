//! A dump of a real VM, served as a config, comes back byte for byte.

use crate::support::{dump, get, repository, serve};
use gce_metadata_server::{ConfigDocument, Metadata};
use proptest::prelude::*;
use serde_json::{Value, json};

#[tokio::test]
async fn a_dump_comes_back_byte_for_byte() {
    let dump = dump();
    let bare: Value = serde_json::from_str(&dump).unwrap();
    for config in [bare.clone(), json!({"computeMetadata": {"v1": bare}})] {
        let server = serve(config).await;
        assert_eq!(get(&server, "?recursive=true").await.body, dump);
        assert_eq!(get(&server, "?recursive=true&alt=json").await.body, dump);
        assert_eq!(
            get(&server, "instance/?recursive=true").await.json(),
            serde_json::from_str::<Value>(&dump).unwrap()["instance"]
        );
    }
}

#[tokio::test]
async fn words_of_a_dump_keep_their_case_and_type() {
    for word in [json!("FALSE"), json!("TRUE"), json!("False"), json!("true"), json!(false), json!(true)] {
        let dump = json!({"instance": {
            "attributes": {"a": word}, "preempted": word, "scheduling": {"automaticRestart": word},
            "upcomingMaintenance": {"can_reschedule": word, "maintenance_reasons": [word], "type": word}, "zone": "z",
        }});
        let server = serve(dump.clone()).await;
        assert_eq!(get(&server, "?recursive=true").await.body, dump.to_string());
        let leaf = get(&server, "instance/upcoming-maintenance?alt=json").await.json();
        assert_eq!(leaf, dump["instance"]["upcomingMaintenance"]);
    }
}

#[tokio::test]
async fn text_and_json_share_an_entity_tag_and_a_listing_has_its_own() {
    let server = serve(serde_json::from_str(&dump()).unwrap()).await;
    let tag = async |path: &str| get(&server, path).await.etag().to_owned();
    assert_eq!(tag("instance/id").await, tag("instance/id?alt=json").await);
    assert_eq!(tag("instance/tags").await, tag("instance/tags?alt=text").await);
    assert_eq!(tag("instance/?recursive=true").await, tag("instance/?recursive=true&alt=text").await);
    assert_ne!(tag("instance/").await, tag("instance/?recursive=true").await);
}

#[test]
fn the_built_in_sample_equals_config_json() {
    let config = std::fs::read_to_string(repository("config.json")).unwrap();
    let metadata = ConfigDocument::from_json(serde_json::from_str(&config).unwrap()).unwrap().metadata;
    assert_eq!(metadata, Metadata::sample());
}

/// A config of the Go emulator, including keys that the Go emulator needs and GCE does not have.
#[tokio::test]
async fn a_config_of_the_go_emulator_is_served() {
    let account = json!({
        "aliases": ["default"], "email": "metadata-sa@$PROJECT.iam.gserviceaccount.com", "identity": "", "scopes": ["s"], "token": "",
    });
    let server = serve(json!({"computeMetadata": {"v1": {
        "instance": {
            "cpuPlatform": "Intel Broadwell",
            "id": 5775171277418378000_u64,
            "partnerAttributes": {"testnamespace": {"key": "value1"}},
            "scheduling": {"automaticRestart": "TRUE", "onHostMaintenance": "MIGRATE", "preemptible": "FALSE"},
            "serviceAccounts": {"default": &account, "metadata-sa@$PROJECT.iam.gserviceaccount.com": &account},
            "shutdownDetails": {"maxDuration": "", "requestTimeStamp": "", "stopState": "UNKNOWN", "targetState": "UNKNOWN"},
            "upcomingMaintenance": {
                "canReschedule": "TRUE",
                "latestWindowStartTime": "2025-12-01T19:00:01Z",
                "maintenanceStatus": "PENDING",
                "type": "SCHEDULED",
                "windowEndTime": "2025-12-01T22:00:00Z",
                "windowStartTime": "2025-12-01T19:00:00Z",
            },
        },
        "oslogin": {"authenticate": {"sessions": {}}},
        "project": {"attributes": {}, "numericProjectId": 708288290784_u64, "projectId": "$PROJECT"},
        "universe": {"universeDomain": "googleapis.com"},
    }}}))
    .await;
    for (path, body) in [
        ("instance/shutdown-details/target-state", "UNKNOWN"),
        ("instance/id", "5775171277418378000"),
        ("instance/cpu-platform", "Intel Broadwell"),
        ("instance/scheduling/on-host-maintenance", "MIGRATE"),
        ("instance/service-accounts/default/email", "metadata-sa@$PROJECT.iam.gserviceaccount.com"),
        ("instance/service-accounts/metadata-sa@$PROJECT.iam.gserviceaccount.com/aliases", "default\n"),
        ("instance/partner-attributes/testnamespace/key", "value1"),
        (
            "instance/upcoming-maintenance?alt=text",
            "can_reschedule true\nlatest_window_start_time 2025-12-01T19:00:01Z\nmaintenance_status PENDING\ntype SCHEDULED\nwindow_end_time 2025-12-01T22:00:00Z\nwindow_start_time 2025-12-01T19:00:00Z\n",
        ),
        ("universe/universe-domain", "googleapis.com"),
        ("", "instance/\noslogin/\nproject/\nuniverse/\n"),
    ] {
        assert_eq!(get(&server, path).await.body, body, "{path}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// No valid request target causes a 5xx, and every response has the server's headers.
    #[test]
    fn arbitrary_request_targets_cause_no_server_error(path in "/[!-~&&[^#?]]{0,40}", query in "[!-~&&[^#]]{0,40}") {
        let target = format!("{path}?{query}");
        prop_assume!(target.parse::<http::Uri>().is_ok());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = serve(json!({"instance": {"id": 1}})).await;
            let mut client = crate::support::Client::connect(&server).await;
            for prefix in ["", "/computeMetadata/v1", "/computeMetadata/v1/instance/service-accounts"] {
                let request = crate::support::request("GET", &format!("{prefix}{target}"), &[("metadata-flavor", "Google")]);
                let answer = client.send(request, "").await;
                assert_eq!(answer.header("metadata-flavor"), Some("Google"));
                assert!(answer.status.as_u16() < 500, "{}", answer.status);
            }
        });
    }
}
