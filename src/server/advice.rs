//! Warnings at the start: who can get live tokens, and that tokens are not live where live ones may be expected.

use super::listener::Address;
use crate::vm::{Served, Tokens};
use gce_metadata_tokens::CredentialSource;
use std::net::IpAddr;

/// What a server tells the log of its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TokenAdvice {
    /// Tokens are, or may be, ones that Google accepts.
    are_live: bool,
    /// A config file is served with tokens that are made offline, which the options did not ask for.
    are_offline_by_default: bool,
}

impl TokenAdvice {
    pub(super) fn new(tokens: &Tokens, served: &Served) -> Self {
        let (are_live, is_default) = match tokens {
            Tokens::From(source) => match &**source {
                CredentialSource::Offline(options) => (false, tokens.issuer().is_none() && options.key.is_none()),
                _ => (true, false),
            },
            Tokens::Given(_) => (true, false),
        };
        Self { are_live, are_offline_by_default: is_default && matches!(served, Served::File(_)) }
    }

    /// Logs what the source says of itself. With a config file it is a warning: in a manifest whose variables expand to
    /// nothing it is the only sign that the credentials are missing.
    pub(super) fn log(self, said_by_source: Option<&str>) {
        match said_by_source {
            Some(advice) if self.are_offline_by_default => tracing::warn!("no credentials are given: {advice}"),
            Some(advice) => tracing::info!("{advice}"),
            None => {}
        }
    }

    /// Logs a warning if other machines can get live tokens at this address, where no client certificate is demanded.
    pub(super) fn log_exposure(self, address: &Address) {
        if let (true, Some(reach)) = (self.are_live, reach(address)) {
            tracing::warn!(
                %address,
                "{reach} can get live tokens without authentication; listen at 127.0.0.1 or at a Unix socket, or demand client \
                 certificates (--use-mtls)"
            );
        }
    }
}

/// Which clients beyond this machine reach an address, if any do.
fn reach(address: &Address) -> Option<&'static str> {
    let Address::Tcp(address) = address else { return None };
    match address.ip() {
        ip if ip.is_loopback() => None,
        ip if ip.is_unspecified() => Some("every machine that can reach any address of this one"),
        IpAddr::V4(ip) if ip.is_link_local() => Some("every container and machine on the same link"),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => Some("every container and machine on the same link"),
        _ => Some("every machine that can reach this address"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_tokens::OfflineOptions;

    #[test]
    fn addresses_beyond_loopback_are_reached_by_others() {
        let reach = |address: &str| reach(&Address::Tcp(address.parse().unwrap()));
        for address in ["127.0.0.1:80", "127.0.0.2:80", "[::1]:80"] {
            assert_eq!(reach(address), None, "{address}");
        }
        for (address, who) in [
            ("0.0.0.0:80", "any address of this one"),
            ("[::]:80", "any address of this one"),
            ("169.254.169.254:80", "same link"),
            ("[fe80::1]:80", "same link"),
            ("192.0.2.1:80", "this address"),
            ("[2001:db8::1]:80", "this address"),
        ] {
            assert!(reach(address).unwrap().ends_with(who), "{address}");
        }
        assert_eq!(super::reach(&Address::Unix("metadata.sock".into())), None);
    }

    #[test]
    fn only_live_tokens_are_warned_of_and_only_offline_ones_by_default() {
        let advice = |source, served: &Served| TokenAdvice::new(&Tokens::From(Box::new(source)), served);
        let (file, given) =
            (Served::File("config.json".into()), Served::Given(gce_metadata_routes::Metadata::sample()));
        let offline = || CredentialSource::Offline(OfflineOptions::default());
        let fixed = CredentialSource::Fixed { access_token: Some("ya29.made-up".to_owned().into()), id_token: None };
        let mut issued = OfflineOptions::default();
        issued.issuer = "https://issuer.example.com".to_owned();
        let expected = |are_live, are_offline_by_default| TokenAdvice { are_live, are_offline_by_default };
        assert_eq!(advice(offline(), &file), expected(false, true));
        assert_eq!(advice(offline(), &given), expected(false, false));
        assert_eq!(advice(CredentialSource::Offline(issued), &file), expected(false, false));
        assert_eq!(advice(fixed, &file), expected(true, false));
    }
}
