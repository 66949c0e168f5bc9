//! A credentials file: what is in it becomes token services, and again when it has changed on disk.

use super::external::ExternalAccount;
use super::iam::{Impersonation, parse_url};
use super::jwt_bearer::{AccessTokenKind, JwtBearer};
use super::sts::{self, secret};
use super::upstream::{Upstream, unavailable};
use super::{CredentialError, Endpoints};
use crate::credentials::cache::CacheTokensLayer;
use crate::signer::{BoxSigner, KeyInfo, PemSigner};
use gce_metadata_routes::TokenSources;
use gce_metadata_routes::token::{AccessTokenRequest, AccessTokenSource, Secret};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tower::service_fn;

/// What every credentials file is opened with.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) upstream: Upstream,
    pub(super) endpoints: Endpoints,
    pub(super) kind: AccessTokenKind,
    pub(super) allow_executables: bool,
    pub(super) certificate_config: Option<PathBuf>,
    /// Whose a key without an e-mail is.
    pub(super) key_email: Option<String>,
}

/// Token services, and what else a file says.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) tokens: TokenSources,
    pub(super) email: Option<String>,
    pub(super) project: Option<String>,
    /// The label of `credential_type`.
    pub(super) credential_type: &'static str,
    pub(super) fingerprint: Option<[u8; 32]>,
}

impl Opened {
    pub(super) fn new(credential_type: &'static str) -> Self {
        Self { tokens: TokenSources::default(), email: None, project: None, credential_type, fingerprint: None }
    }
}

/// A file that is read again when it has changed.
pub(super) struct CredentialFile {
    path: PathBuf,
    plan: Plan,
    current: Mutex<(Stamp, Opened)>,
}

/// What a look at the file without reading it tells.
type Stamp = Option<(u64, SystemTime, PathBuf)>;

fn stamp(path: &Path) -> Stamp {
    let metadata = path.metadata().ok()?;
    Some((metadata.len(), metadata.modified().ok()?, path.canonicalize().ok()?))
}

impl CredentialFile {
    pub(super) fn open(path: &Path, plan: Plan) -> Result<Arc<Self>, CredentialError> {
        let stamp = stamp(path);
        let opened = read(path, &plan)?;
        Ok(Arc::new(Self { path: path.to_owned(), plan, current: Mutex::new((stamp, opened)) }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file said when it could last be read.
    pub(super) fn current(&self) -> Opened {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    /// Takes over what has changed on disk. A file that is gone or has a mistake changes nothing.
    pub(super) fn renew(&self) -> bool {
        let now = stamp(&self.path);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 == now {
            return false;
        }
        // Read once for each change, good or bad.
        current.0 = now;
        match read(&self.path, &self.plan) {
            Ok(opened) => {
                tracing::info!(file = %self.path.display(), "new credentials");
                current.1 = opened;
                true
            }
            Err(error) => {
                tracing::warn!("the credentials stay as they were: {error}");
                false
            }
        }
    }
}

#[derive(Deserialize)]
struct ServiceAccountKey {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    project_id: Option<String>,
    token_uri: Option<String>,
}

#[derive(Deserialize)]
struct AuthorizedUser {
    client_id: String,
    #[serde(deserialize_with = "secret")]
    client_secret: Option<Secret>,
    #[serde(deserialize_with = "secret")]
    refresh_token: Option<Secret>,
    token_uri: Option<String>,
}

#[derive(Deserialize)]
struct ImpersonatedServiceAccount {
    service_account_impersonation_url: String,
    source_credentials: Value,
    #[serde(default)]
    delegates: Vec<String>,
    universe_domain: Option<String>,
}

fn read(path: &Path, plan: &Plan) -> Result<Opened, CredentialError> {
    let wrong = |problem: String| CredentialError::File { path: path.to_owned(), problem };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    if text.trim_start().starts_with("-----BEGIN") {
        return bare_key(&text, plan).map_err(wrong);
    }
    // An error of serde's could quote what it stumbled over.
    let json: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
        wrong(format!("neither JSON nor a key in PEM (line {}, column {})", error.line(), error.column()))
    })?;
    open(json, plan).map_err(wrong)
}

/// The sources of the kinds that Application Default Credentials have.
fn open(json: Value, plan: &Plan) -> Result<Opened, String> {
    match json["type"].as_str() {
        Some("service_account") => service_account(typed(json)?, plan),
        Some("authorized_user") => Ok(authorized_user(typed(json)?, plan)),
        Some("external_account") => typed::<ExternalAccount>(json)?.open(plan),
        Some("impersonated_service_account") => impersonated(typed(json)?, plan),
        _ => {
            Err("type: service_account, authorized_user, external_account or impersonated_service_account is expected"
                .to_owned())
        }
    }
}

/// Says what is missing or at which place something is of the wrong type, and never what is there instead.
fn typed<T: DeserializeOwned>(json: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let (place, problem) = (error.path().to_string(), error.inner().to_string());
        match problem.starts_with("missing field") {
            true => format!("at {place}: {problem}"),
            false => format!("at {place}: something else is expected here"),
        }
    })
}

