//! A user's credentials, as gcloud stores them. They yield access tokens, but no identity tokens of a service account.

use super::form::Form;
use super::loaded::{AccessSource, GOOGLE, IdFormat, LoadedCredentials, Sources};
use super::open_context::OpenContext;
use super::sts::{self, name, required, secret};
use gce_metadata_routes::token::{AccessTokenRequest, Secret};
use serde::Deserialize;
use std::sync::Arc;
use tower::service_fn;

#[derive(Deserialize)]
pub(super) struct AuthorizedUser {
    client_id: String,
    /// `None` for public clients.
    #[serde(default, deserialize_with = "secret")]
    client_secret: Option<Secret>,
    #[serde(deserialize_with = "required")]
    refresh_token: Secret,
    token_uri: Option<String>,
    #[serde(default, deserialize_with = "name")]
    universe_domain: Option<String>,
}

pub(super) fn open(user: AuthorizedUser, context: &OpenContext) -> LoadedCredentials {
    let url = context.endpoints.token(user.token_uri.clone());
    let universe = user.universe_domain.clone().unwrap_or_else(|| GOOGLE.to_owned());
    let (user, upstream) = (Arc::new(user), context.upstream.clone());
    let access = service_fn(move |_: AccessTokenRequest| {
        let (user, upstream, url) = (Arc::clone(&user), upstream.clone(), url.clone());
        async move {
            let form = Form::new("refresh_token").field("client_id", &user.client_id);
            let mut form = form.secret("refresh_token", &user.refresh_token);
            if let Some(secret) = &user.client_secret {
                form = form.secret("client_secret", secret);
            }
            sts::access_token(&upstream, &url, form).await
        }
    });
    let tokens = Sources { access: Some(AccessSource::new(access)), id: None, id_format: IdFormat::Ignored };
    LoadedCredentials { universe, ..LoadedCredentials::new("AuthorizedUser", tokens) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::{LiveOptions, LiveSource};
    use serde_json::json;

    #[test]
    fn an_empty_universe_domain_is_google() {
        let folder = tempfile::tempdir().unwrap();
        let person = json!({"type": "authorized_user", "client_id": "c", "refresh_token": "r", "universe_domain": ""});
        let workload = json!({"type": "external_account", "audience": "a", "subject_token_type": "t",
            "credential_source": {"file": "token"}, "universe_domain": ""});
        let url = "https://iam.example.com/v1/projects/-/serviceAccounts/a@example.com:generateAccessToken";
        let impersonated = json!({"type": "impersonated_service_account", "source_credentials": person.clone(),
            "service_account_impersonation_url": url, "universe_domain": ""});
        for credentials in [person, workload, impersonated] {
            let path = folder.path().join("adc.json");
            std::fs::write(&path, credentials.to_string()).unwrap();
            let opened = LiveOptions::new(LiveSource::Impersonate { path }).accounts().unwrap().only().unwrap();
            assert_eq!(opened.universe, GOOGLE, "{credentials}");
        }
    }
}
