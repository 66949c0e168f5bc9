//! A request to the admin API as the resources see it, and their answers.

use super::Admin;
use super::problem::Problem;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use tower::BoxError;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A request whose route was found and whose body was read.
pub(super) struct Call {
    pub(super) admin: Arc<Admin>,
    /// The value of the route's parameter, percent-decoded; empty if it has none.
    pub(super) parameter: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The body of an answer: bytes, or a stream.
pub(super) type AdminBody = UnsyncBoxBody<Bytes, BoxError>;

pub(super) type Answer = Response<AdminBody>;

pub(super) type Outcome = Result<Answer, Problem>;

/// Answers a call.
pub(super) type Handler = fn(Call) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

impl Call {
    /// The body as JSON of this type.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let value: Value = serde_json::from_slice(&self.body).map_err(|error| Problem::not_json(&error))?;
        serde_path_to_error::deserialize(value).map_err(|error| Problem::wrong_member(&error))
    }

    /// The body as JSON; an empty one is an empty object.
    pub(super) fn value(&self) -> Result<Value, Problem> {
        if self.body.is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        serde_json::from_slice(&self.body).map_err(|error| Problem::not_json(&error))
    }

    /// The value of a query parameter, parsed; `None` without it.
    pub(super) fn parameter_of<T: FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>, Problem> {
        let Some((_, value)) = self.query.iter().find(|(known, _)| known == name) else { return Ok(None) };
        let wrong = |_| Problem::bad_request(format!("query parameter {name}: expected {expected}"));
        value.parse().map(Some).map_err(wrong)
    }

    /// Whether the body is of the type `text/plain`.
    pub(super) fn is_text(&self) -> bool {
        self.media_type().is_some_and(|name| name.eq_ignore_ascii_case("text/plain"))
    }

    fn media_type(&self) -> Option<&str> {
        media_type(&self.headers)
    }

    /// Whether a query parameter is true. Without a value it is.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()) {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(_) => Err(Problem::bad_request(format!("query parameter {name}: expected true or false"))),
        }
    }
}

/// The media type in `Content-Type`, without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    Some(content_type.split(';').next().unwrap_or(content_type).trim())
}

/// 200 with JSON.
pub(super) fn json(value: &impl Serialize) -> Outcome {
    let body = serde_json::to_vec(value).map_err(|error| Problem::internal(&error))?;
    Ok(with_type(StatusCode::OK, JSON, body))
}

pub(super) fn with_type(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(full(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
    answer
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(full(Bytes::new()));
    *answer.status_mut() = status;
    answer
}

fn full(bytes: Bytes) -> AdminBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}
