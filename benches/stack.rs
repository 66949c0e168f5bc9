//! The cost of each layer alone, of the whole stack and of a signature, without sockets and on one thread.

#![allow(clippy::unwrap_used, missing_docs)]

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use gce_metadata_server::layers::{
    AllowedPeers, Answered, Connection, EtagLayer, LimitRateLayer, MetadataPath, PeerIdentity, Query, RateLimit,
    RateLimits, RecordLatencyLayer, Rejection, RenderLayer, Represent, Representation, RequestHead, RequireFlavorLayer,
    RequirePeerLayer, Resolved, SetServerHeadersLayer, WaitForChangeLayer,
};
use gce_metadata_server::signer::{JwsAlgorithm, PemSigner, SignRequest};
use gce_metadata_server::{CredentialSource, Metadata, Publisher, metadata_stack};
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use std::convert::Infallible;
use std::future::ready;
use std::hint::black_box;
use std::num::NonZeroU32;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

type Body = Full<Bytes>;

fn request(path: &str) -> Request<Body> {
    let target = format!("/computeMetadata/v1/{path}");
    let connection = Connection::default().with_peer(PeerIdentity::default());
    let request = Request::get(target).header("Metadata-Flavor", "Google").extension(connection);
    request.body(Body::default()).unwrap()
}

/// A limit that is never reached.
struct Generous(RateLimit);

impl RateLimits for Generous {
    fn of(&self, _: &MetadataPath<'_>) -> Option<(&RateLimit, &'static str)> {
        Some((&self.0, "/"))
    }
}

#[derive(Clone, Copy)]
struct Value;

impl Represent for Value {
    fn represent(&self, _: &Query) -> Result<Representation, Rejection> {
        Ok(Representation::new(Bytes::from_static(b"value"), HeaderValue::from_static("application/text")))
    }
}

fn bench<S>(criterion: &mut Criterion, name: &str, path: &str, service: S)
where
    S: Service<Request<Body>, Error = Infallible> + Clone,
{
    let runtime = Runtime::new().unwrap();
    criterion.bench_function(name, |bencher| {
        bencher.iter_batched(
            || request(path),
            |request| runtime.block_on(service.clone().oneshot(request)).map(drop),
            criterion::BatchSize::SmallInput,
        );
    });
}

fn layers(criterion: &mut Criterion) {
    let inner = service_fn(|_: Request<Body>| ready(Ok::<_, Infallible>(Response::new(Body::from("value")))));
    bench(criterion, "layer/none", "instance/id", inner);
    let record = RecordLatencyLayer::new(|answered: &Answered<'_>| _ = black_box(answered.latency));
    bench(criterion, "layer/RecordLatency", "instance/id", ServiceBuilder::new().layer(record).service(inner));
    let headers = SetServerHeadersLayer::new();
    bench(criterion, "layer/SetServerHeaders", "instance/id", ServiceBuilder::new().layer(headers).service(inner));
    let peer = RequirePeerLayer::new(AllowedPeers::all());
    bench(criterion, "layer/RequirePeer", "instance/id", ServiceBuilder::new().layer(peer).service(inner));
    let limit = LimitRateLayer::new(Generous(RateLimit::per_second(NonZeroU32::MAX)));
    bench(criterion, "layer/LimitRate", "instance/id", ServiceBuilder::new().layer(limit).service(inner));
    let flavor = RequireFlavorLayer::new();
    bench(criterion, "layer/RequireFlavor", "instance/id", ServiceBuilder::new().layer(flavor).service(inner));
    let (_sender, changes) = watch::channel(());
    let wait = WaitForChangeLayer::new(changes);
    bench(criterion, "layer/WaitForChange", "instance/id", ServiceBuilder::new().layer(wait).service(inner));
    bench(criterion, "layer/Etag", "instance/id", ServiceBuilder::new().layer(EtagLayer::new()).service(inner));
    let value = service_fn(|request: Request<Body>| {
        let resolved = Resolved::new(Value, RequestHead::from_request(request));
        ready(Ok::<_, Infallible>(Response::new(resolved)))
    });
    let render = RenderLayer::<Body>::new();
    bench(criterion, "layer/Render", "instance/id", ServiceBuilder::new().layer(render).service(value));
}

fn stack(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let publisher = Publisher::new(Metadata::sample().tree());
    let tokens = runtime.block_on(async { CredentialSource::default().token_sources().unwrap() });
    let service = metadata_stack::<Body>(publisher.clone(), tokens);
    for (name, path) in [
        ("stack/leaf", "instance/id"),
        ("stack/listing", "instance/"),
        ("stack/recursive root", "?recursive=true"),
        ("stack/404", "instance/none"),
        ("stack/cached token", "instance/service-accounts/default/token"),
    ] {
        bench(criterion, name, path, service.clone());
    }
}

fn sign(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let signer = PemSigner::generate().unwrap();
    let request = SignRequest { alg: JwsAlgorithm::Rs256, message: vec![b'x'; 600].into() };
    criterion.bench_function("sign/RS256", |bencher| {
        bencher.iter(|| runtime.block_on(signer.clone().oneshot(request.clone())).unwrap());
    });
}

criterion_group!(benches, layers, stack, sign);
criterion_main!(benches);
