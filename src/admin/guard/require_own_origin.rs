//! Refuses requests that a browser sends for a page of another site.

use super::{Guard, Head};
use crate::admin::page;
use crate::admin::problem::Problem;
use http::header;

const CROSS_SITE: &[u8] = b"cross-site";

/// Allows requests without `Origin`, and those whose `Origin` is this server by the name in `Host`. A link of another site may open the
/// page, which shows that site nothing.
#[derive(Debug)]
pub(in crate::admin) struct RequireOwnOrigin;

impl Guard for RequireOwnOrigin {
    fn check(&self, request: &Head<'_>) -> Result<(), Problem> {
        let host = request.headers.get(header::HOST).map_or(&b""[..], |host| host.as_bytes());
        let is_own =
            |origin: &[u8]| origin.strip_prefix(b"http://").is_some_and(|origin| origin.eq_ignore_ascii_case(host));
        if request.headers.get_all(header::ORIGIN).iter().any(|origin| !is_own(origin.as_bytes())) {
            return Err(Problem::forbidden("the Origin header names another site: a page of it must not use this API"));
        }
        let is = |name: &str, value: &[u8]| request.headers.get_all(name).iter().any(|it| it.as_bytes() == value);
        let opens_page = page::is_file(request.uri.path()) && is("sec-fetch-mode", b"navigate");
        if is("sec-fetch-site", CROSS_SITE) && !opens_page {
            return Err(Problem::forbidden(
                "Sec-Fetch-Site is cross-site: a page of another site must not use this API",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::status;
    use super::*;
    use http::Request;

    #[test]
    fn requests_of_other_sites_are_refused() {
        let with = |name: &str, value: &str| {
            let request = Request::get("/").header("host", "127.0.0.1:9001").header(name, value);
            status(&RequireOwnOrigin, request.body("").unwrap())
        };
        assert_eq!(with("origin", "http://127.0.0.1:9001"), 200);
        for origin in ["http://127.0.0.1:3000", "https://127.0.0.1:9001", "http://www.example.com", "null"] {
            assert_eq!(with("origin", origin), 403, "{origin}");
        }
        assert_eq!(with("sec-fetch-site", "cross-site"), 403);
        for site in ["same-origin", "none"] {
            assert_eq!(with("sec-fetch-site", site), 200, "{site}");
        }
    }

    #[test]
    fn a_link_of_another_site_opens_the_page_and_nothing_else() {
        let linked = |path: &str, mode: &str| {
            let request = Request::get(path).header("host", "127.0.0.1:9001").header("sec-fetch-site", "cross-site");
            status(&RequireOwnOrigin, request.header("sec-fetch-mode", mode).body("").unwrap())
        };
        assert_eq!((linked("/", "navigate"), linked("/", "no-cors")), (200, 403));
        assert_eq!(linked("/__admin/metadata", "navigate"), 403);
    }
}
