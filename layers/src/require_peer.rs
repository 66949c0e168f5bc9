//! Refuses clients without a verified certificate, or with one that is not allowed.
//!
//! The server verifies a client's certificate in the TLS handshake, and puts a [`Connection`] into the extensions of its requests. This
//! layer decides which of these clients are admitted. It ignores the path, so other clients can't find out which paths exist.
//!
//! ```
//! use bytes::Bytes;
//! use gce_metadata_layers::{Connection, PeerIdentity, RequirePeerLayer};
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let service = ServiceBuilder::new()
//!     .layer(RequirePeerLayer::new(|peer: &PeerIdentity| peer.is_called("instance-1")))
//!     .service(service_fn(async |_: Request<()>| {
//!         Ok::<_, std::convert::Infallible>(Response::new(Bytes::from("for instance-1")))
//!     }));
//! let mut peer = PeerIdentity::default();
//! peer.common_name = Some("instance-1".into());
//! let mut request = Request::new(());
//! request.extensions_mut().insert(Connection::default().with_peer(peer));
//! assert_eq!(service.clone().oneshot(request).await.unwrap().status(), 200);
//! assert_eq!(service.oneshot(Request::new(())).await.unwrap().status(), 403);
//! # }
//! ```

use crate::connection::{Connection, PeerIdentity};
use crate::rejection::Rejection;
use crate::request_head::RequestHead;
use crate::response_future::ResponseFuture;
use bytes::Bytes;
use http::{Request, Response};
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Decides which clients are admitted. Each `Fn(&PeerIdentity) -> bool` is a policy.
pub trait PeerPolicy {
    /// Whether this client is admitted.
    fn admits(&self, peer: &PeerIdentity) -> bool;
}

impl<F: Fn(&PeerIdentity) -> bool> PeerPolicy for F {
    fn admits(&self, peer: &PeerIdentity) -> bool {
        self(peer)
    }
}

/// The verified peers that are admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedPeers {
    names: Option<Vec<String>>,
}

impl AllowedPeers {
    /// Admits all verified peers.
    pub fn all() -> Self {
        Self { names: None }
    }

    /// Admits the peers with one of these names: see [`PeerIdentity::is_called`]. An empty list admits none.
    pub fn only(names: impl IntoIterator<Item: Into<String>>) -> Self {
        Self { names: Some(names.into_iter().map(Into::into).collect()) }
    }
}

impl PeerPolicy for AllowedPeers {
    fn admits(&self, peer: &PeerIdentity) -> bool {
        self.names.as_ref().is_none_or(|names| names.iter().any(|name| peer.is_called(name)))
    }
}

/// Adds [`RequirePeer`] to a service.
#[derive(Debug, Clone)]
pub struct RequirePeerLayer<P> {
    policy: P,
}

impl<P> RequirePeerLayer<P> {
    /// A layer that admits the peers that this policy admits.
    pub fn new(policy: P) -> Self {
        Self { policy }
    }
}

impl<S, P: Clone> Layer<S> for RequirePeerLayer<P> {
    type Service = RequirePeer<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        RequirePeer { inner, policy: self.policy.clone() }
    }
}

/// Answers 403 to clients without a verified certificate, or with one that the policy does not admit.
#[derive(Debug, Clone)]
pub struct RequirePeer<S, P> {
    inner: S,
    policy: P,
}

impl<P> RequirePeer<(), P> {
    /// The layer that adds this service: [`RequirePeerLayer::new`].
    pub fn layer(policy: P) -> RequirePeerLayer<P> {
        RequirePeerLayer::new(policy)
    }
}

impl<S, P> RequirePeer<S, P> {
    inner_service_accessors!();
}

impl<S, P, ReqBody, ResBody> Service<Request<ReqBody>> for RequirePeer<S, P>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    P: PeerPolicy,
    ResBody: From<Bytes>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let peer = request.extensions().get::<Connection>().and_then(|connection| connection.peer.as_deref());
        match peer.is_some_and(|peer| self.policy.admits(peer)) {
            true => ResponseFuture::admitted(self.inner.call(request)),
            false => ResponseFuture::refused(Rejection::Forbidden, RequestHead::from_request(request)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{mock_exchange, mock_refusal};

    fn request(peer: Option<&str>) -> Request<()> {
        let mut request = Request::get("/computeMetadata/v1/").body(()).unwrap();
        let identity = |name: &str| PeerIdentity { common_name: Some(name.into()), ..PeerIdentity::default() };
        let connection = Connection::default();
        let connection = match peer {
            Some(name) => connection.with_peer(identity(name)),
            None => connection,
        };
        request.extensions_mut().insert(connection);
        request
    }

    fn layer(allowed: &[&str]) -> RequirePeerLayer<AllowedPeers> {
        RequirePeerLayer::new(AllowedPeers::only(allowed.iter().copied()))
    }

    #[tokio::test]
    async fn a_verified_client_that_the_policy_allows_is_admitted() {
        for layer in [RequirePeerLayer::new(AllowedPeers::all()), layer(&["other", "instance-1"])] {
            let answer = mock_exchange(layer, request(Some("instance-1")), Response::new(Bytes::from("value"))).await;
            assert_eq!(answer.body(), "value");
        }
    }

    #[tokio::test]
    async fn other_clients_get_403_for_every_path() {
        let refused = [request(None), request(Some("instance-2")), Request::get("/").body(()).unwrap()];
        for request in refused {
            let answer = mock_refusal::<_, Bytes>(layer(&["instance-1"]), request).await;
            assert_eq!(answer.status(), 403);
            assert!(answer.body().starts_with(b"<!DOCTYPE html>"));
        }
    }
}
