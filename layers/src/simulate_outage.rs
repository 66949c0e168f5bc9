//! Simulates an outage of the server: requests are answered 503, or not at all.
//!
//! The outage is a value in a channel, so that it can begin and end while the server runs. It also interrupts the requests that are being
//! answered when it begins, such as long polls.
//!
//! ```
//! use gce_metadata_layers::{Outage, SimulateOutageLayer};
//! use http::{Request, Response};
//! use tokio::sync::watch;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (outage, changes) = watch::channel(Some(Outage::Unavailable));
//! let service = ServiceBuilder::new()
//!     .layer(SimulateOutageLayer::new(changes))
//!     .service(service_fn(async |_: Request<()>| {
//!         Ok::<_, std::convert::Infallible>(Response::new(bytes::Bytes::from_static(b"value")))
//!     }));
//! assert_eq!(service.clone().oneshot(Request::new(())).await.unwrap().status(), 503);
//! outage.send_replace(None);
//! assert_eq!(service.oneshot(Request::new(())).await.unwrap().status(), 200);
//! # }
//! ```

use crate::abort::AbortConnection;
use crate::rejection::Rejection;
use crate::request_head::RequestHead;
use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tower_layer::Layer;
use tower_service::Service;

/// How a server fails to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outage {
    /// Requests are answered 503, with Google's error page.
    Unavailable,
    /// Requests are never answered, also after the outage.
    Hang,
}

/// Adds [`SimulateOutage`] to a service.
#[derive(Debug, Clone)]
pub struct SimulateOutageLayer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    outage: watch::Receiver<Option<Outage>>,
    stop: CancellationToken,
}

impl SimulateOutageLayer {
    /// A layer with the outage in this channel. `None` is no outage.
    pub fn new(outage: watch::Receiver<Option<Outage>>) -> Self {
        Self { shared: Arc::new(Shared { outage, stop: CancellationToken::new() }) }
    }

    /// Aborts the connections of requests that hang when `stop` is cancelled, so that they do not delay the end of the server.
    #[must_use]
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { shared: Arc::new(Shared { outage: self.shared.outage.clone(), stop }) }
    }
}

impl<S> Layer<S> for SimulateOutageLayer {
    type Service = SimulateOutage<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SimulateOutage { inner, shared: Arc::clone(&self.shared) }
    }
}

/// Passes requests to the inner service while there is no outage.
#[derive(Debug, Clone)]
pub struct SimulateOutage<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl SimulateOutage<()> {
    /// The layer that adds this service: [`SimulateOutageLayer::new`].
    pub fn layer(outage: watch::Receiver<Option<Outage>>) -> SimulateOutageLayer {
        SimulateOutageLayer::new(outage)
    }
}

impl<S> SimulateOutage<S> {
    inner_service_accessors!();
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for SimulateOutage<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: From<Bytes>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let outage = *self.shared.outage.borrow();
        let inner = outage.is_none().then(|| self.inner.call(request));
        ResponseFuture { inner, outage, begins: None, stops: None, shared: Arc::clone(&self.shared) }
    }
}

pin_project! {
    /// The future of [`SimulateOutage`].
    pub struct ResponseFuture<F> {
        // `None` during an outage.
        #[pin]
        inner: Option<F>,
        outage: Option<Outage>,
        // Boxed, so that only requests whose answer is not ready at once allocate.
        begins: Option<Pin<Box<dyn Future<Output = Outage> + Send>>>,
        stops: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
        shared: Arc<Shared>,
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: From<Bytes>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(inner) = this.inner.as_mut().as_pin_mut() {
            if let Poll::Ready(answer) = inner.poll(cx) {
                return Poll::Ready(answer);
            }
            let begins = this.begins.get_or_insert_with(|| Box::pin(next_outage(this.shared.outage.clone())));
            *this.outage = Some(ready!(begins.as_mut().poll(cx)));
            // Frees what the request holds, such as the slot of a long poll.
            this.inner.set(None);
        }
        if *this.outage == Some(Outage::Unavailable) {
            // The error page of this rejection does not depend on the request.
            let head = RequestHead::from_request(Request::new(()));
            return Poll::Ready(Ok(Rejection::Unavailable.into_response(&head)));
        }
        let stops = this.stops.get_or_insert_with(|| Box::pin(this.shared.stop.clone().cancelled_owned()));
        ready!(stops.as_mut().poll(cx));
        let mut aborted = Response::new(B::from(Bytes::new()));
        aborted.extensions_mut().insert(AbortConnection);
        Poll::Ready(Ok(aborted))
    }
}

