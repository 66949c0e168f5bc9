//! The stack of layers, in their order. Each concern of the metadata server is one layer.

mod own_layers;
mod record;

pub use own_layers::InnerService;
pub(crate) use own_layers::OwnLayers;
pub(crate) use record::SharedRecord;

use crate::answer_delay::AnswerDelays;
use crate::faults::Faults;
use crate::hosts;
use crate::journal::Journal;
use crate::rate_limits::EndpointLimits;
use crate::trace::TraceRequestsLayer;
use bytes::Bytes;
use gce_metadata_layers::{
    AllowedHosts, AllowedPeers, AnswerProxyRequestsLayer, DelayAnswersLayer, EtagLayer, InjectFaultsLayer, InvalidHost,
    InvalidMountPath, LimitRateLayer, MountLayer, MountPath, RecordLatencyLayer, RecordRequestsLayer, RenderLayer,
    RequireFlavorLayer, RequireHostLayer, RequirePeerLayer, SetServerHeadersLayer, SimulateOutageLayer,
    WaitForChangeLayer, Waiters,
};
use gce_metadata_routes::{Publisher, Router, TokenSources, V1};
use http::{Request, Response};
use http_body::Body;
use std::convert::Infallible;
use std::fmt::Display;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, ServiceBuilder};

/// The whole metadata server as one tower service, to mount in any HTTP server. Guest attributes that clients write are published
/// by `publisher` too. For further settings see [`Stack`].
///
/// ```
/// use bytes::Bytes;
/// use gce_metadata_server::{Metadata, Publisher, TokenSources, metadata_stack};
/// use http::Request;
/// use http_body_util::Full;
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let publisher = Publisher::new(Metadata::sample().tree());
/// let service = metadata_stack::<Full<Bytes>>(publisher, TokenSources::default());
/// let answer = service.oneshot(Request::new(Full::default())).await.unwrap();
/// assert_eq!(answer.headers()["metadata-flavor"], "Google");
/// # }
/// ```
pub fn metadata_stack<B>(
    publisher: Publisher,
    tokens: TokenSources,
) -> impl Service<
    Request<B>,
    Response = Response<impl Body<Data = Bytes, Error = B::Error> + Send + 'static>,
    Error = Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ Sync
+ 'static
where
    B: Body<Data = Bytes, Error: Display> + Default + From<Bytes> + Send + 'static,
{
    Stack::<B>::new(Router::new(publisher, tokens)).service()
}

/// Configures and builds the service of [`metadata_stack`]: routes, limits, allowed hosts and clients, graceful shutdown.
///
/// Requests and responses have the same body type, such as axum's `Body`, unless `ResBody` is given too.
///
/// ```
/// use bytes::Bytes;
/// use gce_metadata_server::layers::Waiters;
/// use gce_metadata_server::routes::RouterOptions;
/// use gce_metadata_server::{Metadata, Publisher, Router, Stack, TokenSources};
/// use http_body_util::Full;
/// use tokio_util::sync::CancellationToken;
///
/// let publisher = Publisher::new(Metadata::sample().tree());
/// let mut options = RouterOptions::default();
/// options.legacy_endpoints = true;
/// let router = Router::with_options(publisher, TokenSources::default(), options);
/// let stop = CancellationToken::new();
/// let service = Stack::<Full<Bytes>>::new(router)
///     .until(stop.clone())
///     .waiters(Waiters::at_most(100))
///     .enforce_rate_limits()
///     .service();
/// # drop(service);
/// ```
#[derive(Debug)]
#[must_use = "a stack is built by `service`"]
pub struct Stack<ReqBody, ResBody = ReqBody> {
    router: Router,
    mount: Option<MountLayer>,
    stop: CancellationToken,
    waiters: Waiters,
    record: Option<SharedRecord>,
    journal: Option<RecordRequestsLayer<Journal, ReqBody>>,
    delays: Option<DelayAnswersLayer<AnswerDelays>>,
    outage: Option<SimulateOutageLayer>,
    proxied: Option<AnswerProxyRequestsLayer>,
    hosts: AllowedHosts,
    faults: Option<InjectFaultsLayer<Faults>>,
    peers: Option<AllowedPeers>,
    limits: Option<LimitRateLayer<EndpointLimits>>,
    own: Option<OwnLayers<ReqBody, ResBody>>,
}

impl<ReqBody, ResBody> Clone for Stack<ReqBody, ResBody> {
    fn clone(&self) -> Self {
        Self {
            router: self.router.clone(),
            mount: self.mount.clone(),
            stop: self.stop.clone(),
            waiters: self.waiters.clone(),
            record: self.record.clone(),
            journal: self.journal.clone(),
            delays: self.delays.clone(),
            outage: self.outage.clone(),
            proxied: self.proxied.clone(),
            hosts: self.hosts.clone(),
            faults: self.faults.clone(),
            peers: self.peers.clone(),
            limits: self.limits.clone(),
            own: self.own.clone(),
        }
    }
}

