//! Signals of changes for the long polls of a router.

use super::Router;
use crate::paths::V1;
use crate::snapshot::PathSubscription;
use gce_metadata_layers::MetadataPath;
use gce_metadata_layers::wait_for_change::Changes;
use http::Uri;

/// Signals changes to the long polls of a [`Router`]: [`Router::changes`].
#[derive(Debug, Clone)]
pub struct RouterChanges(Router);

impl Router {
    /// The signals for a [`WaitForChangeLayer`](gce_metadata_layers::WaitForChangeLayer) around the router. A request for a node of the
    /// tree is woken by the changes of this node, any other request by each change.
    pub fn changes(&self) -> RouterChanges {
        RouterChanges(self.clone())
    }
}

impl Changes for RouterChanges {
    type Subscription = PathSubscription;

    fn subscribe(&self, uri: &Uri) -> PathSubscription {
        let path = MetadataPath::new(uri.path());
        // The tree answers the paths below v1 without a route. Those of the older APIs are not below v1: an attribute disables them.
        let node = path.below(V1).filter(|_| self.0.inner.routes.at(path.as_str()).is_err());
        self.0.inner.reader.subscribe(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::{Call, Endpoint, Reply};
    use crate::snapshot::is_signalled;
    use crate::{Metadata, Publisher, RouterOptions, TokenSources};
    use gce_metadata_layers::Rejection;

    struct Mine;

    impl Endpoint for Mine {
        fn call(&self, _: Call<'_>) -> Reply {
            Err(Rejection::NotFound).into()
        }
    }

    #[test]
    fn only_long_polls_for_nodes_of_the_tree_ignore_other_changes() {
        let publisher = Publisher::new(Metadata::sample().tree());
        let options = RouterOptions { legacy_endpoints: true, ..RouterOptions::default() };
        let router = Router::with_options(publisher.clone(), TokenSources::default(), options);
        let changes = router.with_route("/computeMetadata/v1/instance/mine", Mine).unwrap().changes();
        let v1 = |path: &str| format!("/computeMetadata/v1/{path}?wait_for_change=true");
        for (target, ignores) in [
            (v1("instance/attributes/"), true),
            (v1("instance//id"), true),
            (v1("project/project-id"), false),
            (v1("project/"), false),
            (v1(""), false),
            (v1("instance/guest-attributes/"), false),
            (v1("instance/mine"), false),
            (v1("instance/service-accounts/default/token"), false),
            ("/computeMetadata/v1beta1/instance/id".to_owned(), false),
            ("/0.1/meta-data/instance-id".to_owned(), false),
            ("/".to_owned(), false),
        ] {
            let mut subscription = changes.subscribe(&target.parse().unwrap());
            publisher.set("project/project-id", target.as_str()).unwrap();
            assert_eq!(!is_signalled(&mut subscription), ignores, "{target}");
        }
    }
}
