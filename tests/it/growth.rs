//! Costs that must not grow with what the server holds, by counts that repeat: allocations, and how often requests are woken.
//! `benches/growth.rs` measures more.

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use gce_metadata_server::{Metadata, Publisher, TokenSources, metadata_stack};
use http::Request;
use http_body_util::Full;
use serde_json::{Map, Value, json};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake};
use tower::{Service, ServiceExt};

fn with_attributes(count: usize) -> Publisher {
    let attributes: Map<_, _> = (0..count).map(|number| (format!("key-{number}"), json!("a value"))).collect();
    let config = json!({"instance": {"attributes": attributes}, "project": {"projectId": "my-project"}});
    Publisher::new(Metadata::from_json(config).unwrap().tree())
}

fn request(path: &str) -> Request<Full<Bytes>> {
    let request = Request::get(format!("/computeMetadata/v1/{path}")).header("Metadata-Flavor", "Google");
    request.body(Full::default()).unwrap()
}

/// What a change, and later ones of its kind, allocate.
fn allocated(publisher: &Publisher, mut change: impl FnMut(&Publisher, Value)) -> AllocationInfo {
    change(publisher, json!("first"));
    measure(|| change(publisher, json!("second")))
}

#[tokio::test]
async fn a_leaf_allocates_the_same_with_ten_and_with_ten_thousand_attributes() {
    let allocated = async |count| {
        let mut service = metadata_stack::<Full<Bytes>>(with_attributes(count), TokenSources::default());
        let mut ask = || {
            let mut answer = Box::pin(service.call(request("instance/attributes/key-7")));
            let mut context = Context::from_waker(std::task::Waker::noop());
            assert!(answer.as_mut().poll(&mut context).is_ready());
        };
        ask();
        measure(ask)
    };
    assert_eq!(allocated(10).await, allocated(10_000).await);
}

/// An edit shares the nodes and the names of the tree before it.
#[test]
fn an_edit_of_a_value_copies_no_names_and_no_other_values() {
    let publisher = with_attributes(10_000);
    let set = |publisher: &Publisher, value| publisher.set("instance/attributes/key-7", value).unwrap();
    let elsewhere = |publisher: &Publisher, value| publisher.set("project/project-id", value).unwrap();
    let (set, elsewhere) = (allocated(&publisher, set), allocated(&publisher, elsewhere));
    assert!(set.count_total < 10_000 / 4, "a map of names has one allocation for several entries: {set:?}");
    assert!(elsewhere.count_total < 200, "{elsewhere:?}");
}

/// Counts the times when a task was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A long poll.
struct Waiting {
    answer: Pin<Box<dyn Future<Output = ()>>>,
    wakes: Arc<Wakes>,
}

impl Waiting {
    fn is_answered(&mut self) -> bool {
        let waker = Arc::clone(&self.wakes).into();
        self.answer.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
    }

    fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }
}

#[test]
fn a_change_wakes_only_the_long_polls_whose_answer_it_may_change() {
    let publisher = with_attributes(100);
    let service = metadata_stack::<Full<Bytes>>(publisher.clone(), TokenSources::default());
    let wait = |path: String| {
        let answer = service.clone().oneshot(request(&path));
        let answer = Box::pin(async move { assert_eq!(answer.await.unwrap().status(), 200) });
        let mut waiting = Waiting { answer, wakes: Arc::default() };
        assert!(!waiting.is_answered());
        waiting
    };
    let key = |number: usize| format!("instance/attributes/key-{number}?wait_for_change=true");
    let mut of_changed: Vec<_> = (0..10).map(|_| wait(key(0))).collect();
    let mut of_root = wait("?recursive=true&wait_for_change=true".to_owned());
    let others: Vec<_> = (1..100).map(|number| wait(key(number))).collect();
    publisher.set("instance/attributes/key-0", "another value").unwrap();
    assert!(of_changed.iter_mut().all(Waiting::is_answered) && of_root.is_answered());
    assert!(of_changed.iter().all(|waiting| waiting.wakes() == 1));
    assert!(others.iter().all(|waiting| waiting.wakes() == 0));
}
