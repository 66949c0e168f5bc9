//! [tower](tower_layer) layers that make an HTTP service answer like Google Compute Engine's metadata server.
//!
//! Each concern is one layer, and each works alone. Composed, outermost first, they are the stack of the emulator:
//!
//! | layer | concern | why it stands here |
//! |---|---|---|
//! | [`RecordLatency`] | how long answers take | refusals are recorded too |
//! | [`SetServerHeaders`] | the four headers of every answer | refusals carry them too |
//! | [`RequireHost`] | no `Host` that a web page could have (DNS rebinding) | before any work is done |
//! | [`RequirePeer`] | who the client is, where TLS has found out | a stranger learns nothing |
//! | [`RequireFlavor`] | `Metadata-Flavor: Google`, no `X-Forwarded-For` | before any work is done |
//! | `LimitRate` (feature `rate-limit`) | 429 for what is asked for too often | a request that waits is one, however often it is asked again |
//! | [`WaitForChange`] | `wait_for_change=true` | compares entity tags, and runs all below again |
//! | [`Etag`] | `ETag` | needs bytes |
//! | [`Render`] | a node becomes bytes | the only place where it does |
//!
//! A layer of your own may reset a connection: see [`abort`].
//!
//! Below [`Render`] stands a service whose response bodies are nodes: anything that is [`Represent`]. The crate
//! `gce-metadata-routes` has one for a VM's metadata tree; a service of your own will do as well.
//!
//! Bodies are bound by no more than a layer needs. A response body that is `From<Bytes>` admits
//! `http_body_util::Full<Bytes>` and `axum::body::Body`. A request body must be `Default` below [`WaitForChange`] only,
//! because a waiting request is asked again without its body.
//!
//! ```
//! use bytes::Bytes;
//! use gce_metadata_layers::{EtagLayer, RequireFlavorLayer, SetServerHeadersLayer};
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let mine = service_fn(async |_: Request<()>| {
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from("my-project")))
//! });
//! let service = ServiceBuilder::new()
//!     .layer(SetServerHeadersLayer::new())
//!     .layer(RequireFlavorLayer::new())
//!     .layer(EtagLayer::new())
//!     .service(mine);
//! let request = Request::get("/computeMetadata/v1/project/project-id").header("Metadata-Flavor", "Google");
//! let answer = service.oneshot(request.body(()).unwrap()).await.unwrap();
//! assert!(answer.headers().contains_key("etag"));
//! # }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![warn(clippy::return_self_not_must_use)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

#[macro_use]
mod accessors;
mod allowed_hosts;
mod connection;
mod path;
mod query;
mod rejection;
mod request_head;
mod response_future;
#[cfg(test)]
mod test_support;

pub mod abort;
pub mod etag;
#[cfg(feature = "rate-limit")]
pub mod limit_rate;
pub mod mount;
pub mod record_latency;
pub mod render;
pub mod require_flavor;
pub mod require_host;
pub mod require_peer;
pub mod set_server_headers;
pub mod wait_for_change;

pub use abort::{AbortConnection, ConnectionError, FailAborted, FailAbortedLayer};
pub use allowed_hosts::{AllowedHosts, InvalidHost};
pub use connection::{Connection, Fingerprint, PeerIdentity};
pub use etag::{EntityTag, Etag, EtagLayer, entity_tag};
#[cfg(feature = "rate-limit")]
pub use limit_rate::{LimitRate, LimitRateLayer, RateLimit, RateLimits};
pub use mount::{InvalidMountPath, Mount, MountLayer, MountPath};
pub use path::MetadataPath;
pub use query::{Format, Query, parse_bool};
pub use record_latency::{Answered, PathLabel, Record, RecordLatency, RecordLatencyLayer};
pub use rejection::Rejection;
pub use render::{Render, RenderLayer, Represent, Representation};
pub use request_head::RequestHead;
pub use require_flavor::{RequireFlavor, RequireFlavorLayer};
pub use require_host::{RequireHost, RequireHostLayer};
pub use require_peer::{AllowedPeers, PeerPolicy, RequirePeer, RequirePeerLayer};
pub use response_future::ResponseFuture;
pub use set_server_headers::{SetServerHeaders, SetServerHeadersLayer};
pub use wait_for_change::{WaitForChange, WaitForChangeLayer, Waiters};