/// Completes when an outage begins.
async fn next_outage(mut changes: watch::Receiver<Option<Outage>>) -> Outage {
    let begun = changes.wait_for(Option::is_some).await.map(|outage| *outage);
    match begun {
        Ok(Some(outage)) => outage,
        // The sender is dropped: no outage will begin.
        _ => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{mock_exchange, mock_refusal};
    use tower_test::mock::{self, Mock};

    type Body = Bytes;

    fn layer(outage: Option<Outage>) -> (watch::Sender<Option<Outage>>, SimulateOutageLayer) {
        let (sender, receiver) = watch::channel(outage);
        (sender, SimulateOutageLayer::new(receiver))
    }

    #[tokio::test]
    async fn requests_pass_while_there_is_no_outage() {
        let (_sender, layer) = layer(None);
        let answer = mock_exchange(layer, Request::new(()), Response::new(Body::from_static(b"value"))).await;
        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"value"[..]));
    }

    #[tokio::test]
    async fn an_unavailable_server_answers_with_the_503_page() {
        let (_sender, layer) = layer(Some(Outage::Unavailable));
        let answer: Response<Body> = mock_refusal(layer, Request::new(())).await;
        assert_eq!(answer.status(), 503);
        assert!(String::from_utf8_lossy(answer.body()).contains("<title>Error 503 (Service Unavailable)!!1</title>"));
    }

    #[tokio::test]
    async fn a_request_hangs_also_after_the_outage_until_the_server_stops() {
        let (sender, layer) = layer(Some(Outage::Hang));
        let stop = CancellationToken::new();
        let (mut service, _handle) =
            mock::spawn_with(|mock: Mock<Request<()>, Response<Body>>| layer.clone().until(stop.clone()).layer(mock));
        assert!(service.poll_ready().is_ready());
        let mut answer = tokio_test::task::spawn(service.call(Request::new(())));
        assert!(answer.poll().is_pending());
        sender.send_replace(None);
        assert!(answer.poll().is_pending());
        stop.cancel();
        assert!(answer.is_woken());
        assert!(answer.await.unwrap().extensions().get::<AbortConnection>().is_some());
    }

    #[tokio::test]
    async fn an_outage_interrupts_requests_that_are_being_answered() {
        for outage in [Outage::Unavailable, Outage::Hang] {
            let (sender, layer) = layer(None);
            let held = Arc::new(());
            let slot = Arc::clone(&held);
            let service = layer.layer(tower::service_fn(move |_: Request<()>| {
                let slot = Arc::clone(&slot);
                async move {
                    pending::<()>().await;
                    drop(slot);
                    Ok::<_, std::convert::Infallible>(Response::new(Body::new()))
                }
            }));
            let mut answer = tokio_test::task::spawn({ service }.call(Request::new(())));
            assert!(answer.poll().is_pending());
            assert_eq!(Arc::strong_count(&held), 2);
            sender.send_replace(Some(outage));
            assert!(answer.is_woken());
            let polled = answer.poll();
            assert_eq!(Arc::strong_count(&held), 1, "the inner request is dropped");
            match outage {
                Outage::Unavailable => assert_eq!(tokio_test::assert_ready_ok!(polled).status(), 503),
                Outage::Hang => assert!(polled.is_pending()),
            }
        }
    }
}
