//! Long polls with paused time: tokio advances it to the next deadline when all tasks are idle.

use super::*;
use crate::etag::{EtagLayer, entity_tag};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use tokio::sync::watch;
use tokio_test::{assert_pending, assert_ready, task};
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_test::mock;

type Answer = Result<Response<Full<Bytes>>, Infallible>;

/// A service that answers the value in the channel; 404 for an empty one, as for a deleted key.
fn node(
    layer: WaitForChangeLayer<watch::Receiver<&'static str>>,
    reader: &watch::Receiver<&'static str>,
) -> impl Service<Request<()>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send> + Clone + use<> {
    let reader = reader.clone();
    ServiceBuilder::new().layer(layer).layer(EtagLayer::new()).service(service_fn(move |_: Request<()>| {
        let value = *reader.borrow();
        let status = if value.is_empty() { 404 } else { 200 };
        async move { Ok(Response::builder().status(status).body(Full::from(value)).unwrap()) }
    }))
}

fn get(query: &str) -> Request<()> {
    Request::get(format!("/event?wait_for_change=true{query}")).body(()).unwrap()
}

async fn body(answer: Answer) -> String {
    String::from_utf8(answer.unwrap().into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn tag(value: &str) -> String {
    entity_tag(value.as_bytes()).to_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn waits_for_the_next_change_and_answers_with_its_tag() {
    let (writer, reader) = watch::channel("a");
    let mut waiting = task::spawn(node(WaitForChangeLayer::new(reader.clone()), &reader).oneshot(get("")));
    assert_pending!(waiting.poll());
    writer.send("b").unwrap();
    assert!(waiting.is_woken());
    let answer = assert_ready!(waiting.poll());
    assert_eq!(answer.as_ref().unwrap().headers()["etag"], tag("b"));
    assert_eq!(body(answer).await, "b");
}

#[tokio::test(start_paused = true)]
async fn the_answer_says_how_long_the_request_waited_and_why_it_ended() {
    let (writer, reader) = watch::channel("a");
    let service = node(WaitForChangeLayer::new(reader.clone()), &reader);
    let waited = |answer: Answer| answer.unwrap().extensions().get::<Waited>().copied();
    let seconds = Duration::from_secs;
    let ended = |time, ended_by| Some(Waited { time, ended_by });
    let timed_out = service.clone().oneshot(get("&timeout_sec=3")).await;
    assert_eq!(waited(timed_out), ended(seconds(3), WaitEnd::Timeout));
    let mut waiting = task::spawn(service.clone().oneshot(get("")));
    assert_pending!(waiting.poll());
    tokio::time::advance(seconds(2)).await;
    writer.send("b").unwrap();
    assert_eq!(waited(assert_ready!(waiting.poll())), ended(seconds(2), WaitEnd::Change));
    assert_eq!(waited(service.oneshot(get("&last_etag=other")).await), None, "answered at once");
}

/// A server parses heads in place, so a head keeps the whole read buffer alive.
#[tokio::test(start_paused = true)]
async fn a_waiting_request_releases_the_read_buffer_of_the_server() {
    let (writer, reader) = watch::channel("a");
    let buffer = Bytes::from(b"/event?wait_for_change=true http://metadata:80/?wait_for_change=true Google".to_vec());
    for target in [0..27, 28..68] {
        let mut request = Request::new(());
        *request.uri_mut() = Uri::from_maybe_shared(buffer.slice(target)).unwrap();
        let value = HeaderValue::from_maybe_shared(buffer.slice(69..)).unwrap();
        request.headers_mut().insert("metadata-flavor", value);
        let mut waiting = task::spawn(node(WaitForChangeLayer::new(reader.clone()), &reader).oneshot(request));
        assert!(!buffer.is_unique());
        assert_pending!(waiting.poll());
        assert!(buffer.is_unique());
    }
    drop(writer);
}

#[test]
fn a_detached_head_equals_the_original() {
    for uri in ["/a/b?c=d", "http://metadata.google.internal:80/a?b", "*", "metadata:80"] {
        let request = Request::builder().method("PUT").uri(uri).header("a", "b").header("a", "c").body(()).unwrap();
        let parts = request.into_parts().0;
        let mut copy = parts.clone();
        detach(&mut copy);
        assert_eq!((&copy.uri, &copy.headers, &copy.method), (&parts.uri, &parts.headers, &parts.method));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_another_value_does_not_answer() {
    let (writer, reader) = watch::channel("a");
    let mut waiting = task::spawn(node(WaitForChangeLayer::new(reader.clone()), &reader).oneshot(get("")));
    assert_pending!(waiting.poll());
    writer.send("a").unwrap();
    assert_pending!(waiting.poll());
    writer.send("b").unwrap();
    assert_eq!(body(assert_ready!(waiting.poll())).await, "b");
}

#[tokio::test(start_paused = true)]
async fn a_different_last_etag_is_answered_at_once() {
    let (_writer, reader) = watch::channel("a");
    let service = node(WaitForChangeLayer::new(reader.clone()), &reader);
    for last in ["0", "NONE", "ffffffffffffffff", ""] {
        let answer = task::spawn(service.clone().oneshot(get(&format!("&last_etag={last}")))).poll();
        assert_eq!(body(assert_ready!(answer)).await, "a", "last_etag={last}");
    }
    let mut waiting = task::spawn(service.oneshot(get(&format!("&last_etag={}", tag("a")))));
    assert_pending!(waiting.poll());
}

#[tokio::test(start_paused = true)]
async fn a_change_before_the_request_is_answered_at_once() {
    let (writer, reader) = watch::channel("a");
    let service = node(WaitForChangeLayer::new(reader.clone()), &reader);
    writer.send("b").unwrap();
    let answer = task::spawn(service.oneshot(get(&format!("&last_etag={}", tag("a"))))).poll();
    assert_eq!(body(assert_ready!(answer)).await, "b");
}

#[tokio::test(start_paused = true)]
async fn after_timeout_sec_the_current_value_is_answered() {
    let (_writer, reader) = watch::channel("a");
    let service = node(WaitForChangeLayer::new(reader.clone()), &reader);
    let start = Instant::now();
    let answer = service.clone().oneshot(get("&timeout_sec=30")).await;
    assert_eq!(start.elapsed().as_secs(), 30);
    assert_eq!(answer.as_ref().unwrap().status(), 200);
    assert_eq!(answer.as_ref().unwrap().headers()["etag"], tag("a"));
    assert_eq!(body(answer).await, "a");

    let at_once = task::spawn(service.clone().oneshot(get("&timeout_sec=0"))).poll();
    assert_eq!(body(assert_ready!(at_once)).await, "a");
    for endless in ["&timeout_sec=-1", "&timeout_sec=soon", "&timeout_sec=18446744073709551615"] {
        let mut waiting = task::spawn(service.clone().oneshot(get(endless)));
        assert_pending!(waiting.poll(), "{endless}");
        tokio::time::advance(Duration::from_secs(86_400)).await;
        assert_pending!(waiting.poll(), "{endless}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_wait_for_change_does_not_wait() {
    let (_writer, reader) = watch::channel("a");
    let service = node(WaitForChangeLayer::new(reader.clone()), &reader);
    let uri = format!("/event?timeout_sec=60&last_etag={}", tag("a"));
    let answer = task::spawn(service.oneshot(Request::get(uri).body(()).unwrap())).poll();
    assert_eq!(body(assert_ready!(answer)).await, "a");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_key_is_answered_404_and_a_missing_one_does_not_wait() {
    let (writer, reader) = watch::channel("a");
    let service = node(WaitForChangeLayer::new(reader.clone()), &reader);
    let mut waiting = task::spawn(service.clone().oneshot(get("")));
    assert_pending!(waiting.poll());
    writer.send("").unwrap();
    assert_eq!(assert_ready!(waiting.poll()).unwrap().status(), 404);
    assert_eq!(assert_ready!(task::spawn(service.oneshot(get("&last_etag=0"))).poll()).unwrap().status(), 404);
}

#[tokio::test(start_paused = true)]
async fn a_stop_or_a_dropped_sender_answers_all_waiters() {
    let (writer, reader) = watch::channel("a");
    let stop = CancellationToken::new();
    let service = node(WaitForChangeLayer::new(reader.clone()).until(stop.clone()), &reader);
    let mut waiting = task::spawn(service.clone().oneshot(get("")));
    assert_pending!(waiting.poll());
    stop.cancel();
    assert_eq!(body(assert_ready!(waiting.poll())).await, "a");

    let service = node(WaitForChangeLayer::new(reader.clone()), &reader);
    let mut waiting = task::spawn(service.oneshot(get("")));
    assert_pending!(waiting.poll());
    drop(writer);
    assert_eq!(body(assert_ready!(waiting.poll())).await, "a");
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_client_releases_its_permit() {
    let (_writer, reader) = watch::channel("a");
    let waiters = Waiters::at_most(1);
    let service = node(WaitForChangeLayer::new(reader.clone()).waiters(waiters.clone()), &reader);
    let mut first = task::spawn(service.clone().oneshot(get("")));
    assert_pending!(first.poll());
    let one_more = assert_ready!(task::spawn(service.clone().oneshot(get(""))).poll());
    assert_eq!(one_more.unwrap().status(), 503);
    assert_eq!(waiters.count(), 1);
    drop(first);
    assert_eq!(waiters.count(), 0);
    assert_pending!(task::spawn(service.oneshot(get(""))).poll());
}

#[tokio::test(start_paused = true)]
async fn a_change_during_the_first_call_is_not_lost() {
    let (writer, reader) = watch::channel(());
    let (mut service, mut handle) = mock::spawn_with(|mock: mock::Mock<Request<()>, Response<Bytes>>| {
        WaitForChangeLayer::new(reader.clone()).layer(mock)
    });
    assert!(service.poll_ready().is_ready());
    let mut waiting = task::spawn(service.call(get("")));
    assert_pending!(waiting.poll());
    writer.send(()).unwrap();
    let tagged = |tag| Response::builder().header("etag", tag).body(Bytes::new()).unwrap();
    handle.next_request().await.unwrap().1.send_response(tagged("old"));
    assert_pending!(waiting.poll());
    handle.next_request().await.unwrap().1.send_response(tagged("new"));
    assert_eq!(assert_ready!(waiting.poll()).unwrap().headers()["etag"], "new");
}

/// The mock panics if the layer calls it without having polled it ready.
#[tokio::test(start_paused = true)]
async fn the_inner_service_is_polled_ready_before_each_call() {
    let (writer, reader) = watch::channel(());
    let (mut service, mut handle) = mock::spawn_with(|mock: mock::Mock<Request<()>, Response<Bytes>>| {
        WaitForChangeLayer::new(reader.clone()).layer(mock)
    });
    assert!(service.poll_ready().is_ready());
    let mut waiting = task::spawn(service.call(get("&timeout_sec=9")));
    let same = || Response::builder().header("etag", "same").body(Bytes::new()).unwrap();
    assert_pending!(waiting.poll());
    handle.next_request().await.unwrap().1.send_response(same());
    assert_pending!(waiting.poll());
    handle.allow(0);
    writer.send(()).unwrap();
    assert_pending!(waiting.poll(), "the inner service is busy, so nothing is called");
    assert_pending!(handle.poll_request());
    handle.allow(1);
    assert_pending!(waiting.poll());
    handle.next_request().await.unwrap().1.send_response(same());
    assert_pending!(waiting.poll());
}

/// Records waits as text.
#[derive(Debug, Default)]
struct Log(std::sync::Mutex<Vec<String>>);

impl RecordWaits for Log {
    fn begin(&self, wait: BegunWait<'_>) -> u64 {
        let mut lines = self.0.lock().unwrap();
        lines.push(format!("{} {} {:?}", wait.uri, wait.last_etag == tag("a"), wait.timeout));
        lines.len() as u64
    }

    fn end(&self, wait: u64, ended_by: Option<WaitEnd>) {
        self.0.lock().unwrap().push(format!("{wait} {ended_by:?}"));
    }
}

#[tokio::test(start_paused = true)]
async fn waits_are_recorded_with_their_end_and_other_requests_are_not() {
    let (writer, reader) = watch::channel("a");
    let log = Arc::new(Log::default());
    let layer = WaitForChangeLayer::new(reader.clone()).waiters(Waiters::at_most(1).record(log.clone()));
    let service = node(layer, &reader);
    let recorded = || std::mem::take(&mut *log.0.lock().unwrap());
    for answered_at_once in ["&timeout_sec=0", "&last_etag=other"] {
        service.clone().oneshot(get(answered_at_once)).await.unwrap();
    }
    service.clone().oneshot(Request::get("/event").body(()).unwrap()).await.unwrap();
    assert!(recorded().is_empty());

    service.clone().oneshot(get("&timeout_sec=3")).await.unwrap();
    assert_eq!(recorded(), ["/event?wait_for_change=true&timeout_sec=3 true Some(3s)", "1 Some(Timeout)"]);

    let mut waiting = task::spawn(service.clone().oneshot(get("")));
    assert_pending!(waiting.poll());
    assert_eq!(service.clone().oneshot(get("")).await.unwrap().status(), 503, "refused, so it does not wait");
    drop(waiting);
    assert_eq!(recorded(), ["/event?wait_for_change=true true None", "1 None"]);

    let mut waiting = task::spawn(service.clone().oneshot(get("")));
    assert_pending!(waiting.poll());
    writer.send("b").unwrap();
    assert_ready!(waiting.poll()).unwrap();
    assert_eq!(recorded()[1..], ["1 Some(Change)"]);
}
