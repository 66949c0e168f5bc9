//! Expectations in JSON: the body that the admin API's `verify` takes, and lists of such bodies.

use super::expectation::Expectation;
use super::times::Times;
use crate::json_pointer::{child, of_path};
use crate::request_pattern::{Pattern, PatternError};
use serde::Deserialize;
use serde_json::Value;
use std::str::FromStr;
use std::time::Duration;

/// An expectation, and how long to wait until it holds.
#[derive(Debug, Clone)]
pub(crate) struct Verification {
    pub(crate) expectation: Expectation,
    pub(crate) timeout: Duration,
}

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

impl Verification {
    /// The longest `timeout`.
    pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(60);

    /// Parses a body; `pointer` is its place in the document.
    pub(crate) fn parse(body: &Value, pointer: &str) -> Result<Self, PatternError> {
        let parsed = serde_path_to_error::deserialize(body).map_err(|error| {
            PatternError::new(format!("{pointer}{}", of_path(error.path())), error.inner().to_string())
        });
        let Document { request, times, timeout } = parsed?;
        let pattern = match request {
            Some(request) => Pattern::parse(&request, &child(pointer, "request"))?,
            None => Pattern::any(),
        };
        let times = times.map_or(Ok(Times::from(1..)), |times| times.checked(&child(pointer, "times")))?;
        let timeout = Duration::from_millis(timeout);
        if timeout > Self::MAX_TIMEOUT {
            let detail = format!("at most {} milliseconds are possible", Self::MAX_TIMEOUT.as_millis());
            return Err(PatternError::new(child(pointer, "timeout"), detail));
        }
        Ok(Self { expectation: Expectation::new(pattern, times), timeout })
    }
}

impl TimesDocument {
    fn checked(self, pointer: &str) -> Result<Times, PatternError> {
        let at_least = self.at_least.unwrap_or(if self.at_most.is_some() { 0 } else { 1 });
        match self.at_most {
            Some(at_most) if at_most < at_least => {
                Err(PatternError::new(child(pointer, "atMost"), "atMost is smaller than atLeast"))
            }
            Some(at_most) => Ok(Times::from(at_least..=at_most)),
            None => Ok(Times::from(at_least..)),
        }
    }
}

/// Expectations from JSON: a list of the bodies that the admin API's `verify` takes. `timeout` has no effect.
///
/// ```
/// use gce_metadata_server::{Expectations, Server};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let expected: Expectations = r#"[{"request": {"path": "instance/id"}, "times": {"atMost": 2}}]"#.parse()?;
/// let server = Server::builder().simulate().start().await?;
/// server.requests().verify(&expected)?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Expectations(pub(super) Vec<Expectation>);

/// Why a text is no list of expectations. The `Display` text has the line and column, or the JSON pointer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExpectationsError {
    /// The text is not JSON.
    // The text of serde_json ends with the place.
    #[error("not JSON: {0}")]
    NotJson(serde_json::Error),
    /// The JSON is no list.
    #[error("a list of expectations is expected, such as [{{\"request\": {{\"path\": \"instance/id\"}}}}]")]
    NotAList,
    /// An expectation can't be used.
    #[error("{0}")]
    Invalid(PatternError),
}

impl FromStr for Expectations {
    type Err = ExpectationsError;

    fn from_str(text: &str) -> Result<Self, ExpectationsError> {
        let list: Value = serde_json::from_str(text).map_err(ExpectationsError::NotJson)?;
        let list = list.as_array().ok_or(ExpectationsError::NotAList)?;
        let parse = |(index, body)| Verification::parse(body, &format!("/{index}")).map(|parsed| parsed.expectation);
        let parsed = list.iter().enumerate().map(parse).collect::<Result<_, _>>();
        parsed.map(Self).map_err(ExpectationsError::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_in_a_list_name_their_place() {
        let error = |text: &str| text.parse::<Expectations>().unwrap_err().to_string();
        for (text, expected) in [
            ("[\n  {,\n]", "not JSON: key must be a string at line 2 column 4"),
            ("{}", "a list of expectations is expected, such as [{\"request\": {\"path\": \"instance/id\"}}]"),
            (r#"[{}, {"request": {"urlPath": 1}}]"#, "/1/request/urlPath: a string is expected"),
            (r#"[{"times": {"atLeast": 2, "atMost": 1}}]"#, "/0/times/atMost: atMost is smaller than atLeast"),
            (r#"[{"timeout": 60001}]"#, "/0/timeout: at most 60000 milliseconds are possible"),
        ] {
            assert_eq!(error(text), expected);
        }
        assert!(error(r#"[{"times": {"exactly": 1}}]"#).starts_with("/0/times/exactly: unknown field `exactly`"));
        assert!(error("[1]").starts_with("/0: invalid type"), "{}", error("[1]"));
    }

    #[test]
    fn a_list_may_be_empty_and_an_expectation_is_at_least_one_request() {
        assert!("[]".parse::<Expectations>().unwrap().0.is_empty());
        let one = "[{}]".parse::<Expectations>().unwrap();
        assert_eq!((one.0[0].times(), one.0.len()), (Times::from(1..), 1));
    }
}
