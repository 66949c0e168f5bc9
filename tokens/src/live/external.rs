//! Workload and workforce identity federation: Google's Security Token Service (STS) exchanges a subject token, issued
//! by another identity provider, for a Google access token.

mod aws;
mod certificate;
mod executable;
mod process;
mod subject;

#[cfg(feature = "device")]
pub(super) use certificate::{certificates, chain};

use super::error::Problem;
use super::form::Form;
use super::iam::{CLOUD_PLATFORM, Impersonation, parse_url};
use super::loaded::{AccessSource, GOOGLE, LoadedCredentials};
use super::open_context::OpenContext;
use super::sts::{self, ACCESS_TOKEN_TYPE, TOKEN_EXCHANGE, name, secret};
use super::upstream::Upstream;
use crate::fetch_error::FetchError;
use gce_metadata_routes::token::{AccessToken, AccessTokenRequest, Secret};
use gce_metadata_support::blocking::blocking;
use gce_metadata_support::file::{self, Limit};
use serde::Deserialize;
use std::io;
use std::path::Path;
use std::sync::Arc;
use subject::{Source, Subject};
use tower::service_fn;
use zeroize::Zeroizing;

/// A credentials file of `type` `external_account`.
#[derive(Deserialize)]
pub(super) struct ExternalAccount {
    audience: String,
    subject_token_type: String,
    token_url: Option<String>,
    credential_source: Source,
    service_account_impersonation_url: Option<String>,
    service_account_impersonation: Option<Lifetime>,
    client_id: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    client_secret: Option<Secret>,
    workforce_pool_user_project: Option<String>,
    #[serde(default, deserialize_with = "name")]
    universe_domain: Option<String>,
}

#[derive(Deserialize)]
struct Lifetime {
    token_lifetime_seconds: Option<u64>,
}

/// The exchange of a subject token for an access token.
struct Exchange {
    upstream: Upstream,
    url: String,
    audience: String,
    subject: Subject,
    subject_token_type: String,
    /// The client's id and secret.
    client: Option<(String, Secret)>,
    options: Option<String>,
}

impl ExternalAccount {
    pub(super) fn open(self, context: &OpenContext) -> Result<LoadedCredentials, Problem> {
        let impersonated = self.service_account_impersonation_url.as_deref().map(parse_url).transpose()?;
        let email = impersonated.as_ref().map(|(_, email)| email.clone());
        let universe = self.universe_domain.unwrap_or_else(|| GOOGLE.to_owned());
        let subject = Subject::new(self.credential_source, &self.audience, &self.subject_token_type, email, context)?;
        let domain = if subject.certificate.is_some() { format!("mtls.{universe}") } else { universe.clone() };
        let url = context.endpoints.sts(self.token_url).unwrap_or_else(|| format!("https://sts.{domain}/v1/token"));
        let client = self.client_id.map(|id| (id, self.client_secret.unwrap_or_else(|| "".into())));
        // Workforce pools need a project for quotas and billing. A client id implies one.
        let user_project = self.workforce_pool_user_project.filter(|_| client.is_none());
        let files = subject.files.clone();
        let exchange = Exchange {
            upstream: subject.certificate.clone().unwrap_or_else(|| context.upstream.clone()),
            url,
            audience: self.audience,
            subject,
            subject_token_type: self.subject_token_type,
            client,
            options: user_project.map(|project| serde_json::json!({"userProject": project}).to_string()),
        };
        let federated = exchange.source();
        let lifetime = self.service_account_impersonation.and_then(|it| it.token_lifetime_seconds);
        let (base, target) = impersonated.unzip();
        let impersonation = Impersonation {
            target: target.clone(),
            lifetime: lifetime.map(|seconds| format!("{seconds}s")),
            ..Impersonation::of_any(context, context.endpoints.iam(base, &universe), federated.clone())
        };
        // A federated identity has access tokens, but only a service account has identity tokens.
        let tokens = match target {
            Some(_) => impersonation.tokens(),
            None => impersonation.id_sources(federated),
        };
        let loaded = LoadedCredentials { universe, files, ..LoadedCredentials::new("Federated", tokens) };
        Ok(match target {
            Some(email) => loaded.of(email),
            None => loaded,
        })
    }
}

/// The access tokens of the identity whose certificate `upstream` presents.
#[cfg(feature = "device")]
pub(super) fn certified(upstream: Upstream, chain: Secret, audience: &str, context: &OpenContext) -> AccessSource {
    let url = context.endpoints.sts(None).unwrap_or_else(|| format!("https://sts.mtls.{GOOGLE}/v1/token"));
    let exchange = Exchange {
        upstream: upstream.clone(),
        url,
        audience: audience.to_owned(),
        subject: Subject::certificate(chain, upstream),
        subject_token_type: "urn:ietf:params:oauth:token-type:mtls".to_owned(),
        client: None,
        options: None,
    };
    exchange.source()
}

impl Exchange {
    fn source(self) -> AccessSource {
        let this = Arc::new(self);
        AccessSource::new(service_fn(move |request: AccessTokenRequest| {
            let this = Arc::clone(&this);
            async move { this.access_token(&request.scopes.join(" ")).await }
        }))
    }

    async fn access_token(&self, scope: &str) -> Result<AccessToken, FetchError> {
        let subject = self.subject.token().await?;
        let scope = if scope.is_empty() { CLOUD_PLATFORM } else { scope };
        let mut form = Form::new(TOKEN_EXCHANGE)
            .field("audience", &self.audience)
            .field("scope", scope)
            .field("requested_token_type", ACCESS_TOKEN_TYPE)
            .secret("subject_token", &subject)
            .field("subject_token_type", &self.subject_token_type);
        if let Some(options) = &self.options {
            form = form.field("options", options);
        }
        if let Some((id, password)) = &self.client {
            form = form.client(id, password);
        }
        sts::access_token(&self.upstream, &self.url, form).await
    }
}

/// Reads a file with a subject token, on a thread that may block.
async fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let path = path.to_owned();
    blocking(move || file::read(&path, Limit::SUBJECT_TOKEN).map(Zeroizing::new)).await?
}
