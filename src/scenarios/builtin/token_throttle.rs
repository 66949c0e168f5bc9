//! A rate limit on tokens: requests for them are answered 429, and all others as usual.

use super::BuiltIn;
use super::token_outage::{FOR, TIMES, refused};

pub(super) const SCENARIO: BuiltIn = BuiltIn {
    name: "token-throttle",
    description: "Requests for tokens are answered 429",
    parameters: &[FOR, TIMES],
    states: |given, _| Ok(refused("Throttled", 429, given)),
};
