//! `POST /__admin/requests/verify`: waits until the expected requests were received, with MockServer's semantics.

use super::call::{Call, JSON, Outcome, with_type};
use super::near_misses::json_of;
use super::problem::Problem;
use crate::journal::{Times, Verification, near_misses, nearest_keys_of};
use http::StatusCode;
use serde_json::{Value, json};

/// `POST`: 202 if the expectation holds, 406 if not.
pub(super) async fn post(call: Call) -> Outcome {
    let verification = Verification::parse(&call.json::<Value>()?, "").map_err(Problem::wrong_pattern)?;
    let Some(journal) = &call.admin.journal else {
        return Err(Problem::unprocessable("the journal is off: --journal-entries is 0"));
    };
    let expectation = &verification.expectation;
    match expectation.wait(journal, verification.timeout).await {
        Ok(matching) => {
            let body = json!({"count": matching.len()}).to_string();
            Ok(with_type(StatusCode::ACCEPTED, JSON, body))
        }
        Err(unmet) => {
            let pattern = expectation.pattern();
            let snapshot = call.admin.vm.reader().snapshot();
            let near = json_of(&near_misses(pattern, &journal.entries()), pattern, snapshot.tree());
            let expected = json!({"request": pattern.json(), "times": times_json(expectation.times())});
            let mut problem = Problem::new(StatusCode::NOT_ACCEPTABLE, unmet.summary())
                .member("count", unmet.count())
                .member("expectation", expected)
                .member("nearMisses", near);
            if let Some(keys) = nearest_keys_of(snapshot.tree(), pattern) {
                problem = problem.member("metadataServer", json!({"nearestKeys": keys}));
            }
            Err(problem)
        }
    }
}

fn times_json(times: Times) -> Value {
    let mut json = json!({"atLeast": times.at_least()});
    if let Some(at_most) = times.at_most() {
        json["atMost"] = at_most.into();
    }
    json
}
