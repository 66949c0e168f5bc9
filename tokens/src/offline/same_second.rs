//! Makes identity tokens differ that are signed within one second. Their claims have whole seconds and RS256 is
//! deterministic, so a rotated token would equal the one before.

use gce_metadata_routes::token::IdTokenRequest;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Counts equal requests within the current second. Clones share the counts.
#[derive(Clone, Default)]
pub(super) struct SameSecond(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    second: u64,
    signed: HashMap<IdTokenRequest, u64>,
}

impl SameSecond {
    /// Returns how many equal requests came before this one in the same second. The token's `iat` is earlier by as many
    /// seconds: verifiers accept an earlier `iat`, and may refuse a later one.
    pub(super) fn count(&self, request: &IdTokenRequest, now: SystemTime) -> u64 {
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.second != second {
            *counts = Counts { second, signed: HashMap::new() };
        }
        let count = counts.signed.entry(request.clone()).or_default();
        *count += 1;
        *count - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_routes::ServiceAccount;
    use std::time::Duration;

    #[test]
    fn equal_requests_are_counted_within_a_second() {
        let request = |audience| IdTokenRequest::new(ServiceAccount::new("a", vec![], vec![]).into(), audience);
        let (counts, now) = (SameSecond::default(), UNIX_EPOCH + Duration::from_secs(1000));
        let later = now + Duration::from_secs(1);
        let counted = [("a", now), ("a", now), ("b", now), ("a", now), ("a", later)]
            .map(|(it, at)| counts.count(&request(it), at));
        assert_eq!(counted, [0, 1, 0, 2, 0]);
    }
}