impl<ReqBody, ResBody> Stack<ReqBody, ResBody> {
    /// A stack around these routes. Waiting requests wake when the router's publisher changes.
    pub fn new(router: Router) -> Self {
        let (stop, waiters) = (CancellationToken::new(), Waiters::default());
        let hosts = hosts::allowed();
        Self {
            router,
            mount: None,
            stop,
            waiters,
            record: None,
            journal: None,
            delays: None,
            outage: None,
            proxied: None,
            hosts,
            faults: None,
            peers: None,
            limits: None,
            own: None,
        }
    }

    /// Serves the stack below a path that an outer router strips from requests, as axum's `nest_service("/vm", …)` does. Redirects
    /// and error pages contain the path again.
    ///
    /// The part of the path from `/computeMetadata` on also belongs to the metadata server: mounted at `/computeMetadata`, the
    /// stack answers `/v1/…` as `/computeMetadata/v1/…`.
    ///
    /// # Errors
    /// If it is not the path of a URL. If the path differs between requests, put a [`MountPath`] into the extensions of each.
    pub fn mounted_at(self, path: &str) -> Result<Self, InvalidMountPath> {
        Ok(Self { mount: Some(MountLayer::new(MountPath::new(path)?)), ..self })
    }

    /// Answers every request that waits for a change when `stop` is cancelled.
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Counts and limits the requests that wait for a change; further ones are answered 503. By default there is no limit.
    pub fn waiters(self, waiters: Waiters) -> Self {
        Self { waiters, ..self }
    }

    /// Enforces GCE's rate limits, as [`ServerBuilder::enforce_rate_limits`](crate::ServerBuilder::enforce_rate_limits) does,
    /// except that access tokens have no limit: a layer can't see which of them come from the cache.
    pub fn enforce_rate_limits(self) -> Self {
        self.limits(Some(LimitRateLayer::new(EndpointLimits::gce())))
    }

    /// Also lets in requests for this host, a suffix such as `.example.com`, or with `*` for every host.
    ///
    /// Every other request is answered 403, unless [`AllowedHosts`] always allows its host or it is the name of this machine:
    /// a web page could have sent it, by DNS rebinding.
    ///
    /// # Errors
    /// If it is not a host name.
    pub fn allow_host(self, name: &str) -> Result<Self, InvalidHost> {
        Ok(Self { hosts: self.hosts.allow(name)?, ..self })
    }

    pub(crate) fn delays(self, layer: Option<DelayAnswersLayer<AnswerDelays>>) -> Self {
        Self { delays: layer, ..self }
    }

    pub(crate) fn outage(self, layer: Option<SimulateOutageLayer>) -> Self {
        Self { outage: layer, ..self }
    }

    pub(crate) fn answer_proxy_requests(self, layer: Option<AnswerProxyRequestsLayer>) -> Self {
        Self { proxied: layer, ..self }
    }

    pub(crate) fn hosts(self, hosts: AllowedHosts) -> Self {
        Self { hosts, ..self }
    }

    pub(crate) fn record(self, record: Option<SharedRecord>) -> Self {
        Self { record, ..self }
    }

    pub(crate) fn journal(self, layer: Option<RecordRequestsLayer<Journal, ReqBody>>) -> Self {
        Self { journal: layer, ..self }
    }

    pub(crate) fn faults(self, layer: Option<InjectFaultsLayer<Faults>>) -> Self {
        Self { faults: layer, ..self }
    }

    /// Allows only these clients, by the identity in the [`Connection`](gce_metadata_layers::Connection) of the request's
    /// extensions, which the TLS server puts there. A client without a certificate is answered 403.
    pub fn peers(self, peers: AllowedPeers) -> Self {
        Self { peers: Some(peers), ..self }
    }

    pub(crate) fn limits(self, limits: Option<LimitRateLayer<EndpointLimits>>) -> Self {
        Self { limits, ..self }
    }

