//! Refuses requests whose `Host` is a DNS name, which stops DNS rebinding.

use super::{Guard, Head};
use crate::admin::problem::Problem;
use gce_metadata_layers::AllowedHosts;
use http::header;

/// Allows these hosts. A request of HTTP/1.0 may have no `Host`.
#[derive(Debug)]
pub(in crate::admin) struct RequireAdminHost(AllowedHosts);

impl RequireAdminHost {
    pub(in crate::admin) fn new(hosts: AllowedHosts) -> Self {
        Self(hosts)
    }
}

impl Guard for RequireAdminHost {
    fn check(&self, request: &Head<'_>) -> Result<(), Problem> {
        let host = match request.uri.authority() {
            Some(authority) => authority.as_str().as_bytes(),
            None => request.headers.get(header::HOST).map_or(&b""[..], |host| host.as_bytes()),
        };
        match std::str::from_utf8(host) {
            Ok(host) if host.is_empty() || self.0.allows(host) => Ok(()),
            _ => Err(Problem::forbidden(
                "the Host header has a name that is not allowed: a web page could have sent this request (DNS rebinding); use \
                 an IP address or localhost, or allow the name with --admin-host",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::status;
    use super::*;
    use http::Request;

    #[test]
    fn only_addresses_localhost_and_given_names_are_allowed() {
        let guard = RequireAdminHost::new(AllowedHosts::addresses().allow("metadata-admin").unwrap());
        let host = |host: &str| status(&guard, Request::get("/").header("host", host).body("").unwrap());
        for allowed in ["127.0.0.1:9001", "[::1]:9001", "localhost", "LOCALHOST:9001", "metadata-admin:9001", ""] {
            assert_eq!(host(allowed), 200, "{allowed}");
        }
        for refused in
            ["rebound.example.com:9001", "metadata", "other", "a.localhost", "vm.internal", "metadata.google.internal"]
        {
            assert_eq!(host(refused), 403, "{refused}");
        }
        assert_eq!(status(&guard, Request::get("/").body("").unwrap()), 200, "HTTP/1.0");
        assert_eq!(status(&guard, Request::get("http://rebound.example.com/").body("").unwrap()), 403);
    }
}
