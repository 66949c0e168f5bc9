//! How often GCE answers those of its endpoints that cost it something.
//!
//! Of the numbers only those of guest attributes are documented: 10 a minute, 3 a second. For tokens the documents speak of
//! 50 a second, and only of those that don't come from the cache; identity tokens and OS Login get the same.

use gce_metadata_layers::{MetadataPath, RateLimit, RateLimits};
use gce_metadata_routes::below_v1;
use std::num::NonZeroU32;
use std::sync::Arc;

const GUEST_ATTRIBUTES: &str = "instance/guest-attributes/";
const OS_LOGIN: &str = "oslogin/";
const SERVICE_ACCOUNTS: &str = "instance/service-accounts/";

/// The limits of one server.
#[derive(Debug)]
pub(crate) struct EndpointLimits {
    guest_attributes: RateLimit,
    identity: RateLimit,
    os_login: RateLimit,
    /// Access tokens that had to be made. No path tells them from the others, so their source looks here.
    pub(crate) uncached_tokens: Arc<RateLimit>,
}

impl EndpointLimits {
    /// Those of GCE.
    pub(crate) fn of_gce() -> Self {
        let per_second = |number| RateLimit::per_second(times(number));
        Self {
            guest_attributes: per_second(3).and_per_minute(times(10)),
            identity: per_second(50),
            os_login: per_second(50),
            uncached_tokens: Arc::new(per_second(50)),
        }
    }
}

/// A number of times, which is not zero.
#[expect(clippy::expect_used, reason = "the limits are constants")]
fn times(times: u32) -> NonZeroU32 {
    NonZeroU32::new(times).expect("a limit is not zero")
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
    async fn what_costs_something_is_limited_and_the_rest_is_free() {
        let limits = EndpointLimits::of_gce();
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
    async fn guest_attributes_have_three_a_second_and_ten_a_minute() {
        let limits = EndpointLimits::of_gce();
        let mut admitted = 0;
        for _ in 0..10 {
            admitted += (0..10).filter(|_| limits.guest_attributes.admits()).count();
            tokio::time::advance(std::time::Duration::from_millis(500)).await;
        }
        assert_eq!(admitted, 10);
    }
}
