//! Errors of the admin API: problem details (RFC 9457), which also have WireMock's list of errors.

use super::call::{Answer, with_type};
use crate::faults::FaultError;
use crate::json_pointer;
use crate::request_pattern::PatternError;
use crate::server::ReadinessError;
use gce_metadata_routes::EditError;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use std::error::Error;

pub(super) const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The media types of a PATCH.
const PATCHES: HeaderValue = HeaderValue::from_static("application/merge-patch+json, application/json");

/// WireMock's codes of errors: 10 for a request that can't be processed, 50 for an internal error.
const INVALID: u8 = 10;
const INTERNAL: u8 = 50;

/// An error answer.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    /// JSON pointer of the member of the body that is wrong.
    pointer: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Further members.
    members: Map<String, Value>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), pointer: None, headers: Vec::new(), members: Map::new() }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 400: the body does not parse.
    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        // serde_json's text ends with the place.
        let mut problem = Self::bad_request(format!("the body is not JSON: {error}"));
        problem.members.extend([("line".into(), error.line().into()), ("column".into(), error.column().into())]);
        problem
    }

    /// 422: a member of the body has a wrong name, type or value.
    pub(super) fn wrong_member(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        Self::unprocessable(error.inner().to_string()).at(json_pointer::of_path(error.path()))
    }

    /// 422: a request pattern can't be used.
    pub(super) fn wrong_pattern(error: PatternError) -> Self {
        Self::unprocessable(error.detail).at(error.pointer)
    }

    /// 405: the path has other methods.
    pub(super) fn method_not_allowed(allowed: &str) -> Self {
        let value = HeaderValue::from_str(allowed).unwrap_or(HeaderValue::from_static("GET"));
        Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("this path has the methods {allowed}"))
            .header(header::ALLOW, value)
    }

    /// 415: the body has another media type.
    pub(super) fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
    }

    /// Names the media types of a patch.
    pub(super) fn with_accept_patch(self) -> Self {
        self.header(HeaderName::from_static("accept-patch"), PATCHES)
    }

    /// 500, logged with its cause, which the answer does not have.
    pub(super) fn internal(error: &dyn Error) -> Self {
        tracing::error!("the admin API failed: {error}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "an error in the server; the log has its cause")
    }

    /// 500: the server's readiness could not be changed.
    pub(super) fn unready(error: ReadinessError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }

    /// Leaves out a text that may quote a value of the body, which may be a secret.
    pub(super) fn without_values(self) -> Self {
        let is_about_names = ["unknown field", "missing field"].iter().any(|text| self.detail.starts_with(text));
        let is_syntax = self.status == StatusCode::BAD_REQUEST;
        if is_about_names || is_syntax {
            return self;
        }
        Self { detail: "a member has a wrong type or value".to_owned(), ..self }
    }

    /// Names the member of the body that is wrong, by a JSON pointer.
    pub(super) fn at(self, pointer: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), ..self }
    }

    /// Adds a member to the document.
    pub(super) fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn into_answer(self) -> Answer {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let code = if self.status.is_server_error() { INTERNAL } else { INVALID };
        let mut error = json!({"code": code, "title": title, "detail": self.detail});
        if let Some(pointer) = &self.pointer {
            error["source"] = json!({"pointer": pointer});
        }
        let mut body = json!({
            "type": "about:blank",
            "title": title,
            "status": self.status.as_u16(),
            "detail": self.detail,
            "errors": [error],
        });
        if let Value::Object(body) = &mut body {
            body.extend(self.members);
        }
        let mut answer = with_type(self.status, PROBLEM, body.to_string());
        answer.headers_mut().extend(self.headers.into_iter().map(|(name, value)| (Some(name), value)));
        answer
    }
}

impl From<FaultError> for Problem {
    fn from(error: FaultError) -> Self {
        Self::unprocessable(error.detail).at(error.pointer)
    }
}

impl From<EditError> for Problem {
    fn from(error: EditError) -> Self {
        let status = match &error {
            EditError::NotFound { .. } => StatusCode::NOT_FOUND,
            EditError::Unfit { .. } | EditError::TooDeep { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            // The path can't hold the value.
            _ => StatusCode::CONFLICT,
        };
        Self::new(status, error.to_string())
    }
}
