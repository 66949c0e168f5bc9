//! A person, by what gcloud stores of them. A person has access tokens, but no identity tokens of a service account.

use super::file::{GOOGLE, Opened, Plan};
use super::sts::{self, required, secret};
use crate::credentials::live::{AccessSource, Sources};
use gce_metadata_routes::token::{AccessTokenRequest, Secret};
use serde::Deserialize;
use std::sync::Arc;
use tower::service_fn;

#[derive(Deserialize)]
pub(super) struct AuthorizedUser {
    client_id: String,
    /// Clients that can't keep one have none.
    #[serde(default, deserialize_with = "secret")]
    client_secret: Option<Secret>,
    #[serde(deserialize_with = "required")]
    refresh_token: Secret,
    token_uri: Option<String>,
    universe_domain: Option<String>,
}

pub(super) fn open(user: AuthorizedUser, plan: &Plan) -> Opened {
    let url = plan.endpoints.token(user.token_uri.clone());
    let universe = user.universe_domain.clone().unwrap_or_else(|| GOOGLE.to_owned());
    let (user, upstream) = (Arc::new(user), plan.upstream.clone());
    let access = service_fn(move |_: AccessTokenRequest| {
        let (user, upstream, url) = (Arc::clone(&user), upstream.clone(), url.clone());
        async move {
            let refresh_token = ("refresh_token", user.refresh_token.expose());
            let mut form = vec![("grant_type", "refresh_token"), ("client_id", &*user.client_id), refresh_token];
            form.extend(user.client_secret.as_ref().map(|secret| ("client_secret", secret.expose())));
            sts::access_token(&upstream, &url, &form, None).await
        }
    });
    let tokens = Sources { access: Some(AccessSource::new(access)), id: None };
    Opened { universe, ..Opened::new("AuthorizedUser", tokens) }
}
