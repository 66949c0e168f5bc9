//! Warnings at start: suspicious settings, tokens that are unexpectedly not live, and clients that can get live tokens.

use super::listener::Address;
use crate::vm::{Served, Tokens, VmBuilder};
use gce_metadata_tokens::CredentialSource;
use std::net::IpAddr;

/// The messages of a start, for the log.
pub(super) struct Advice {
    tokens: TokenAdvice,
    /// A warning about the values that override those of the config.
    overrides: Option<String>,
    /// The message of the token source.
    source: Option<&'static str>,
}

impl Advice {
    pub(super) fn new(settings: &VmBuilder) -> Self {
        let tokens = TokenAdvice::new(&settings.tokens, &settings.served);
        Self { tokens, overrides: settings.overrides.warning(), source: None }
    }

    pub(super) fn with_source(self, source: Option<&'static str>) -> Self {
        Self { source, ..self }
    }

    /// Without the warning that tokens are offline.
    pub(super) fn expecting_offline_tokens(self) -> Self {
        Self { tokens: TokenAdvice { are_offline_by_default: false, ..self.tokens }, ..self }
    }

    /// Logs what does not depend on an address.
    pub(super) fn log(self) {
        if let Some(warning) = self.overrides {
            tracing::warn!("{warning}");
        }
        self.tokens.log(self.source);
    }

    /// Logs a warning if other machines can get live tokens at this address, where no client certificate is required.
    pub(super) fn log_exposure(&self, address: &Address) {
        if let (true, Some(reach)) = (self.tokens.are_live, reach(address)) {
            tracing::warn!(
                %address,
                "{reach} can get live tokens without authentication; listen at 127.0.0.1 or at a Unix socket, or demand client \
                 certificates (--use-mtls)"
            );
        }
    }
}

/// What the settings say about tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TokenAdvice {
    /// Google may accept the tokens.
    are_live: bool,
    /// A config file is served with offline tokens although no option asks for them.
    are_offline_by_default: bool,
}

impl TokenAdvice {
    fn new(tokens: &Tokens, served: &Served) -> Self {
        let (are_live, is_default) = match tokens {
            Tokens::From(source) => match &**source {
                CredentialSource::Offline(options) => (false, tokens.issuer().is_none() && options.key.is_none()),
                _ => (true, false),
            },
            Tokens::Given(_) => (true, false),
        };
        Self { are_live, are_offline_by_default: is_default && matches!(served, Served::File(_)) }
    }

    /// Logs the message of the token source. With a config file it is a warning: in a manifest whose variables expand to nothing,
    /// it is the only sign that the credentials are missing.
    fn log(self, source: Option<&str>) {
        match source {
            Some(message) if self.are_offline_by_default => tracing::warn!("no credentials are given: {message}"),
            Some(message) => tracing::info!("{message}"),
            None => {}
        }
    }
}

/// Describes the clients on other machines that can reach this address; `None` if there are none.
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
    fn addresses_other_than_loopback_are_reachable_from_other_machines() {
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
    fn live_tokens_and_unrequested_offline_tokens_are_warned_of() {
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