fn service_account(key: ServiceAccountKey, plan: &Plan) -> Result<Opened, String> {
    let signer = PemSigner::from_pem(&key.private_key).map_err(|error| format!("private_key: {error}"))?;
    let mut info = signer.info().clone();
    if let Some(id) = key.private_key_id {
        info.key_id = id;
    }
    let mut opened = with_key(signer, info, key.client_email, key.token_uri, plan);
    opened.project = key.project_id;
    Ok(opened)
}

fn bare_key(pem: &str, plan: &Plan) -> Result<Opened, String> {
    let email =
        plan.key_email.clone().ok_or("a bare key belongs to nobody: say whose it is with --service-account-email")?;
    let signer = PemSigner::from_pem(pem).map_err(|error| error.to_string())?;
    let info = signer.info().clone();
    Ok(with_key(signer, info, email, None, plan))
}

fn with_key(signer: PemSigner, key: KeyInfo, email: String, token_uri: Option<String>, plan: &Plan) -> Opened {
    let fingerprint = Some(key.spki_sha256);
    let bearer = JwtBearer {
        signer: BoxSigner::new(signer),
        key,
        email: email.clone(),
        token_uri: plan.endpoints.token(token_uri),
        kind: plan.kind,
        upstream: plan.upstream.clone(),
    };
    Opened { tokens: bearer.tokens(), email: Some(email), fingerprint, ..Opened::new("ServiceAccountKey") }
}

/// A person, by what gcloud stores of them. A person has no identity tokens of a service account.
fn authorized_user(user: AuthorizedUser, plan: &Plan) -> Opened {
    let url = plan.endpoints.token(user.token_uri.clone());
    let (user, upstream) = (Arc::new(user), plan.upstream.clone());
    let access = service_fn(move |_: AccessTokenRequest| {
        let (user, upstream, url) = (Arc::clone(&user), upstream.clone(), url.clone());
        async move {
            let secret = |secret: &'_ Option<Secret>| secret.clone().unwrap_or_else(|| "".into());
            let (client_secret, refresh_token) = (secret(&user.client_secret), secret(&user.refresh_token));
            let form = [
                ("grant_type", "refresh_token"),
                ("client_id", &*user.client_id),
                ("client_secret", client_secret.expose()),
                ("refresh_token", refresh_token.expose()),
            ];
            sts::access_token(&upstream, &url, &form, None).await
        }
    });
    let tokens = TokenSources { access: Some(AccessTokenSource::new(access)), id: None };
    Opened { tokens, ..Opened::new("AuthorizedUser") }
}

fn impersonated(file: ImpersonatedServiceAccount, plan: &Plan) -> Result<Opened, String> {
    let (base, email) = parse_url(&file.service_account_impersonation_url).ok_or(
        "service_account_impersonation_url: …/v1/projects/-/serviceAccounts/EMAIL:generateAccessToken is expected",
    )?;
    let actor = open(file.source_credentials, plan).map_err(|problem| format!("source_credentials: {problem}"))?;
    let universe = file.universe_domain.as_deref().unwrap_or("googleapis.com");
    Ok(Impersonation {
        upstream: plan.upstream.clone(),
        actor: actor_of(actor),
        base: plan.endpoints.iam(Some(base), universe),
        target: Some(email),
        delegates: file.delegates,
        lifetime: None,
    }
    .open("Impersonated"))
}

/// The access tokens of whoever acts as another, each used for as many of the other's as it lasts.
fn actor_of(opened: Opened) -> AccessTokenSource {
    let none =
        || AccessTokenSource::new(service_fn(|_| std::future::ready(Err(unavailable("no access tokens".to_owned())))));
    let access = opened.tokens.access.unwrap_or_else(none);
    AccessTokenSource::new(CacheTokensLayer::new().layer(access))
}
