//! The values of `Host` that a metadata server accepts, for [`RequireHost`](crate::RequireHost).

use std::net::Ipv6Addr;

/// The host names of GCE's metadata server.
pub(crate) const METADATA: [&str; 3] = ["metadata", "metadata.goog", "metadata.google.internal"];

/// Suffixes of private names: no registry sells them, so only the machine, its network or its cluster resolves them.
const PRIVATE_SUFFIXES: [&str; 4] = [".localhost", ".internal", ".svc", ".svc.cluster.local"];

/// The hosts that requests may have in their `Host` header.
///
/// These are always allowed, each with or without a port and a trailing dot, in any case:
///
/// - IP addresses, since DNS rebinding needs a name;
/// - `metadata`, `metadata.goog` and `metadata.google.internal`;
/// - names of one label, such as `localhost` or a container's;
/// - `*.localhost`, `*.internal`, `*.svc` and `*.svc.cluster.local`.
///
/// ```
/// use gce_metadata_layers::AllowedHosts;
///
/// let hosts = AllowedHosts::new().allow(".example.com")?;
/// assert!(hosts.allows("vm.example.com:8080"));
/// assert!(!hosts.allows("example.net"));
/// # Ok::<_, gce_metadata_layers::InvalidHost>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedHosts {
    /// In lower case, without a trailing dot.
    names: Vec<String>,
    /// In lower case, each with its leading dot.
    suffixes: Vec<String>,
    all: bool,
    /// Of the names that are always allowed, only `localhost` is.
    addresses_only: bool,
}

/// The error of [`AllowedHosts::allow`] for a text that is not a host name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidHost(String);

impl std::fmt::Display for InvalidHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(name) = self;
        write!(
            f,
            "`{name}` is not a host name; expected a name without scheme and port (vm.example.com), a suffix \
             (.example.com), or * for every host"
        )
    }
}

impl std::error::Error for InvalidHost {}

impl AllowedHosts {
    /// Allows only the hosts that are always allowed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows only IP addresses and `localhost`.
    pub fn addresses() -> Self {
        Self { addresses_only: true, ..Self::default() }
    }

    /// Also allows this name. A name that begins with a dot is a suffix: `.example.com` allows `example.com` and all its
    /// subdomains. `*` allows every host, which turns off the protection against DNS rebinding.
    ///
    /// # Errors
    /// If `name` is neither a host name, nor a suffix, nor `*`.
    pub fn allow(mut self, name: &str) -> Result<Self, InvalidHost> {
        if name == "*" {
            self.all = true;
            return Ok(self);
        }
        let normalized = name.trim_end_matches('.').to_ascii_lowercase();
        let bare = normalized.strip_prefix('.').unwrap_or(&normalized);
        if !bare.split('.').all(is_label) {
            // IP addresses are always allowed, so naming one is not an error.
            return if is_address(name) { Ok(self) } else { Err(InvalidHost(name.to_owned())) };
        }
        if normalized.starts_with('.') {
            self.suffixes.push(normalized)
        } else {
            self.names.push(normalized)
        }
        Ok(self)
    }

    /// Whether the value of a `Host` header is allowed; it may have a port.
    pub fn allows(&self, host: &str) -> bool {
        if self.all || is_address(host) {
            return true;
        }
        let name = host.split_once(':').map_or(host, |(name, _)| name);
        let name = name.strip_suffix('.').unwrap_or(name);
        name.split('.').all(is_label)
            && (self.is_always_allowed(name)
                || self.names.iter().any(|allowed| name.eq_ignore_ascii_case(allowed))
                || self.suffixes.iter().any(|suffix| is_below(name, suffix) || name.eq_ignore_ascii_case(&suffix[1..])))
    }
}

impl AllowedHosts {
    /// Whether the bytes of a `Host` header name an allowed host.
    pub(crate) fn allows_bytes(&self, host: &[u8]) -> bool {
        is_ipv4(host) || std::str::from_utf8(host).is_ok_and(|host| self.allows(host))
    }

    fn is_always_allowed(&self, name: &str) -> bool {
        if self.addresses_only {
            return name.eq_ignore_ascii_case("localhost");
        }
        !name.contains('.')
            || METADATA.iter().any(|known| name.eq_ignore_ascii_case(known))
            || PRIVATE_SUFFIXES.iter().any(|suffix| is_below(name, suffix))
    }
}

