//! The running server that a command talks to: `--url`, or the address in `GCE_METADATA_HOST`, or the default address.

use super::values::http_url;
use anyhow::Context;
use clap::Args;
use gce_metadata_server::Environment;
use http::Uri;
use http::uri::Authority;
use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

const HTTP: u16 = 80;

/// The option of commands that talk to a running server.
#[derive(Debug, Args)]
pub(crate) struct TargetOption {
    /// URL of the server, http://HOST:PORT [default: that of GCE_METADATA_HOST, or http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", value_parser = http_url)]
    url: Option<Target>,
}

impl TargetOption {
    /// The value of the option.
    pub(super) fn url(&self) -> Option<&Target> {
        self.url.as_ref()
    }

    /// The server that the option or the environment names.
    pub(super) fn target(&self, environment: &Environment) -> anyhow::Result<Target> {
        if let Some(target) = &self.url {
            return Ok(target.clone());
        }
        let Some(host) = environment.metadata_host.as_deref() else { return Ok(Target::default()) };
        Target::from_variable(host)
    }
}

/// The address of an HTTP server: `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// An IPv6 address is in brackets.
    host: String,
    port: u16,
}

/// The address of a server that is started without options.
impl Default for Target {
    fn default() -> Self {
        Self { host: "127.0.0.1".to_owned(), port: 8080 }
    }
}

impl Target {
    /// From the value of `GCE_METADATA_HOST`.
    pub(super) fn from_variable(host: &str) -> anyhow::Result<Self> {
        let target = Self::from_host(host);
        let shown = without_user(host);
        target.with_context(|| format!("environment variable GCE_METADATA_HOST: `{shown}` is not HOST or HOST:PORT"))
    }

    /// The fixed address of the metadata server on a VM.
    pub(super) fn link_local() -> Self {
        Self { host: "169.254.169.254".to_owned(), port: HTTP }
    }

    /// From the syntax of `GCE_METADATA_HOST`: a host, with or without a port.
    pub(super) fn from_host(host: &str) -> Option<Self> {
        let authority = Authority::from_str(host).ok().filter(|authority| !authority.as_str().contains('@'))?;
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" => HTTP,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        Some(Self { host: authority.host().to_owned(), port }).filter(|target| !target.host.is_empty())
    }

    /// From `http://HOST:PORT`, with or without a slash at the end.
    pub(super) fn from_url(url: &str) -> Option<Self> {
        let uri = Uri::from_str(url).ok().filter(|uri| uri.scheme_str() == Some("http"))?;
        let has_path = uri.path_and_query().is_some_and(|path| path.as_str() != "/");
        Self::from_host(uri.authority()?.as_str()).filter(|_| !has_path)
    }

    /// The host without brackets.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Whether the host is this machine's loopback interface, by its address or name.
    pub(super) fn is_loopback(&self) -> bool {
        let ip = self.bare_host().parse::<IpAddr>();
        ip.map_or(self.host == "localhost", |ip| ip.is_loopback())
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The value of the header `Host`, which has no port if the port is that of HTTP.
    pub(super) fn host_header(&self) -> String {
        if self.port == HTTP { self.host.clone() } else { self.to_string() }
    }
}

/// `HOST:PORT`, the syntax of `GCE_METADATA_HOST`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// An address as an error may quote it: without a user name and password.
pub(super) fn without_user(address: &str) -> Cow<'_, str> {
    match address.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}").into(),
        None => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_address_has_no_password() {
        assert_eq!(without_user("http://user:made-up@127.0.0.1:80"), "…@127.0.0.1:80");
        assert_eq!(without_user("127.0.0.1:80"), "127.0.0.1:80");
    }

    #[test]
    fn a_target_is_a_host_with_or_without_port() {
        for (host, expected) in
            [("127.0.0.1:8080", "127.0.0.1:8080"), ("metadata", "metadata:80"), ("[::1]:80", "[::1]:80")]
        {
            assert_eq!(Target::from_host(host).unwrap().to_string(), expected);
        }
        assert_eq!(Target::from_host("[::1]:80").unwrap().bare_host(), "::1");
        assert_eq!(Target::from_host("metadata:80").unwrap().host_header(), "metadata");
        assert_eq!(Target::from_host("metadata:8080").unwrap().host_header(), "metadata:8080");
        for host in ["http://127.0.0.1:8080", "127.0.0.1:8080/", "127.0.0.1:", "a@b:80", ":80", ""] {
            assert_eq!(Target::from_host(host), None, "{host}");
        }
    }

    #[test]
    fn the_url_of_a_target_is_plain_http_without_a_path() {
        for url in ["http://127.0.0.1:8080", "http://127.0.0.1:8080/"] {
            assert_eq!(Target::from_url(url).unwrap().to_string(), "127.0.0.1:8080");
        }
        for url in ["https://127.0.0.1:8080", "127.0.0.1:8080", "http://127.0.0.1:8080/computeMetadata", "unix:/a"] {
            assert_eq!(Target::from_url(url), None, "{url}");
        }
    }
}
