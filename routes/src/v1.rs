//! The table of routes.
//!
//! Each route is for an endpoint that computes a value, takes writes, or answers a path for which the tree has no node, or for a directory
//! above `/computeMetadata/v1/`. The nodes of the tree need no routes: the tree answers every other path below v1.

use crate::endpoint::os_login::{self, ContinueSession, OsLoginQuery, Sessions, StartSession};
use crate::endpoint::{
    Access, Acquire, Endpoint, Identity, StaticListing, Tokens, TreeEndpoint, UpcomingMaintenance, V01_VALUES,
    V01Listing, V01Value, WorkloadCertificates, WritableAttributes,
};
use crate::options::RouterOptions;
use crate::paths::{self, v1_path};
use crate::snapshot::Publisher;
use crate::token::TokenSources;
use std::sync::Arc;

/// The paths that the tree answers. matchit's catch-all does not match an empty rest.
pub(crate) const TREE: [&str; 2] = [v1_path!(""), v1_path!("{*path}")];

/// The endpoint of all paths below v1 without a route.
pub(crate) fn tree(publisher: &Publisher) -> Arc<dyn Endpoint> {
    Arc::new(TreeEndpoint::new(publisher.reader()))
}

/// All routes: each path and its endpoint.
pub(crate) fn routes(
    publisher: &Publisher,
    tokens: &TokenSources,
    options: &RouterOptions,
) -> Vec<(&'static str, Arc<dyn Endpoint>)> {
    let reader = publisher.reader();
    let tree = Arc::new(TreeEndpoint::new(reader.clone()));
    let access_tokens = Tokens::new(Access, reader.clone(), tokens.access.clone());
    let acquire = Tokens::new(Acquire, reader.clone(), tokens.access.clone());
    let id_tokens = Tokens::new(Identity::new(), reader.clone(), tokens.id.clone());
    let guest_attributes = WritableAttributes::new(publisher.clone(), options.save_guest_attributes.clone());
    let maintenance = UpcomingMaintenance::new(reader.clone(), options.no_maintenance.clone());
    let certificates = |names| -> Arc<dyn Endpoint> { Arc::new(WorkloadCertificates::new(reader.clone(), names)) };
    let guest_attributes = Arc::new(guest_attributes);
    let (status, anchors, identities) = (
        certificates(["gce-workload-certificates/config-status", "workload-certificates-config-status"]),
        certificates(["gce-workload-certificates/trust-anchors", "workload-trusted-root-certs"]),
        certificates(["gce-workload-certificates/workload-identities", "workload-identities"]),
    );
    let os_login =
        |query| -> Arc<dyn Endpoint> { Arc::new(OsLoginQuery::new(reader.clone(), Arc::clone(&tree), query)) };
    let (users, groups) = (os_login(os_login::users), os_login(os_login::groups));
    let (authorize, authorities) = (os_login(os_login::authorize), os_login(os_login::certificates));
    let sessions = Sessions::new(reader.clone());
    let missing_slash = StaticListing::shared("");
    // Since GCE has shut the older APIs down, it does not list them.
    let (root, apis) = match options.legacy_endpoints {
        true => ("0.1/\ncomputeMetadata/\n", "v1/\nv1beta1/\n"),
        false => ("computeMetadata/\n", "v1/\n"),
    };
    let continue_session = Arc::new(ContinueSession(sessions.clone()));
    let mut routes: Vec<(_, Arc<dyn Endpoint>)> = vec![
        (v1_path!("instance/gce-workload-certificates/config-status"), status.clone()),
        (v1_path!("instance/gce-workload-certificates/trust-anchors"), anchors.clone()),
        (v1_path!("instance/gce-workload-certificates/workload-identities"), identities.clone()),
        (v1_path!("instance/guest-attributes/"), guest_attributes.clone()),
        (v1_path!("instance/guest-attributes/{*path}"), guest_attributes),
        (v1_path!("instance/service-accounts/{account}/identity"), Arc::new(id_tokens)),
        (v1_path!("instance/service-accounts/{account}/token"), Arc::new(access_tokens)),
        (v1_path!("instance/upcoming-maintenance"), Arc::new(maintenance)),
        (v1_path!("instance/workload-certificates-config-status"), status),
        (v1_path!("instance/workload-identities"), identities),
        (v1_path!("instance/workload-trusted-root-certs"), anchors),
        (v1_path!("oslogin/authenticate/sessions/start"), Arc::new(StartSession(sessions))),
        (v1_path!("oslogin/authenticate/sessions/{session}/continue"), continue_session),
        (v1_path!("oslogin/authorize"), authorize),
        (v1_path!("oslogin/certificates"), authorities),
        (v1_path!("oslogin/groups"), groups),
        (v1_path!("oslogin/users"), users),
        ("/", StaticListing::shared(root)),
        ("/computeMetadata", missing_slash.clone()),
        ("/computeMetadata/", StaticListing::shared(apis)),
        (paths::V1, missing_slash.clone()),
        // The rest of the older APIs is resolved to paths of v1.
        ("/computeMetadata/v1beta1", missing_slash.clone()),
        ("/0.1", missing_slash.clone()),
        ("/0.1/", StaticListing::shared("meta-data/\n")),
        ("/0.1/meta-data", missing_slash),
        ("/0.1/meta-data/", Arc::new(V01Listing::new(reader.clone()))),
        ("/0.1/meta-data/service-accounts/{account}/acquire", Arc::new(acquire)),
    ];
    for (path, build) in V01_VALUES {
        routes.push((path, Arc::new(V01Value::new(reader.clone(), build))));
    }
    routes
}
