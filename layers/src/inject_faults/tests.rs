//! Tests of the layer that injects faults.

use super::*;
use crate::{AbortConnection, BodyFault, CloseConnection};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tower::{ServiceExt, service_fn};

const DAY: Duration = Duration::from_secs(86_400);

/// The answer of a service behind the layer, whose plan returns this action once.
async fn answer(
    action: impl Fn() -> FaultAction + Send + Sync + 'static,
    stop: CancellationToken,
) -> Response<Full<Bytes>> {
    let layer = InjectFaultsLayer::new(move |_: &FaultRequest<'_>| Some(action())).until(stop);
    let service = layer
        .layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("usual")))));
    service.oneshot(Request::new(())).await.unwrap()
}

async fn body(response: Response<Full<Bytes>>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

fn running() -> CancellationToken {
    CancellationToken::new()
}

#[tokio::test(start_paused = true)]
async fn a_delayed_request_is_answered_as_usual() {
    let start = Instant::now();
    let response = answer(|| FaultAction::pass_on().delay(FaultDelay::time(Duration::from_secs(2))), running()).await;
    assert_eq!((start.elapsed().as_secs(), body(response).await), (2, "usual".into()));
}

#[tokio::test(start_paused = true)]
async fn a_delayed_answer_comes_after_its_delay() {
    let start = Instant::now();
    let made = || Response::builder().status(503).header("retry-after", "1").body("made".into()).unwrap();
    let response =
        answer(move || FaultAction::answer(made()).delay(FaultDelay::time(Duration::from_secs(2))), running()).await;
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!((start.elapsed().as_secs(), body(response).await), (2, "made".into()));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_gets_no_answer() {
    let hangs = answer(|| FaultAction::pass_on().delay(FaultDelay::forever()), running());
    assert!(timeout(DAY, hangs).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_is_answered_when_its_fault_or_the_server_ends() {
    let ended = CancellationToken::new();
    let of_fault = ended.clone();
    let hangs = answer(move || FaultAction::pass_on().delay(FaultDelay::forever().until(of_fault.clone())), running());
    let (response, ()) = tokio::join!(hangs, async { ended.cancel() });
    assert_eq!(body(response).await, "usual");

    let stop = CancellationToken::new();
    let hangs = answer(|| FaultAction::pass_on().delay(FaultDelay::time(DAY)), stop.clone());
    let (start, (response, ())) = (Instant::now(), tokio::join!(hangs, async { stop.cancel() }));
    assert_eq!((body(response).await, start.elapsed()), ("usual".into(), Duration::ZERO));
}

#[tokio::test]
async fn resets_closed_connections_and_changed_bodies_are_marks_of_the_response() {
    let reset = answer(FaultAction::reset, running()).await;
    assert_eq!(reset.extensions().get(), Some(&AbortConnection));
    let closed = answer(FaultAction::close, running()).await;
    assert_eq!(closed.extensions().get(), Some(&CloseConnection));
    let fault = BodyFault::new().cut_after(2);
    let cut = answer(move || FaultAction::pass_on().body(fault).mark(7_u8), running()).await;
    assert_eq!((cut.extensions().get(), cut.extensions().get()), (Some(&fault), Some(&7_u8)));
    assert_eq!(body(cut).await, "usual");
}

#[tokio::test]
async fn the_plan_sees_the_head_of_the_request_and_the_layer_polls_the_inner_service_ready() {
    let plan = |request: &FaultRequest<'_>| {
        let is_faulty = request.method == Method::PUT
            && request.uri.path() == "/a"
            && request.headers.contains_key("b")
            && request.extensions.get() == Some(&7_u8)
            && request.head().query() == Some("c");
        is_faulty.then(FaultAction::reset)
    };
    let request = || Request::put("/a?c").header("b", "").extension(7_u8);
    let (mut service, mut handle) =
        tower_test::mock::spawn_with(move |mock: tower_test::mock::Mock<Request<()>, _>| {
            InjectFaultsLayer::new(plan).layer(mock)
        });
    assert!(service.poll_ready().is_ready());
    let faulty = service.call(request().body(()).unwrap()).await.unwrap();
    assert!(faulty.extensions().get::<AbortConnection>().is_some());
    assert!(service.poll_ready().is_ready());
    let usual = service.call(request().method("GET").body(()).unwrap());
    handle.next_request().await.unwrap().1.send_response(Response::new(Full::<Bytes>::from("usual")));
    assert_eq!(body(usual.await.unwrap()).await, "usual");
}