/// Whether a `Host` header has an IP address: `127.0.0.1`, `127.0.0.1:8080`, `[::1]`, `[::1]:8080`.
fn is_address(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, _port)) = rest.split_once(']') else { return false };
        // A link-local address may have a zone.
        let address = address.split_once('%').map_or(address, |(address, _)| address);
        return address.parse::<Ipv6Addr>().is_ok();
    }
    is_ipv4(host.as_bytes()) || host.parse::<Ipv6Addr>().is_ok()
}

/// Whether a host consists of digits and dots, with or without a port. Browsers take each such host for an IPv4 address, also one with
/// fewer numbers, and never resolve it as a name.
fn is_ipv4(host: &[u8]) -> bool {
    let is_numeric = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    let length = host.iter().position(|byte| !is_numeric(byte)).unwrap_or(host.len());
    host.first().is_some_and(u8::is_ascii_digit) && host.get(length).is_none_or(|next| *next == b':')
}

/// Whether a name consists of one or more labels and this suffix, which begins with a dot.
fn is_below(name: &str, suffix: &str) -> bool {
    let split = name.len().checked_sub(suffix.len()).filter(|at| *at > 0);
    split.and_then(|at| name.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

/// Whether a text is a DNS label. Underscores are accepted too: names of containers have them.
fn is_label(label: &str) -> bool {
    !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_always_allowed() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "169.254.169.254",
            "[::1]",
            "[::1]:8080",
            "[fd20:ce::254]",
            "[fe80::1%25eth0]:80",
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "vm.localhost:80",
            "metadata",
            "metadata.",
            "metadata.goog",
            "metadata.goog.:80",
            "metadata.google.internal",
            "Metadata.Google.Internal",
            "metadata.google.internal.",
            "metadata.google.internal.:80",
            "gce_metadata:8080",
            "vm-1.c.sample-project.internal",
            "host.docker.internal",
            "metadata.default.svc",
            "metadata.default.svc.cluster.local:80",
        ] {
            assert!(AllowedHosts::new().allows(host), "{host}");
            assert!(AllowedHosts::new().allows_bytes(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn hosts_that_a_web_page_could_have_are_not_allowed() {
        for host in [
            "rebound.example.com",
            "rebound.example.com:8080",
            "rebound.example.com.",
            "127.0.0.1.example.com",
            "127.0.0.1.nip.io:80",
            "localhost.example.com",
            "metadata.google.internal.example.com",
            "metadata.goog.example.com",
            "xmetadata.goog",
            "example.svc.cluster.localx",
            "example.cluster.local",
            "exampleinternal.com",
            "internal.com",
            ".",
            ":80",
            ".internal",
            "1.example.com",
            "127.0.0.1x:80",
            ".1",
            "[::1",
            "[example.com]",
        ] {
            assert!(!AllowedHosts::new().allows(host), "{host}");
            assert!(!AllowedHosts::new().allows_bytes(host.as_bytes()), "{host}");
        }
        assert!(!AllowedHosts::new().allows_bytes(b"\xff"));
    }

    #[test]
    fn more_names_suffixes_and_all_hosts_can_be_allowed() {
        let hosts = AllowedHosts::new().allow("VM.example.com.").unwrap().allow(".example.net").unwrap();
        for host in ["vm.example.com", "vm.EXAMPLE.com.:80", "example.net", "a.example.net", "a.b.example.net:1"] {
            assert!(hosts.allows(host), "{host}");
        }
        for host in ["example.com", "a.vm.example.com", "myexample.net", "example.net.evil.example"] {
            assert!(!hosts.allows(host), "{host}");
        }
        assert!(AllowedHosts::new().allow("*").unwrap().allows("rebound.example.com"));
        assert_eq!(AllowedHosts::new().allow("127.0.0.1"), Ok(AllowedHosts::new().allow("127.0.0.1").unwrap()));
    }

    #[test]
    fn a_text_that_is_no_host_name_is_an_error_with_the_remedy() {
        for name in ["", ".", "http://vm.example.com", "vm.example.com:8080", "*.example.com", "a b", "a..b"] {
            let error = AllowedHosts::new().allow(name).unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}`")) && error.contains(".example.com"), "{error}");
        }
    }
}
