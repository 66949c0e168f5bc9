//! A service account's key in a file: in Google's JSON format, or in bare PEM.

use super::iam::Impersonation;
use super::jwt_bearer::JwtBearer;
use super::loaded::{GOOGLE, LoadedCredentials, Sources};
use super::open_context::OpenContext;
use super::options::AccessTokenKind;
use super::sts::{name, required};
use crate::sign_on_workers::sign_on_workers;
use gce_metadata_routes::token::Secret;
use gce_metadata_signer::PemSigner;
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct ServiceAccountKey {
    client_email: String,
    #[serde(deserialize_with = "required")]
    private_key: Secret,
    private_key_id: Option<String>,
    project_id: Option<String>,
    token_uri: Option<String>,
    #[serde(default, deserialize_with = "name")]
    universe_domain: Option<String>,
}

pub(super) fn open(key: ServiceAccountKey, context: &OpenContext) -> Result<LoadedCredentials, String> {
    let signer = PemSigner::from_pem(key.private_key.expose()).map_err(|error| format!("private_key: {error}"))?;
    let universe = key.universe_domain.unwrap_or_else(|| GOOGLE.to_owned());
    let loaded = with_key(signer, key.private_key_id, key.client_email, key.token_uri, universe, context);
    Ok(LoadedCredentials { project: key.project_id, ..loaded })
}

/// Opens a bare key in PEM, which does not contain its account's e-mail.
pub(super) fn bare(pem: &str, context: &OpenContext) -> Result<LoadedCredentials, String> {
    let no_email = || format!("a bare key does not name its account: {}", context.key_email_hint);
    let email = context.key_email.clone().ok_or_else(no_email)?;
    let signer = PemSigner::from_pem(pem).map_err(|error| error.to_string())?;
    Ok(with_key(signer, None, email, None, GOOGLE.to_owned(), context))
}

fn with_key(
    signer: PemSigner,
    key_id: Option<String>,
    email: String,
    token_uri: Option<String>,
    universe: String,
    context: &OpenContext,
) -> LoadedCredentials {
    let is_google = universe == GOOGLE;
    // Only Google's own universe has a token endpoint for keys.
    let kind = if is_google { context.kind.unwrap_or(AccessTokenKind::Oauth) } else { AccessTokenKind::Jwt };
    let fingerprint = Some(signer.info().spki_sha256);
    let bearer = JwtBearer {
        signer: sign_on_workers(signer, context.workers.clone()),
        key_id,
        email: Some(email.clone()),
        token_uri: context.endpoints.token(token_uri),
        kind,
        upstream: context.upstream.clone(),
    };
    let own = bearer.tokens();
    let tokens = match own.access {
        Some(actor) if !is_google => {
            // In other universes the IAM API issues identity tokens: the account impersonates itself.
            let base = context.endpoints.iam(None, &universe);
            let any = Impersonation::of_any(context, base, actor.clone());
            let id = Impersonation { target: Some(email.clone()), ..any };
            id.id_sources(actor)
        }
        access => Sources { access, ..own },
    };
    let loaded = LoadedCredentials { fingerprint, universe, ..LoadedCredentials::new("serviceAccountKey", tokens) };
    match kind {
        AccessTokenKind::Oauth => loaded.of(email),
        // A token signed by the key becomes invalid with the key, so `owner` stays unset.
        AccessTokenKind::Jwt => LoadedCredentials { email: Some(email), ..loaded },
    }
}
