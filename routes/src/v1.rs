//! The route lists.
//!
//! Whatever is published needs no route: the tree has it. A route of its own is for what is computed for each request, for
//! what is written, for what has something to say where the tree has nothing, and for the little that stands above
//! `/computeMetadata/v1/`.

use crate::endpoint::legacy::{self, Legacy};
use crate::endpoint::os_login::{self, ContinueSession, OsLoginQuery, Sessions, StartSession};
use crate::endpoint::{
    Access, Acquire, Endpoint, Identity, StaticListing, Tokens, TreeEndpoint, UpcomingMaintenance,
    WorkloadCertificates, WritableAttributes,
};
use crate::router::{Router, RouterOptions};
use crate::snapshot::{Publisher, Reader};
use crate::token::TokenSources;
use gce_metadata_layers::MetadataPath;
use std::borrow::Cow;
use std::sync::Arc;

/// Where the tree is mounted.
pub(crate) const PREFIX: &str = "/computeMetadata/v1";

/// The one path of 0.1 that leads nowhere in v1.
const ACQUIRE: &str = "/0.1/meta-data/service-accounts/{account}/acquire";

pub(crate) fn routes(
    publisher: &Publisher,
    tokens: &TokenSources,
    options: &RouterOptions,
) -> Vec<(&'static str, Arc<dyn Endpoint>)> {
    let reader = publisher.reader();
    let published = TreeEndpoint::new(reader.clone());
    let access_tokens = Tokens::new(Access, reader.clone(), tokens.access.clone());
    let id_tokens = Tokens::new(Identity::new(), reader.clone(), tokens.id.clone());
    let guest_attributes = WritableAttributes::new(publisher.clone(), options.save_guest_attributes.clone());
    let maintenance = UpcomingMaintenance::new(reader.clone(), options.no_maintenance);
    let certificates = |names| -> Arc<dyn Endpoint> { Arc::new(WorkloadCertificates::new(reader.clone(), names)) };
    let (published, guest_attributes) = (Arc::new(published), Arc::new(guest_attributes));
    let (status, anchors, identities) = (
        certificates(["gce-workload-certificates/config-status", "workload-certificates-config-status"]),
        certificates(["gce-workload-certificates/trust-anchors", "workload-trusted-root-certs"]),
        certificates(["gce-workload-certificates/workload-identities", "workload-identities"]),
    );
    let directory = |question| -> Arc<dyn Endpoint> {
        Arc::new(OsLoginQuery::new(reader.clone(), Arc::clone(&published), question))
    };
    let (users, groups) = (directory(os_login::users), directory(os_login::groups));
    let (authorize, authorities) = (directory(os_login::authorize), directory(os_login::certificates));
    let sessions = Sessions::new(reader.clone());
    let continue_session = Arc::new(ContinueSession(sessions.clone()));
    vec![
        // matchit's catch-all does not match an empty rest.
        ("/computeMetadata/v1/", published.clone()),
        ("/computeMetadata/v1/{*path}", published),
        ("/computeMetadata/v1/instance/gce-workload-certificates/config-status", status.clone()),
        ("/computeMetadata/v1/instance/gce-workload-certificates/trust-anchors", anchors.clone()),
        ("/computeMetadata/v1/instance/gce-workload-certificates/workload-identities", identities.clone()),
        ("/computeMetadata/v1/instance/guest-attributes/", guest_attributes.clone()),
        ("/computeMetadata/v1/instance/guest-attributes/{*path}", guest_attributes),
        ("/computeMetadata/v1/instance/service-accounts/{account}/identity", Arc::new(id_tokens)),
        ("/computeMetadata/v1/instance/service-accounts/{account}/token", Arc::new(access_tokens)),
        ("/computeMetadata/v1/instance/upcoming-maintenance", Arc::new(maintenance)),
        ("/computeMetadata/v1/instance/workload-certificates-config-status", status),
        ("/computeMetadata/v1/instance/workload-identities", identities),
        ("/computeMetadata/v1/instance/workload-trusted-root-certs", anchors),
        ("/computeMetadata/v1/oslogin/authenticate/sessions/start", Arc::new(StartSession(sessions))),
        ("/computeMetadata/v1/oslogin/authenticate/sessions/{session}/continue", continue_session),
        ("/computeMetadata/v1/oslogin/authorize", authorize),
        ("/computeMetadata/v1/oslogin/certificates", authorities),
        ("/computeMetadata/v1/oslogin/groups", groups),
        ("/computeMetadata/v1/oslogin/users", users),
    ]
}

/// The listings that stand above `v1`, and the older APIs, which lead to it.
pub(crate) fn above(
    reader: &Reader,
    tokens: &TokenSources,
    options: &RouterOptions,
) -> Vec<(&'static str, Arc<dyn Endpoint>)> {
    let acquire: Arc<dyn Endpoint> = Arc::new(Tokens::new(Acquire, reader.clone(), tokens.access.clone()));
    let own = Router::of([(ACQUIRE, acquire)]);
    let older = Arc::new(Legacy::new(options.legacy_endpoints, reader.clone(), own));
    vec![
        ("/", Arc::new(StaticListing::new("0.1/\ncomputeMetadata/\n"))),
        ("/computeMetadata", Arc::new(StaticListing::new(""))),
        ("/computeMetadata/", Arc::new(StaticListing::new("v1/\nv1beta1/\n"))),
        ("/computeMetadata/v1", Arc::new(StaticListing::new(""))),
        ("/computeMetadata/v1beta1", older.clone()),
        ("/computeMetadata/v1beta1/", older.clone()),
        ("/computeMetadata/v1beta1/{*path}", older.clone()),
        ("/0.1", older.clone()),
        ("/0.1/", older.clone()),
        ("/0.1/{*path}", older),
    ]
}

/// What a path names below `/computeMetadata/v1/`, whichever API it goes by.
///
/// ```
/// use gce_metadata_layers::MetadataPath;
/// use gce_metadata_routes::below_v1;
///
/// for path in ["/computeMetadata/v1/instance/id", "/computeMetadata/v1beta1/instance/id", "/0.1/meta-data/instance-id"] {
///     assert_eq!(below_v1(&MetadataPath::new(path)).as_deref(), Some("instance/id"));
/// }
/// assert_eq!(below_v1(&MetadataPath::new("/0.1/")), None);
/// ```
pub fn below_v1<'a>(path: &'a MetadataPath<'_>) -> Option<Cow<'a, str>> {
    path.below(PREFIX).map(Cow::Borrowed).or_else(|| legacy::below_v1(path).map(Cow::Owned))
}
