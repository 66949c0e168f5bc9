//! Settings, reset, export, health, version and shutdown.

use super::{Admin, builder, problem};
use crate::support::{get, serve};
use gce_metadata_server::{NoMaintenance, Server};
use serde_json::{Value, json};

#[tokio::test]
async fn settings_change_while_the_server_runs() {
    let server = builder().start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    let expected = json!({
        "rateLimits": false, "withoutMaintenance": "none", "ready": true, "notReady": "refuse", "fixedDelay": 0, "delayDistribution": null,
    });
    assert_eq!(admin.get("settings").await.json(), expected);
    let maintenance = async || get(&server, "instance/upcoming-maintenance").await;
    assert_eq!(maintenance().await.body, "NONE");
    admin.expect(200, "POST", "settings", json!({"withoutMaintenance": "unavailable"})).await;
    assert_eq!(maintenance().await.status, 503);
    admin.expect(200, "POST", "settings", json!({"withoutMaintenance": "empty"})).await;
    assert_eq!(maintenance().await.body, "{}");

    let limited = async || {
        let mut refused = 0;
        let mut client = crate::support::Client::connect(&server).await;
        for _ in 0..20 {
            refused += u32::from(client.get("instance/guest-attributes/").await.status == 429);
        }
        refused
    };
    assert_eq!(limited().await, 0);
    admin.expect(200, "POST", "settings", json!({"rateLimits": true})).await;
    assert!(limited().await > 0);
    for (body, detail) in [(json!({"rateLimit": true}), "unknown field"), (json!({"rateLimits": 1}), "boolean")] {
        let answer = admin.expect(422, "POST", "settings", body).await;
        assert!(problem(&answer, 422).contains(detail), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_reset_restores_metadata_and_settings_of_the_start() {
    let server = builder().no_maintenance(NoMaintenance::Object).start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    let before = get(&server, "?recursive=true").await.body;
    admin.expect(204, "PUT", "metadata/instance/name", "edited").await;
    admin.expect(200, "POST", "settings", json!({"rateLimits": true, "withoutMaintenance": "none"})).await;
    admin.expect(200, "POST", "reset", Value::Null).await;
    assert_eq!(get(&server, "?recursive=true").await.body, before);
    let settings = admin.get("settings").await.json();
    assert_eq!((&settings["rateLimits"], &settings["withoutMaintenance"]), (&false.into(), &"empty".into()));
}

#[tokio::test]
async fn another_server_answers_the_same_with_the_exported_document() {
    let ada = json!({"name": "ada@example.com", "posixAccounts": [{"username": "ada", "uid": "2001"}]});
    let os_login = json!({
        "loginProfiles": [ada],
        "challenges": {"ada@example.com": [{"type": "TOTP", "secret": "GEZDGNBVGY3TQOJQ"}, {"type": "SECURITY_KEY_OTP", "code": "123456"}]},
    });
    let v1 =
        json!({"instance": {"id": 7, "name": "vm", "zone": "z", "attributes": {"enable-oslogin": "TRUE", "a": "b"}}});
    let server = builder().start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    admin.expect(204, "PUT", "metadata", json!({"computeMetadata": {"v1": v1}, "osLogin": os_login})).await;
    admin.expect(204, "PATCH", "metadata/instance", json!({"attributes": {"a": "edited"}, "tags": ["x"]})).await;
    let exported = admin.get("export").await;
    for secret in ["GEZDGNBVGY3TQOJQ", "123456"] {
        assert!(!exported.body.contains(secret), "{}", exported.body);
    }
    let other = serve(exported.json()).await;
    for path in ["?recursive=true", "instance/", "instance/attributes/a", "instance/tags", "oslogin/users?username=ada"]
    {
        let (here, there) = (get(&server, path).await, get(&other, path).await);
        assert_eq!((here.status, here.body), (there.status, there.body), "{path}");
    }
}

#[tokio::test]
async fn health_and_version_are_those_of_the_program() {
    let server = builder().start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    let health = admin.get("health").await.json();
    assert_eq!((&health["status"], &health["version"]), (&"healthy".into(), &env!("CARGO_PKG_VERSION").into()));
    assert_eq!(admin.get("version").await.json(), json!({"version": env!("CARGO_PKG_VERSION")}));
}

#[tokio::test]
async fn a_shutdown_is_reported_to_the_owner_of_the_server() {
    let server = builder().start().await.unwrap();
    Admin::of(&server).await.expect(200, "POST", "shutdown", Value::Null).await;
    server.shutdown_requested().await;
    assert!(server.shutdown().await);
}

#[tokio::test]
async fn head_is_answered_as_get_without_a_body() {
    let server = builder().start().await.unwrap();
    let answer = Admin::of(&server).await.send("HEAD", "metadata/instance/id", &[], "").await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""));
    assert!(answer.header("etag").is_some());
    drop::<Server>(server);
}
