//! The rate limits of GCE's endpoints.
//!
//! Google documents the limits of guest attributes (10 a minute, 3 a second) and of access tokens that are not cached (50 a second).
//! Identity tokens and OS Login get the latter too.

use gce_metadata_layers::{MetadataPath, RateLimit, RateLimits};
use gce_metadata_routes::below_v1;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const GUEST_ATTRIBUTES: &str = "instance/guest-attributes/";
const OS_LOGIN: &str = "oslogin/";
const SERVICE_ACCOUNTS: &str = "instance/service-accounts/";

/// The limits of one server.
#[derive(Debug)]
pub(crate) struct EndpointLimits {
    guest_attributes: RateLimit,
    identity: RateLimit,
    os_login: RateLimit,
    /// Access tokens that are not cached. The path does not show that, so the token path enforces this limit.
    pub(crate) uncached_tokens: Arc<RateLimit>,
}

impl EndpointLimits {
    /// The limits of GCE.
    pub(crate) fn gce() -> Self {
        Self::switched_by(&Arc::new(AtomicBool::new(true)))
    }

    /// The limits of GCE, which are enforced only while the switch is true.
    pub(crate) fn switched_by(switch: &Arc<AtomicBool>) -> Self {
        let per_second = |number| RateLimit::per_second(non_zero(number)).switched_by(Arc::clone(switch));
        Self {
            guest_attributes: per_second(3).and_per_minute(non_zero(10)),
            identity: per_second(50),
            os_login: per_second(50),
            uncached_tokens: Arc::new(per_second(50)),
        }
    }
}

#[expect(clippy::expect_used, reason = "the limits are constants")]
fn non_zero(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("a limit is not zero")
}

impl RateLimits for EndpointLimits {
    fn of(&self, path: &MetadataPath<'_>) -> Option<(&RateLimit, &'static str)> {
        let rest = below_v1(path)?;
        if rest.starts_with(GUEST_ATTRIBUTES) {
            Some((&self.guest_attributes, "/computeMetadata/v1/instance/guest-attributes/"))
        } else if rest.starts_with(OS_LOGIN) {
            Some((&self.os_login, "/computeMetadata/v1/oslogin/"))
        } else if rest.starts_with(SERVICE_ACCOUNTS) && rest.ends_with("/identity") {
            Some((&self.identity, "/computeMetadata/v1/instance/service-accounts/"))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_expensive_endpoints_are_limited() {
        let limits = EndpointLimits::gce();
        let limit_of = |path| limits.of(&MetadataPath::new(path)).map(|(limit, _)| std::ptr::from_ref(limit));
        for (path, limit) in [
            ("/computeMetadata/v1/instance/guest-attributes/", Some(&limits.guest_attributes)),
            ("/computeMetadata/v1//instance/guest-attributes/a/b", Some(&limits.guest_attributes)),
            ("/computeMetadata/v1/oslogin/users", Some(&limits.os_login)),
            ("/computeMetadata/v1/instance/service-accounts/default/identity", Some(&limits.identity)),
            ("/computeMetadata/v1beta1/instance/service-accounts/default/identity", Some(&limits.identity)),
            ("/0.1/meta-data/service-accounts/default/identity", Some(&limits.identity)),
            ("/0.1/meta-data/attributes/identity", None),
            ("/computeMetadata/v1/instance/service-accounts/default/token", None),
            ("/computeMetadata/v1/instance/attributes/identity", None),
            ("/computeMetadata/v1/instance/id", None),
            ("/", None),
        ] {
            assert_eq!(limit_of(path), limit.map(std::ptr::from_ref), "{path}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn guest_attributes_are_limited_per_second_and_per_minute() {
        let limits = EndpointLimits::gce();
        let mut admitted = 0;
        for _ in 0..10 {
            admitted += (0..10).filter(|_| limits.guest_attributes.admits()).count();
            tokio::time::advance(std::time::Duration::from_millis(500)).await;
        }
        assert_eq!(admitted, 10);
    }
}
