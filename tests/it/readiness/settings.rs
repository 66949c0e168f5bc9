//! Readiness and delays as settings of the admin API.

use super::{address, connect_error};
use crate::admin::{Admin, builder, problem};
use crate::support::{Client, get};
use gce_metadata_server::{AnswerDelay, DelayDistribution, NotReady, Server};
use serde_json::{Value, json};
use std::io::ErrorKind::ConnectionRefused;
use std::time::Duration;
use tokio::time::Instant;

async fn readiness(admin: &mut Admin) -> (Value, Value) {
    let settings = admin.get("settings").await.json();
    (settings["ready"].clone(), settings["notReady"].clone())
}

#[tokio::test]
async fn the_manner_of_a_server_that_is_not_ready_can_change() {
    let server = builder().start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    admin.expect(200, "POST", "settings", json!({"ready": false})).await;
    assert_eq!(connect_error(address(&server)).await, Some(ConnectionRefused));
    assert_eq!(readiness(&mut admin).await, (json!(false), json!("refuse")));
    admin.expect(200, "POST", "settings", json!({"notReady": "503"})).await;
    assert_eq!(get(&server, "instance/id").await.status, 503);
    assert_eq!(readiness(&mut admin).await, (json!(false), json!("503")));
    admin.expect(200, "POST", "settings", json!({"ready": true})).await;
    assert_eq!(get(&server, "instance/id").await.status, 200);
    assert_eq!(readiness(&mut admin).await, (json!(true), json!("503")), "for the next time");
    admin.expect(200, "POST", "settings", json!({"ready": false, "notReady": "hang"})).await;
    assert_eq!(server.readiness().not_ready(), Some(NotReady::Hang));
    for body in [json!({"ready": false, "notReady": "explode"}), json!({"ready": "no"})] {
        let answer = admin.expect(422, "POST", "settings", body).await;
        problem(&answer, 422);
    }
    assert_eq!(server.readiness().not_ready(), Some(NotReady::Hang), "a wrong request changes nothing");
}

#[tokio::test]
async fn a_reset_restores_readiness_and_delays_of_the_start() {
    let server = builder().not_ready(NotReady::Unavailable).start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    let at_start = admin.get("settings").await.json();
    let uniform = json!({"type": "uniform", "lower": 1, "upper": 2});
    let body = json!({"ready": false, "notReady": "refuse", "fixedDelay": 1, "delayDistribution": uniform});
    admin.expect(200, "POST", "settings", body).await;
    assert_eq!(connect_error(address(&server)).await, Some(ConnectionRefused));
    admin.expect(200, "POST", "reset", Value::Null).await;
    assert_eq!(admin.get("settings").await.json(), at_start);
    assert_eq!(get(&server, "instance/id").await.status, 200);
}

#[tokio::test]
async fn a_reset_before_the_time_of_the_start_makes_the_server_not_ready_again() {
    let server = builder().ready_after(Duration::from_secs(3600)).start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    admin.expect(200, "POST", "settings", json!({"ready": true})).await;
    assert_eq!(connect_error(address(&server)).await, None);
    admin.expect(200, "POST", "reset", Value::Null).await;
    assert_eq!(connect_error(address(&server)).await, Some(ConnectionRefused));
}

/// The time in which a server answers, by the paused clock.
async fn answer_time(server: &Server, client: &mut Client, path: &str) -> Duration {
    let start = Instant::now();
    client.get(path).await;
    assert!(server.readiness().is_ready());
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn every_answer_is_delayed() {
    let server = builder().on_current_runtime().start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    let mut client = Client::connect(&server).await;
    admin.expect(200, "POST", "settings", json!({"fixedDelay": 500})).await;
    let fixed = Duration::from_millis(500);
    for path in ["instance/id", "no/such/path"] {
        let time = answer_time(&server, &mut client, path).await;
        assert!((fixed..2 * fixed).contains(&time), "{path}: {time:?}");
    }
    assert!(get(&server, "instance/id").await.header("etag").is_some());
    let uniform = json!({"type": "uniform", "lower": 10_000, "upper": 11_000});
    admin.expect(200, "POST", "settings", json!({"delayDistribution": uniform})).await;
    let time = answer_time(&server, &mut client, "instance/id").await;
    assert!((Duration::from_millis(10_500)..Duration::from_secs(12)).contains(&time), "{time:?}");
    assert_eq!(admin.get("settings").await.json()["delayDistribution"], uniform);
    admin.expect(200, "POST", "settings", json!({"fixedDelay": null, "delayDistribution": null})).await;
    assert_eq!(server.answer_delays().get(), AnswerDelay::default());
    assert!(answer_time(&server, &mut client, "instance/id").await < fixed);
}

#[tokio::test]
async fn a_distribution_must_make_sense() {
    let server = builder().start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    for (distribution, part) in [
        (json!({"type": "uniform", "lower": 2, "upper": 1}), "upper is at least lower"),
        (json!({"type": "uniform", "lower": -2, "upper": 1}), "expected u64"),
        (json!({"type": "uniform", "lower": 2, "upper": 86_400_001}), "a delay is 0 to"),
        (json!({"type": "lognormal", "median": -1, "sigma": 1}), "the median is"),
        (json!({"type": "lognormal", "median": 1, "sigma": -1}), "sigma is at least 0"),
        (json!({"type": "lognormal", "median": 1}), "missing field `sigma`"),
        (json!({"type": "normal"}), "unknown variant"),
        (json!({"type": "uniform", "lower": 1, "upper": 2, "max": 3}), "unknown field"),
    ] {
        let body = json!({"rateLimits": true, "fixedDelay": 7, "delayDistribution": distribution});
        let answer = admin.expect(422, "POST", "settings", body).await;
        assert!(problem(&answer, 422).contains(part), "{distribution}: {}", answer.body);
    }
    let answer = admin.expect(422, "POST", "settings", json!({"fixedDelay": 86_400_001})).await;
    assert_eq!(answer.json()["errors"][0]["source"]["pointer"], "/fixedDelay");
    let settings = admin.get("settings").await.json();
    assert_eq!((&settings["rateLimits"], &settings["fixedDelay"]), (&false.into(), &0.into()), "nothing has changed");
    admin
        .expect(
            200,
            "POST",
            "settings",
            json!({"delayDistribution": {"type": "lognormal", "median": 80, "sigma": 0.4}}),
        )
        .await;
    let expected = DelayDistribution::LogNormal { median: Duration::from_millis(80), sigma: 0.4 };
    assert_eq!(server.answer_delays().get(), AnswerDelay::random(expected));
}
