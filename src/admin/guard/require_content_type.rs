//! Requires a media type that a page of another site can't send without the browser's asking this server first.

use super::{Guard, Head};
use crate::admin::call::media_type;
use crate::admin::problem::Problem;
use http::Method;

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const TEXT: &str = "text/plain";

/// Allows bodies in JSON, and in text for `PUT`. Requests without a body need no type, nor does `DELETE`, whose body is not read: some
/// clients send an empty body in chunks.
#[derive(Debug)]
pub(in crate::admin) struct RequireContentType;

impl Guard for RequireContentType {
    fn check(&self, request: &Head<'_>) -> Result<(), Problem> {
        let media_type = media_type(request.headers);
        let is = |name: &str| media_type.is_some_and(|it| it.eq_ignore_ascii_case(name));
        let is_patch = request.method == Method::PATCH;
        let needs_type = request.has_body && request.method != Method::DELETE;
        if !needs_type || is(JSON) || (is_patch && is(MERGE_PATCH)) || (request.method == Method::PUT && is(TEXT)) {
            return Ok(());
        }
        let given = media_type.unwrap_or("none");
        let problem = Problem::unsupported_media_type(match *request.method {
            Method::PATCH => {
                format!("the type of the body is {given}; a merge patch (RFC 7396) is {MERGE_PATCH} or {JSON}")
            }
            Method::PUT => format!("the type of the body is {given}; a value is {JSON}, or {TEXT} for a string"),
            _ => format!("the type of the body is {given}, not {JSON}"),
        });
        Err(if is_patch { problem.with_accept_patch() } else { problem })
    }
}

#[cfg(test)]
mod tests {
    use super::super::status;
    use super::*;
    use http::Request;

    fn with(method: Method, content_type: &str, body: &'static str) -> u16 {
        let request = Request::builder().method(method).header("content-type", content_type);
        status(&RequireContentType, request.body(body).unwrap())
    }

    #[test]
    fn bodies_are_json_or_for_put_text() {
        for method in [Method::PUT, Method::POST, Method::PATCH] {
            assert_eq!(with(method.clone(), "application/json; charset=utf-8", "{}"), 200);
            for refused in
                ["application/x-www-form-urlencoded", "multipart/form-data", "application/json-patch+json", ""]
            {
                assert_eq!(with(method.clone(), refused, "{}"), 415, "{method} {refused}");
            }
        }
        assert_eq!((with(Method::PUT, "text/plain", "a"), with(Method::POST, "text/plain", "a")), (200, 415));
        assert_eq!(with(Method::PATCH, MERGE_PATCH, "{}"), 200);
    }

    #[test]
    fn a_request_without_a_body_needs_no_type() {
        for method in [Method::DELETE, Method::POST, Method::GET] {
            assert_eq!(with(method, "text/html", ""), 200);
        }
        assert_eq!(with(Method::DELETE, "text/html", "ignored"), 200);
    }
}
