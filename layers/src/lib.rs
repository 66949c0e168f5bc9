//! [tower](tower_layer) layers that make an HTTP service answer like Google Compute Engine's metadata server.
//!
//! Each layer does one thing, and can be used without the others. The emulator composes them in this order, the outermost first:
//!
//! | layer | does | why in this place |
//! |---|---|---|
//! | [`Mount`] | restores the path that an outer router has stripped | all other layers see the metadata server's paths |
//! | [`RecordLatency`] | records the latency and the status of each answer | refusals are recorded too |
//! | [`RecordRequests`] | tells a journal about each request and its answer | refusals are recorded too |
//! | [`SetServerHeaders`] | sets four headers on each answer | refusals have them too |
//! | [`DelayAnswers`] | delays answers | refusals are delayed too |
//! | [`SimulateOutage`] | answers 503, or not at all, during an outage | an outage has no regard for the request |
//! | [`AnswerProxyRequests`] | answers proxy requests for the metadata server, refuses all others | the refusal names the proxy, not DNS rebinding |
//! | [`RequireHost`] | refuses a `Host` that a web page could have (DNS rebinding) | before any work is done |
//! | [`InjectFaults`] | delays, refuses, resets or damages what a plan says | a fault precedes the checks of the client, as a front end's does |
//! | [`RequirePeer`] | refuses clients without an allowed certificate | other clients learn nothing |
//! | [`RequireFlavor`] | requires `Metadata-Flavor: Google`, refuses `X-Forwarded-For` | before any work is done |
//! | `LimitRate` (feature `rate-limit`) | answers 429 above a rate limit | a long poll counts once |
//! | [`WaitForChange`] | delays answers for `wait_for_change=true` | compares entity tags, and calls the inner layers again |
//! | [`Etag`] | sets `ETag` | needs bytes |
//! | [`Render`] | renders a node | the innermost layer |
//!
//! [`FailAborted`] is for servers other than the emulator's, around layers that abort connections: see [`abort`].
//!
//! The service inside of [`Render`] answers with nodes: its response body is [`Represent`]. The crate `gce-metadata-routes` has such a
//! service for the metadata tree of a VM.
//!
//! Each layer has the bounds on bodies that it needs. A response body must be `From<Bytes>`, as `http_body_util::Full<Bytes>` and
//! `axum::body::Body` are. For [`WaitForChange`], a request body must also be `Default`: a waiting request is repeated without its
//! body.
//!
//! ```
//! use bytes::Bytes;
//! use gce_metadata_layers::{EtagLayer, RequireFlavorLayer, SetServerHeadersLayer};
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let project_id = service_fn(async |_: Request<()>| {
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from("my-project")))
//! });
//! let service = ServiceBuilder::new()
//!     .layer(SetServerHeadersLayer::new())
//!     .layer(RequireFlavorLayer::new())
//!     .layer(EtagLayer::new())
//!     .service(project_id);
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
mod direct_or_boxed;
mod path;
mod query;
mod rejection;
mod request_head;
mod response_future;
#[cfg(test)]
mod test_support;

pub mod abort;
pub mod answer_proxy_requests;
pub mod body_fault;
pub mod capture_body;
pub mod delay_answers;
pub mod etag;
pub mod inject_faults;
#[cfg(feature = "rate-limit")]
pub mod limit_rate;
pub mod mount;
pub mod record_latency;
pub mod record_requests;
pub mod render;
pub mod require_flavor;
pub mod require_host;
pub mod require_peer;
pub mod set_server_headers;
pub mod simulate_outage;
pub mod wait_for_change;

pub use abort::{AbortConnection, CloseConnection, ConnectionError, FailAborted, FailAbortedLayer};
pub use allowed_hosts::{AllowedHosts, InvalidHost};
pub use answer_proxy_requests::{AnswerProxyRequests, AnswerProxyRequestsLayer};
pub use body_fault::{BodyFault, FaultableBody, apply_body_fault};
pub use capture_body::{CaptureBody, CapturedBody};
pub use connection::{Connection, Fingerprint, PeerIdentity};
pub use delay_answers::{DelayAnswers, DelayAnswersLayer, Delays};
pub use direct_or_boxed::DirectOrBoxed;
pub use etag::{EntityTag, Etag, EtagLayer, entity_tag};
pub use inject_faults::{FaultAction, FaultDelay, FaultPlan, FaultRequest, InjectFaults, InjectFaultsLayer};
#[cfg(feature = "rate-limit")]
pub use limit_rate::{LimitRate, LimitRateLayer, RateLimit, RateLimits};
pub use mount::{InvalidMountPath, Mount, MountLayer, MountPath};
pub use path::MetadataPath;
pub use query::{Format, Parameter, Query, parameters, parse_bool};
pub use record_latency::{Answered, PathLabel, Record, RecordLatency, RecordLatencyLayer};
pub use record_requests::{RecordRequests, RecordRequestsLayer};
pub use rejection::Rejection;
pub use render::{Render, RenderLayer, Represent, Representation, Resolved};
pub use request_head::RequestHead;
pub use require_flavor::{RequireFlavor, RequireFlavorLayer};
pub use require_host::{RequireHost, RequireHostLayer};
pub use require_peer::{AllowedPeers, PeerPolicy, RequirePeer, RequirePeerLayer};
pub use response_future::ResponseFuture;
pub use set_server_headers::{OwnHeaders, SetServerHeaders, SetServerHeadersLayer};
pub use simulate_outage::{Outage, SimulateOutage, SimulateOutageLayer};
pub use wait_for_change::{WaitEnd, WaitForChange, WaitForChangeLayer, Waited, Waiters};
