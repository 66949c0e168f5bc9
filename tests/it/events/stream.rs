//! `GET /__admin/events`.

use super::{EventStream, kinds};
use crate::admin::builder;
use crate::support::{Client, V1, eventually, get};
use gce_metadata_server::{AdminOptions, Server};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_long_poll_is_waiting_then_woken_by_a_change_and_then_a_request() {
    let server = builder().start().await.unwrap();
    let mut events = EventStream::open(&server, "", &[]).await;
    let mut client = Client::connect(&server).await;
    let polling = tokio::spawn(async move { client.get("instance/preempted?wait_for_change=true").await });
    let waiting = events.next().await.unwrap();
    assert_eq!((waiting.kind.as_str(), &waiting.data["path"]), ("waiting", &"instance/preempted".into()));
    server.publisher().set("instance/preempted", true).unwrap();
    let after = events.take(3).await;
    assert_eq!(kinds(&after), ["metadata", "woken", "request"]);
    assert_eq!(after[0].data["paths"], json!(["instance/preempted"]));
    assert_eq!((&after[1].data["endedBy"], &after[1].data["client"]), (&"change".into(), &waiting.data["client"]));
    assert_eq!(after[2].url(), format!("{V1}/instance/preempted?wait_for_change=true"));
    assert_eq!(after[2].data["request"]["metadataServer"]["generation"], after[0].data["generation"]);
    assert!(after.iter().map(|event| event.id).eq(waiting.id + 1..=waiting.id + 3), "{after:?}");
    let dates = [&waiting, &after[0], &after[1]].map(|event| event.data["date"].as_str().unwrap().len());
    assert_eq!(dates, ["2026-11-28T12:00:00.000Z".len(); 3]);
    assert_eq!(polling.await.unwrap().body, "TRUE");
}

#[tokio::test]
async fn events_of_tokens_have_no_token() {
    let server = builder().start().await.unwrap();
    let mut events = EventStream::open(&server, "", &[]).await;
    let access = get(&server, "instance/service-accounts/default/token").await.json()["access_token"].to_string();
    let identity = get(&server, "instance/service-accounts/default/identity?audience=a").await.body;
    let mut received = Vec::new();
    while received.iter().filter(|event: &&super::Event| event.kind == "request").count() < 2 {
        received.push(events.next().await.unwrap());
    }
    let actions = |kind: &str| -> Vec<_> {
        let tokens = received.iter().filter(|event| event.kind == "token" && event.data["kind"] == kind);
        tokens.map(|event| event.data["action"].as_str().unwrap()).collect()
    };
    assert_eq!(
        (actions("access"), actions("identity")),
        (["fetched", "made", "requested"].into(), ["fetched", "made", "requested"].into())
    );
    let text = format!("{received:?}");
    assert!(!text.contains(access.trim_matches('"')) && !text.contains(&identity), "{text}");
}

#[tokio::test]
async fn a_client_continues_after_the_last_event_that_it_has() {
    let server = builder().start().await.unwrap();
    for path in ["instance/id", "instance/name", "instance/zone"] {
        get(&server, path).await;
    }
    let mut events = EventStream::open(&server, "", &[("last-event-id", "1")]).await;
    let received = events.take(2).await;
    assert_eq!(
        (received[0].url(), received[1].url()),
        (&*format!("{V1}/instance/name"), &*format!("{V1}/instance/zone"))
    );
    assert_eq!(received[0].data["request"]["metadataServer"]["number"], 2);
    drop(events);
    server.publisher().set("instance/preempted", true).unwrap();
    let mut events = EventStream::open(&server, "", &[("last-event-id", &received[1].id.to_string())]).await;
    assert_eq!(events.next().await.unwrap().kind, "metadata", "nothing is lost between two streams");
    for wrong in ["", "-1", "a"] {
        assert_eq!(EventStream::try_open(&server, "", &[("last-event-id", wrong)]).await.0, 400, "{wrong:?}");
    }
}

#[tokio::test]
async fn a_gap_tells_how_many_events_were_lost() {
    let server = builder().journal_entries(2).start().await.unwrap();
    let mut client = Client::connect(&server).await;
    for _ in 0..5 {
        client.get("instance/id").await;
    }
    let received = EventStream::open(&server, "", &[("last-event-id", "1")]).await.take(3).await;
    assert_eq!(kinds(&received), ["gap", "request", "request"]);
    assert_eq!((received[0].id, &received[0].data), (3, &json!({"count": 2})));
}

#[tokio::test]
async fn a_stream_can_be_limited_to_some_types() {
    let server = builder().start().await.unwrap();
    let mut events = EventStream::open(&server, "?types=metadata,token", &[]).await;
    get(&server, "instance/id").await;
    server.publisher().set("instance/preempted", true).unwrap();
    assert_eq!(events.next().await.unwrap().kind, "metadata");
    let (status, refused) = EventStream::try_open(&server, "?types=metadata,tokens", &[]).await;
    let text = refused.text().await;
    assert!(status == 400 && text.contains("request, waiting, woken, metadata, token, scenario, fault"), "{text}");
}

#[tokio::test]
async fn without_a_journal_other_events_are_streamed() {
    let server = builder().journal_entries(0).start().await.unwrap();
    let mut events = EventStream::open(&server, "", &[]).await;
    get(&server, "instance/id").await;
    server.publisher().set("instance/preempted", true).unwrap();
    assert_eq!(events.next().await.unwrap().kind, "metadata");
}

#[tokio::test]
async fn a_17th_stream_is_refused_until_a_client_leaves() {
    let server = builder().start().await.unwrap();
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(EventStream::open(&server, "", &[]).await);
    }
    let (status, refused) = EventStream::try_open(&server, "", &[]).await;
    let text = refused.text().await;
    assert!(status == 503 && text.contains("16 streams of events are open"), "{text}");
    // No event is sent meanwhile, by which the server would notice that the client has left.
    streams.pop();
    eventually("a place is free", async || EventStream::try_open(&server, "", &[]).await.0 == 200).await;
}

#[tokio::test]
async fn a_stopping_server_ends_the_streams_and_does_not_wait_for_them() {
    let server = builder().drain(Duration::from_secs(60)).start().await.unwrap();
    let mut events = EventStream::open(&server, "", &[]).await;
    let mut client = Client::connect(&server).await;
    let polling = tokio::spawn(async move { client.get("instance/id?wait_for_change=true").await.status });
    assert_eq!(events.next().await.unwrap().kind, "waiting");
    let (drained, ended) = tokio::join!(server.shutdown(), async {
        let woken = events.next().await.unwrap();
        assert_eq!((woken.kind.as_str(), &woken.data["endedBy"]), ("woken", &"stop".into()));
        while let Some(event) = events.next().await {
            assert_eq!(event.kind, "request");
        }
    });
    assert!(drained);
    assert_eq!(((), polling.await.unwrap().as_u16()), (ended, 200));
}

#[tokio::test]
async fn a_stream_needs_what_other_routes_need() {
    let options = AdminOptions::loopback().token("made-up");
    let server = Server::builder().admin(options).start().await.unwrap();
    let token = ("authorization", "Bearer made-up");
    assert_eq!(EventStream::try_open(&server, "", &[]).await.0, 401);
    assert_eq!(EventStream::try_open(&server, "", &[token, ("origin", "http://www.example.com")]).await.0, 403);
    assert_eq!(EventStream::try_open(&server, "", &[token]).await.0, 200);
}
