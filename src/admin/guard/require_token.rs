//! Requires the bearer token of the admin API.

use super::{Guard, Head};
use crate::admin::page;
use crate::admin::problem::Problem;
use crate::admin::router::HEALTH;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use gce_metadata_support::Secret;
use http::{HeaderValue, StatusCode, header};

/// Requires this token, except for the health check and the files of the page, which have no data. Without a token, every client is allowed.
#[derive(Debug)]
pub(in crate::admin) struct RequireToken(Option<Secret>);

impl RequireToken {
    pub(in crate::admin) fn new(token: Option<Secret>) -> Self {
        Self(token)
    }
}

impl Guard for RequireToken {
    fn check(&self, request: &Head<'_>) -> Result<(), Problem> {
        let path = request.uri.path();
        let is_public = path == HEALTH || page::is_file(path);
        let Some(token) = self.0.as_ref().filter(|_| !is_public) else { return Ok(()) };
        let given = request.headers.get(header::AUTHORIZATION).and_then(|header| bearer(header.as_bytes()));
        // In constant time, so that the time of an answer does not tell how much of the token is right.
        if given.is_some_and(|given| verify_slices_are_equal(given, token.expose().as_bytes()).is_ok()) {
            return Ok(());
        }
        let problem =
            Problem::new(StatusCode::UNAUTHORIZED, "the admin token is missing or wrong: Authorization: Bearer TOKEN");
        Err(problem.header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
    }
}

/// The token in `Authorization`. The name of the scheme has any case.
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"Bearer ";
    let (scheme, token) = authorization.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::super::status;
    use super::*;
    use http::Request;

    #[test]
    fn the_token_is_required_except_for_health_and_the_files_of_the_page() {
        let guard = RequireToken::new(Some("made-up".to_owned().into()));
        let with = |path: &str, value: &str| {
            status(&guard, Request::get(path).header("authorization", value).body("").unwrap())
        };
        for right in ["Bearer made-up", "bearer made-up"] {
            assert_eq!(with("/__admin/metadata", right), 200);
        }
        for wrong in ["Bearer made-u", "Bearer made-up2", "Bearer ", "Basic made-up", "made-up", ""] {
            assert_eq!(with("/__admin/metadata", wrong), 401, "{wrong}");
        }
        assert_eq!((with(HEALTH, ""), with("/", ""), with("/page.js", "")), (200, 200, 200));
        assert_eq!(status(&RequireToken::new(None), Request::get("/__admin/metadata").body("").unwrap()), 200);
        assert!(!format!("{guard:?}").contains("made-up"));
    }
}
