//! `GET /__admin/waiters`.

use super::EventStream;
use crate::admin::{Admin, builder};
use crate::support::{Client, eventually, get};
use serde_json::json;

#[tokio::test]
async fn waiting_requests_are_listed_until_they_are_answered_or_left() {
    let server = builder().start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    assert_eq!(admin.get("waiters").await.json(), json!({"waiters": [], "meta": {"total": 0}}));
    let mut events = EventStream::open(&server, "?types=waiting,woken", &[]).await;
    let poll = |mut client: Client, path: String| {
        tokio::spawn(async move { client.try_get(&path).await.map(|answer| answer.body) })
    };
    let tag = get(&server, "instance/preempted").await.etag().to_owned();
    let path = format!("instance/preempted?wait_for_change=true&last_etag={tag}&timeout_sec=900");
    let preempted = poll(Client::connect(&server).await, path);
    events.next().await.unwrap();
    let left = poll(Client::connect(&server).await, "instance/?recursive=true&wait_for_change=true".to_owned());
    events.next().await.unwrap();

    let listed = admin.get("waiters").await.json();
    assert_eq!(listed["meta"]["total"], 2);
    let first = &listed["waiters"][0];
    assert_eq!((&first["path"], &first["lastEtag"]), (&"instance/preempted".into(), &tag.into()));
    assert_eq!(first["timeoutSec"], 900);
    assert!(first["client"].as_str().unwrap().starts_with("127.0.0.1:") && first["since"].is_string());
    let second = &listed["waiters"][1];
    assert_eq!(
        (&second["path"], &second["url"], &second["timeoutSec"]),
        (
            &"instance/".into(),
            &"/computeMetadata/v1/instance/?recursive=true&wait_for_change=true".into(),
            &json!(null)
        )
    );

    left.abort();
    let woken = events.next().await.unwrap();
    assert_eq!((woken.kind.as_str(), &woken.data["endedBy"]), ("woken", &"client".into()));
    server.publisher().set("instance/preempted", true).unwrap();
    assert_eq!(preempted.await.unwrap().unwrap(), "TRUE");
    eventually("no request waits", async || admin.get("waiters").await.json()["meta"]["total"] == 0).await;
}
