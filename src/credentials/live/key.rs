//! A service account's key in a file, as Google gives it out or in bare PEM.

use super::Sources;
use super::file::{GOOGLE, Opened, Plan};
use super::iam::Impersonation;
use super::jwt_bearer::{AccessTokenKind, JwtBearer};
use super::sts::{name, required};
use crate::signer::{BoxSigner, PemSigner};
use gce_metadata_routes::token::Secret;
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

pub(super) fn open(key: ServiceAccountKey, plan: &Plan) -> Result<Opened, String> {
    let signer = PemSigner::from_pem(key.private_key.expose()).map_err(|error| format!("private_key: {error}"))?;
    let universe = key.universe_domain.unwrap_or_else(|| GOOGLE.to_owned());
    let opened = with_key(signer, key.private_key_id, key.client_email, key.token_uri, universe, plan);
    Ok(Opened { project: key.project_id, ..opened })
}

/// A key in PEM, without a word on whose it is.
pub(super) fn bare(pem: &str, plan: &Plan) -> Result<Opened, String> {
    let nobodys = || format!("a bare key belongs to nobody: {}", plan.whose);
    let email = plan.key_email.clone().ok_or_else(nobodys)?;
    let signer = PemSigner::from_pem(pem).map_err(|error| error.to_string())?;
    Ok(with_key(signer, None, email, None, GOOGLE.to_owned(), plan))
}

fn with_key(
    signer: PemSigner,
    key_id: Option<String>,
    email: String,
    token_uri: Option<String>,
    universe: String,
    plan: &Plan,
) -> Opened {
    let is_googles = universe == GOOGLE;
    // Only Google's own universe has a token endpoint for keys.
    let kind = if is_googles { plan.kind.unwrap_or(AccessTokenKind::Oauth) } else { AccessTokenKind::Jwt };
    let fingerprint = Some(signer.info().spki_sha256);
    let bearer = JwtBearer {
        signer: BoxSigner::new(signer),
        key_id,
        email: Some(email.clone()),
        token_uri: plan.endpoints.token(token_uri),
        kind,
        upstream: plan.upstream.clone(),
    };
    let own = bearer.tokens();
    let tokens = match own.access {
        Some(actor) if !is_googles => {
            // There a key's identity tokens come from IAM, which the account asks for itself.
            let base = plan.endpoints.iam(None, &universe);
            let any = Impersonation::of_any(plan, base, actor.clone());
            let id = Impersonation { target: Some(email.clone()), ..any };
            Sources { access: Some(actor), id: Some(id.id_source()) }
        }
        access => Sources { access, id: own.id },
    };
    let opened = Opened { fingerprint, universe, ..Opened::new("serviceAccountKey", tokens) };
    match kind {
        AccessTokenKind::Oauth => opened.of(email),
        // What a key signs is good for as long as the key is.
        AccessTokenKind::Jwt => Opened { email: Some(email), ..opened },
    }
}
