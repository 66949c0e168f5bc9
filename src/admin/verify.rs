//! `POST /__admin/requests/verify`: waits until the expected requests were received, with MockServer's semantics.

use super::call::{Call, JSON, Outcome, with_type};
use super::near_misses::{json_of, keys_of};
use super::problem::Problem;
use crate::journal::{Expectation, Times, near_misses};
use crate::request_pattern::Pattern;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// The longest `timeout`.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    #[serde(default)]
    request: Option<Value>,
    #[serde(default)]
    times: Option<TimesDocument>,
    /// Milliseconds.
    #[serde(default)]
    timeout: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TimesDocument {
    at_least: Option<usize>,
    at_most: Option<usize>,
}

/// `POST`: 202 if the expectation holds, 406 if not.
pub(super) async fn post(call: Call) -> Outcome {
    let Document { request, times, timeout } = call.json()?;
    let pattern = match request {
        Some(request) => Pattern::parse(&request, "/request").map_err(Problem::wrong_pattern)?,
        None => Pattern::any(),
    };
    let times = times.map_or(Ok(Times::from(1..)), TimesDocument::checked)?;
    let timeout = Duration::from_millis(timeout);
    if timeout > MAX_TIMEOUT {
        let detail = format!("at most {} milliseconds are possible", MAX_TIMEOUT.as_millis());
        return Err(Problem::unprocessable(detail).at("/timeout"));
    }
    let Some(journal) = &call.admin.journal else {
        return Err(Problem::unprocessable("the journal is off: --journal-entries is 0"));
    };
    let expectation = Expectation::new(pattern, times);
    match expectation.wait(journal, timeout).await {
        Ok(matching) => {
            let body = json!({"count": matching.len()}).to_string();
            Ok(with_type(StatusCode::ACCEPTED, JSON, body))
        }
        Err(unmet) => {
            let pattern = expectation.pattern();
            let snapshot = call.admin.vm.reader().snapshot();
            let near = json_of(&near_misses(pattern, &journal.entries()), pattern, snapshot.tree());
            let expected = json!({"request": pattern.json(), "times": times_json(times)});
            let mut problem = Problem::new(StatusCode::NOT_ACCEPTABLE, unmet.summary())
                .member("count", unmet.count())
                .member("expectation", expected)
                .member("nearMisses", near);
            if let Some(keys) = keys_of(snapshot.tree(), pattern) {
                problem = problem.member("metadataServer", json!({"nearestKeys": keys}));
            }
            Err(problem)
        }
    }
}

impl TimesDocument {
    fn checked(self) -> Result<Times, Problem> {
        let at_least = self.at_least.unwrap_or(if self.at_most.is_some() { 0 } else { 1 });
        match self.at_most {
            Some(at_most) if at_most < at_least => {
                Err(Problem::unprocessable("atMost is smaller than atLeast").at("/times/atMost"))
            }
            Some(at_most) => Ok(Times::from(at_least..=at_most)),
            None => Ok(Times::from(at_least..)),
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
