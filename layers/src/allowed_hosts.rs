//! The host names that a metadata server may be called by, for [`RequireHost`](crate::RequireHost).

use std::net::{Ipv4Addr, Ipv6Addr};

/// Names of GCE's own metadata server.
const METADATA: [&str; 3] = ["metadata", "metadata.goog", "metadata.google.internal"];

/// Suffixes that no registry sells: only the machine, its network or its cluster can give such a name an address.
const PRIVATE_SUFFIXES: [&str; 4] = [".localhost", ".internal", ".svc", ".svc.cluster.local"];

/// The hosts that requests may name.
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
    /// Each with its leading dot.
    suffixes: Vec<String>,
    all: bool,
}

/// A name that [`AllowedHosts::allow`] can't take.
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
    /// The hosts that are always allowed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also allows this name. A name that begins with a dot is a suffix: `.example.com` allows `example.com` and all names
    /// below it. `*` allows every host, which gives up the protection against DNS rebinding.
    ///
    /// # Errors
    /// If it is neither a host name, nor a suffix, nor `*`.
    pub fn allow(mut self, name: &str) -> Result<Self, InvalidHost> {
        if name == "*" {
            self.all = true;
            return Ok(self);
        }
        let normalized = name.trim_end_matches('.').to_ascii_lowercase();
        let bare = normalized.strip_prefix('.').unwrap_or(&normalized);
        if !bare.split('.').all(is_label) {
            // An address is allowed already, so that naming one is no mistake.
            return if address(name).is_some() { Ok(self) } else { Err(InvalidHost(name.to_owned())) };
        }
        if normalized.starts_with('.') {
            self.suffixes.push(normalized)
        } else {
            self.names.push(normalized)
        }
        Ok(self)
    }

    /// Whether requests may name this host: the value of a `Host` header, a port included.
    pub fn allows(&self, host: &str) -> bool {
        if self.all || address(host).is_some() {
            return true;
        }
        let name = host.split_once(':').map_or(host, |(name, _)| name);
        let name = name.strip_suffix('.').unwrap_or(name);
        name.split('.').all(is_label)
            && (!name.contains('.')
                || METADATA.iter().any(|known| name.eq_ignore_ascii_case(known))
                || PRIVATE_SUFFIXES.iter().any(|suffix| is_below(name, suffix))
                || self.names.iter().any(|allowed| name.eq_ignore_ascii_case(allowed))
                || self.suffixes.iter().any(|suffix| is_below(name, suffix) || name.eq_ignore_ascii_case(&suffix[1..])))
    }
}

/// What a `Host` header holds if it names an IP address: `127.0.0.1`, `127.0.0.1:8080`, `[::1]`, `[::1]:8080`.
fn address(host: &str) -> Option<()> {
    if let Some(rest) = host.strip_prefix('[') {
        let (address, _port) = rest.split_once(']')?;
        // Without the zone of a link-local address.
        let address = address.split_once('%').map_or(address, |(address, _)| address);
        return address.parse::<Ipv6Addr>().ok().map(|_| ());
    }
    if host.parse::<Ipv6Addr>().is_ok() {
        return Some(());
    }
    let address = host.split_once(':').map_or(host, |(address, _)| address);
    address.parse::<Ipv4Addr>().ok().map(|_| ())
}

/// Whether a name has a label before this suffix, which begins with a dot.
fn is_below(name: &str, suffix: &str) -> bool {
    let split = name.len().checked_sub(suffix.len()).filter(|at| *at > 0);
    split.and_then(|at| name.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

/// Containers may have an underscore in their names, which DNS does not know.
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
            "[::1",
            "[example.com]",
        ] {
            assert!(!AllowedHosts::new().allows(host), "{host}");
        }
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
    fn what_is_not_a_host_name_is_refused_with_the_remedy() {
        for name in ["", ".", "http://vm.example.com", "vm.example.com:8080", "*.example.com", "a b", "a..b"] {
            let error = AllowedHosts::new().allow(name).unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}`")) && error.contains(".example.com"), "{error}");
        }
    }
}
