//! Loaded credentials: the token services of a credentials file, and facts about it.

use crate::fetch_error::FetchError;
use gce_metadata_routes::token::{AccessToken, AccessTokenRequest, IdToken, IdTokenRequest, InstanceClaims};
use std::path::PathBuf;
use tower::util::BoxCloneSyncService;

/// A source of access tokens.
pub(super) type AccessSource = BoxCloneSyncService<AccessTokenRequest, AccessToken, FetchError>;
/// A source of identity tokens.
pub(super) type IdSource = BoxCloneSyncService<IdTokenRequest, IdToken, FetchError>;

/// The sources of a credentials file. Each is optional: a user, for example, has no identity tokens.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) access: Option<AccessSource>,
    pub(super) id: Option<IdSource>,
    pub(super) id_format: IdFormat,
}

/// The effect of `format=full` on the identity tokens of an upstream, which knows no VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdFormat {
    /// None: all formats are one token.
    Ignored,
    /// The token includes the e-mail of the account. The claims about the VM have no effect.
    IncludesEmail,
}

impl IdFormat {
    /// The request without the differences that the upstream ignores, so that the cache has one token for all of them.
    pub(super) fn normalized(self, request: IdTokenRequest) -> IdTokenRequest {
        let mut normalized = IdTokenRequest::new(request.account, request.audience);
        normalized.instance = match self {
            Self::Ignored => None,
            Self::IncludesEmail => request.instance.map(|_| InstanceClaims::default()),
        };
        normalized
    }
}

/// The universe domain of credentials that don't name one.
pub(super) const GOOGLE: &str = "googleapis.com";

/// Token services of a credentials file, and facts about it.
pub(super) struct LoadedCredentials {
    pub(super) tokens: Sources,
    pub(super) email: Option<String>,
    /// The identity of the tokens, if they stay valid when the credentials are replaced.
    pub(super) owner: Option<Owner>,
    pub(super) project: Option<String>,
    /// The label of `credential_type`.
    pub(super) credential_type: &'static str,
    pub(super) fingerprint: Option<[u8; 32]>,
    /// The universe domain, whose APIs accept the tokens. Clouds that run Google's software for others have different
    /// domains.
    pub(super) universe: String,
    /// Other files that were read.
    pub(super) files: Vec<PathBuf>,
}

/// The identity of tokens.
#[derive(PartialEq)]
pub(super) enum Owner {
    /// This account.
    Account(String),
    /// The account of each request.
    Requested,
}

impl LoadedCredentials {
    pub(super) fn new(credential_type: &'static str, tokens: Sources) -> Self {
        Self {
            tokens,
            email: None,
            owner: None,
            project: None,
            credential_type,
            fingerprint: None,
            universe: GOOGLE.to_owned(),
            files: Vec::new(),
        }
    }

    /// Sets the account of the tokens, which stay valid when the credentials are replaced.
    #[must_use]
    pub(super) fn of(self, email: String) -> Self {
        Self { owner: Some(Owner::Account(email.clone())), email: Some(email), ..self }
    }

    /// Whether cached tokens of these credentials may be served after `other` has replaced them.
    pub(super) fn serves_for(&self, other: &Self) -> bool {
        self.owner.is_some() && (&self.owner, &self.universe) == (&other.owner, &other.universe)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_routes::ServiceAccount;

    #[test]
    fn requests_differ_only_in_what_the_upstream_distinguishes() {
        let request = |instance| {
            let account = ServiceAccount::new("a@example.com", Vec::new(), Vec::new());
            let mut request = IdTokenRequest::new(account.into(), "https://a.example.com");
            request.instance = instance;
            request
        };
        let mut licensed = InstanceClaims::default();
        licensed.license_ids = Some(vec!["1001".to_owned()]);
        let (standard, full, licensed) =
            (request(None), request(Some(InstanceClaims::default())), request(Some(licensed)));
        for request in [&standard, &full, &licensed] {
            assert_eq!(IdFormat::Ignored.normalized(request.clone()), standard);
        }
        assert_eq!(IdFormat::IncludesEmail.normalized(standard.clone()), standard);
        assert_eq!(IdFormat::IncludesEmail.normalized(full.clone()), full);
        assert_eq!(IdFormat::IncludesEmail.normalized(licensed), full);
    }
}
