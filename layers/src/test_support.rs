//! Tests of layers over `tower_test::mock`, which panics if a layer calls a service that was not polled ready.

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;
use tower_test::mock::{self, Mock};

/// Sends one request through the layer. The inner service answers `inner`.
pub(crate) async fn mock_exchange<L, B>(layer: L, request: Request<()>, inner: Response<B>) -> Response<B>
where
    L: Layer<Mock<Request<()>, Response<B>>>,
    L::Service: Service<Request<()>, Response = Response<B>>,
    <L::Service as Service<Request<()>>>::Error: std::fmt::Debug,
{
    let (mut service, mut handle) = mock::spawn_with(|mock| layer.layer(mock));
    assert!(service.poll_ready().is_ready());
    let answer = service.call(request);
    let served = async {
        let (_, respond) = handle.next_request().await.unwrap();
        respond.send_response(inner);
    };
    tokio::join!(answer, served).0.unwrap()
}

/// Sends one request that the layer answers itself. Panics if the inner service receives it.
pub(crate) async fn mock_refusal<L, B>(layer: L, request: Request<()>) -> Response<B>
where
    L: Layer<Mock<Request<()>, Response<B>>>,
    L::Service: Service<Request<()>, Response = Response<B>>,
    <L::Service as Service<Request<()>>>::Error: std::fmt::Debug,
{
    let (mut service, mut handle) = mock::spawn_with(|mock| layer.layer(mock));
    assert!(service.poll_ready().is_ready());
    let answer = service.call(request).await.unwrap();
    assert!(handle.poll_request().is_pending(), "the request reached the inner service");
    answer
}
