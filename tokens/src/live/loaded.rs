//! Loaded credentials: the token services that a credentials file becomes, and what else it says.

use crate::fetch_error::FetchError;
use gce_metadata_routes::token::{AccessToken, AccessTokenRequest, IdToken, IdTokenRequest};
use std::path::PathBuf;
use tower::util::BoxCloneSyncService;

/// A source of access tokens. Its errors have what the cache needs to know beside the answer.
pub(super) type AccessSource = BoxCloneSyncService<AccessTokenRequest, AccessToken, FetchError>;
/// A source of identity tokens.
pub(super) type IdSource = BoxCloneSyncService<IdTokenRequest, IdToken, FetchError>;

/// The sources of one file.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) access: Option<AccessSource>,
    pub(super) id: Option<IdSource>,
}

/// The universe domain of credentials that don't name one.
pub(super) const GOOGLE: &str = "googleapis.com";

/// Token services, and what else a file says.
pub(super) struct LoadedCredentials {
    pub(super) tokens: Sources,
    pub(super) email: Option<String>,
    /// The identity of the tokens, if they stay valid when the credentials are replaced.
    pub(super) owner: Option<Owner>,
    pub(super) project: Option<String>,
    /// The label of `credential_type`.
    pub(super) credential_type: &'static str,
    pub(super) fingerprint: Option<[u8; 32]>,
    /// The universe domain, whose APIs the tokens are for: clouds on Google's software have domains of their own.
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

    /// Tokens of this account, which stay valid when the credentials are replaced.
    pub(super) fn of(self, email: String) -> Self {
        Self { owner: Some(Owner::Account(email.clone())), email: Some(email), ..self }
    }

    /// Whether cached tokens of these credentials may be served after `other` has replaced them.
    pub(super) fn serves_for(&self, other: &Self) -> bool {
        self.owner.is_some() && (&self.owner, &self.universe) == (&other.owner, &other.universe)
    }
}
