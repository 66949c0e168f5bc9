//! The embedder's layers, which the stack puts between the layers that refuse requests and those that answer.
//!
//! Their number is known at run time only, so each wraps a boxed service. A stack without any is not boxed.

use http::{Request, Response};
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service};

/// The service that an embedder's layer wraps: the rest of the stack, down to the routes.
pub type InnerService<ReqBody, ResBody> = BoxCloneSyncService<Request<ReqBody>, Response<ResBody>, Infallible>;

/// Several layers as one.
pub(crate) struct OwnLayers<ReqBody, ResBody>(Arc<dyn Wrap<ReqBody, ResBody>>);

trait Wrap<ReqBody, ResBody>: Fn(InnerService<ReqBody, ResBody>) -> InnerService<ReqBody, ResBody> + Send + Sync {}

impl<W, ReqBody, ResBody> Wrap<ReqBody, ResBody> for W where
    W: Fn(InnerService<ReqBody, ResBody>) -> InnerService<ReqBody, ResBody> + Send + Sync
{
}

impl<ReqBody, ResBody> OwnLayers<ReqBody, ResBody> {
    /// Adds a layer inside the others.
    pub(crate) fn inside<L>(outer: Option<Self>, layer: L) -> Self
    where
        L: Layer<InnerService<ReqBody, ResBody>> + Send + Sync + 'static,
        L::Service: Service<Request<ReqBody>, Response = Response<ResBody>, Error = Infallible, Future: Send + 'static>
            + Clone
            + Send
            + Sync
            + 'static,
        ReqBody: 'static,
        ResBody: 'static,
    {
        let wrap = move |inner| InnerService::new(layer.layer(inner));
        match outer {
            Some(Self(outer)) => Self(Arc::new(move |inner| outer(wrap(inner)))),
            None => Self(Arc::new(wrap)),
        }
    }
}

impl<ReqBody, ResBody> Clone for OwnLayers<ReqBody, ResBody> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<ReqBody, ResBody> fmt::Debug for OwnLayers<ReqBody, ResBody> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnLayers")
    }
}

impl<S, ReqBody, ResBody> Layer<S> for OwnLayers<ReqBody, ResBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static,
{
    type Service = InnerService<ReqBody, ResBody>;

    fn layer(&self, inner: S) -> Self::Service {
        (self.0)(InnerService::new(inner))
    }
}
