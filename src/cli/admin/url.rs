//! The URL of an admin API: `http://HOST:PORT`, or `unix:PATH` for a Unix socket.

use crate::cli::http_client::Peer;
use crate::cli::target::Target;
use std::fmt;
use std::str::FromStr;

const UNIX: &str = "unix:";

/// The URL of an admin API, as a server prints it in `GCE_METADATA_ADMIN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AdminUrl(Peer);

impl AdminUrl {
    pub(super) fn peer(&self) -> &Peer {
        &self.0
    }
}

impl FromStr for AdminUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let peer = match url.strip_prefix(UNIX) {
            Some(path) => Some(path).filter(|path| !path.is_empty()).map(|path| Peer::Unix(path.into())),
            None => Target::from_url(url).map(Peer::Tcp),
        };
        peer.map(Self).ok_or_else(|| "the URL of an admin API is http://HOST:PORT or unix:PATH".to_owned())
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Peer::Tcp(target) => write!(f, "http://{target}"),
            peer @ Peer::Unix(_) => peer.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_url_is_http_or_the_path_of_a_unix_socket() {
        for (url, shown) in [
            ("http://127.0.0.1:9001", "http://127.0.0.1:9001"),
            ("http://[::1]:9001/", "http://[::1]:9001"),
            ("unix:/run/admin.sock", "unix:/run/admin.sock"),
            ("unix:admin.sock", "unix:admin.sock"),
        ] {
            assert_eq!(url.parse::<AdminUrl>().unwrap().to_string(), shown);
        }
        for url in ["", "127.0.0.1:9001", "https://127.0.0.1:9001", "http://127.0.0.1:9001/__admin", "unix:"] {
            assert!(url.parse::<AdminUrl>().is_err(), "{url}");
        }
    }
}