    /// Adds the caller's own layer, inside the layers that refuse requests and outside the layers that answer: it sees each
    /// allowed request once, including a long poll. The layer that is added first sees requests first.
    pub fn layer<L>(self, layer: L) -> Self
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
        let own = Some(OwnLayers::inside(self.own, layer));
        Self { own, ..self }
    }

    pub(crate) fn own_layers(self, own: Option<OwnLayers<ReqBody, ResBody>>) -> Self {
        Self { own, ..self }
    }

    /// Builds the service.
    pub fn service(
        self,
    ) -> impl Service<
        Request<ReqBody>,
        Response = Response<impl Body<Data = Bytes, Error = ResBody::Error> + Send + 'static>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
    where
        ReqBody: Body<Data: Send> + Default + Send + 'static,
        ResBody: Body<Data = Bytes, Error: Display> + From<Bytes> + Send + 'static,
    {
        let changes = self.router.changes();
        let wait_for_change = WaitForChangeLayer::new(changes).until(self.stop).waiters(self.waiters);
        ServiceBuilder::new()
            // Every other layer sees the metadata server's own paths.
            .option_layer(self.mount)
            // Outside of all refusals, so that refusals are counted too.
            .option_layer(self.record.map(RecordLatencyLayer::new))
            // Refusals are traced too.
            .layer(TraceRequestsLayer)
            // Refusals are journalled too, with their headers. Only with a journal.
            .option_layer(self.journal)
            // Refusals carry the headers too.
            .layer(SetServerHeadersLayer::new())
            // Refusals are delayed too. Only where delays can be simulated.
            .option_layer(self.delays)
            // An outage has no regard for the request. Only where one can be simulated.
            .option_layer(self.outage)
            // Names the proxy as the reason, where `RequireHost` would name DNS rebinding. Only where asked for.
            .option_layer(self.proxied)
            // Before any work is done: prevents DNS rebinding.
            .layer(RequireHostLayer::new(self.hosts))
            // Precedes the checks of the client, as the faults of a front end do; a fault never answers a web page. Only where asked for.
            .option_layer(self.faults)
            // A client without an allowed certificate learns nothing. Only behind TLS.
            .option_layer(self.peers.map(RequirePeerLayer::new))
            // Before any work is done.
            .layer(RequireFlavorLayer::new().below(V1))
            // Counts a long poll once, although it is repeated below.
            .option_layer(self.limits)
            // The embedder's layers: inside the layers that refuse, outside those that answer.
            .option_layer(self.own)
            // Compares entity tags, and repeats the request below after a change.
            .layer(wait_for_change)
            // Hashes the rendered value.
            .layer(EtagLayer::new())
            // The only place where a node becomes bytes.
            .layer(RenderLayer::<ResBody>::new())
            .service(self.router)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_routes::{Metadata, Publisher};
    use http_body_util::{BodyExt, Full};
    use serde_json::json;
    use std::time::Duration;
    use tower::ServiceExt;

    async fn answer(request: http::request::Builder) -> (Response<()>, Bytes) {
        let metadata = Metadata::from_json(json!({"instance": {"id": 7}})).unwrap();
        let publisher = Publisher::new(metadata.tree());
        let service = metadata_stack::<Full<Bytes>>(publisher, TokenSources::default());
        let (parts, body) = service.oneshot(request.body(Full::default()).unwrap()).await.unwrap().into_parts();
        (Response::from_parts(parts, ()), body.collect().await.unwrap().to_bytes())
    }

    /// The order that the types do not enforce: refusals carry the headers, and a request is refused before it waits.
    #[tokio::test]
    async fn stack_order() {
        let waiting = "/computeMetadata/v1/instance/id?wait_for_change=true";
        let (refused, page) = answer(Request::get(waiting)).await;
        assert_eq!(refused.status(), 403);
        assert_eq!(refused.headers()["metadata-flavor"], "Google");
        assert!(!refused.headers().contains_key("etag"));
        assert!(String::from_utf8_lossy(&page).contains("Missing Metadata-Flavor:Google header."));

        let (answered, body) =
            answer(Request::get(format!("{waiting}&timeout_sec=0")).header("Metadata-Flavor", "Google")).await;
        assert_eq!((answered.status().as_u16(), &*body), (200, &b"7"[..]));
        assert_eq!(answered.headers()["etag"], gce_metadata_layers::entity_tag(b"7"));
    }

    #[tokio::test(start_paused = true)]
    async fn refused_requests_do_not_count_against_the_rate_limit() {
        let publisher = Publisher::new(Metadata::sample().tree());
        let router = Router::new(publisher, TokenSources::default());
        let limits = LimitRateLayer::new(EndpointLimits::gce());
        let service = Stack::<Full<Bytes>>::new(router).limits(Some(limits)).service();
        let status = async |has_flavor: bool| {
            let request = Request::get("/computeMetadata/v1/instance/service-accounts/default/identity?audience=a");
            let request = if has_flavor { request.header("Metadata-Flavor", "Google") } else { request };
            service.clone().oneshot(request.body(Full::default()).unwrap()).await.unwrap().status().as_u16()
        };
        for _ in 0..100 {
            assert_eq!(status(false).await, 403);
        }
        for _ in 0..50 {
            assert_eq!(status(true).await, 404, "there is no token source");
        }
        assert_eq!(status(true).await, 429);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(status(true).await, 404);
    }

    #[tokio::test]
    async fn no_other_header_is_set() {
        let (answered, _) =
            answer(Request::get("/computeMetadata/v1/instance/id").header("Metadata-Flavor", "Google")).await;
        let mut names: Vec<_> = answered.headers().keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "etag", "metadata-flavor", "server", "x-frame-options", "x-xss-protection"]);
    }
}
