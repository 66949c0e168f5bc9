//! The subject token of a workload on AWS: a signed GetCallerIdentity request, which Google sends to AWS to identify
//! the signer.

use crate::fetch_error::FetchError;
use crate::live::open_context::OpenContext;
use crate::live::options::AwsEnvironment;
use crate::live::sts::required;
use crate::live::upstream::{Upstream, unavailable};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use gce_metadata_routes::token::Secret;
use http::{Method, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::time::SystemTime;

/// The URLs of a `credential_source` with `environment_id`.
pub(super) struct AwsUrls {
    pub(super) region_url: Option<String>,
    /// The URL of the role and its keys in the instance metadata.
    pub(super) url: Option<String>,
    pub(super) verification_url: Option<String>,
    pub(super) session_url: Option<String>,
}

pub(super) struct Aws {
    urls: AwsUrls,
    verification_url: String,
    environment: AwsEnvironment,
    audience: String,
    upstream: Upstream,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Keys {
    access_key_id: String,
    #[serde(deserialize_with = "required")]
    secret_access_key: Secret,
    #[serde(deserialize_with = "required")]
    token: Secret,
}

impl Aws {
    pub(super) fn new(
        environment_id: &str,
        mut urls: AwsUrls,
        audience: &str,
        context: &OpenContext,
    ) -> Result<Self, String> {
        if environment_id != "aws1" {
            return Err("credential_source.environment_id: `aws1` is expected".to_owned());
        }
        let verification_url = urls.verification_url.take();
        let verification_url =
            verification_url.ok_or("credential_source: missing field `regional_cred_verification_url`")?;
        let (environment, upstream) = (context.aws.clone(), context.upstream.clone());
        Ok(Self { urls, verification_url, environment, audience: audience.to_owned(), upstream })
    }

    /// The signed request, serialized.
    pub(super) async fn token(&self) -> Result<Secret, FetchError> {
        let session = self.session().await?;
        let region = self.region(session.as_ref()).await?;
        let keys = self.keys(session.as_ref()).await?;
        let url = self.verification_url.replace("{region}", &region);
        let headers = signed(&url, &region, keys, &self.audience).map_err(unavailable)?;
        let headers = headers.iter().map(|(key, value)| serde_json::json!({"key": key, "value": value}));
        let token = serde_json::json!({"url": url, "method": "POST", "headers": headers.collect::<Vec<_>>()});
        Ok(utf8_percent_encode(&token.to_string(), NON_ALPHANUMERIC).to_string().into())
    }

    /// Gets a session token of AWS' metadata server (IMDSv2), if the environment lacks values and
    /// `imdsv2_session_token_url` is set.
    async fn session(&self) -> Result<Option<Secret>, FetchError> {
        let needs = self.environment.region.is_none() || self.keys_of_environment().is_none();
        let Some(url) = self.urls.session_url.as_ref().filter(|_| needs) else { return Ok(None) };
        let headers = [("x-aws-ec2-metadata-token-ttl-seconds", "300")];
        let token = self.upstream.fetch(Method::PUT, url, headers).await?;
        Ok(Some(String::from_utf8_lossy(&token).trim().into()))
    }

    async fn ask(&self, url: &str, session: Option<&Secret>) -> Result<String, FetchError> {
        let headers = session.map(|session| ("x-aws-ec2-metadata-token", session.expose()));
        let body = self.upstream.fetch(Method::GET, url, headers).await?;
        Ok(String::from_utf8_lossy(&body).trim().to_owned())
    }

    async fn region(&self, session: Option<&Secret>) -> Result<String, FetchError> {
        if let Some(region) = &self.environment.region {
            return Ok(region.clone());
        }
        let url = self.urls.region_url.as_ref();
        let url = url.ok_or_else(|| unavailable("AWS: no region: set AWS_REGION, or region_url".to_owned()))?;
        // The name of a zone is the name of its region and a letter.
        let zone = self.ask(url, session).await?;
        Ok(zone.trim_end_matches(|last: char| last.is_ascii_alphabetic()).to_owned())
    }

    fn keys_of_environment(&self) -> Option<Credentials> {
        let AwsEnvironment { access_key_id, secret_access_key, session_token, .. } = &self.environment;
        let token = session_token.as_ref().map(|token| token.expose().to_owned());
        Some(Credentials::new(
            access_key_id.as_ref()?,
            secret_access_key.as_ref()?.expose(),
            token,
            None,
            "environment",
        ))
    }

    async fn keys(&self, session: Option<&Secret>) -> Result<Credentials, FetchError> {
        if let Some(keys) = self.keys_of_environment() {
            return Ok(keys);
        }
        let url = self.urls.url.as_ref();
        let url = url.ok_or_else(|| {
            unavailable("AWS: no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or url".to_owned())
        })?;
        let role = self.ask(url, session).await?;
        let keys: Secret = self.ask(&format!("{}/{role}", url.trim_end_matches('/')), session).await?.into();
        let keys: Keys = serde_json::from_str(keys.expose())
            // The error does not quote the role, because the host may have echoed the session token instead of it.
            .map_err(|_| unavailable("AWS: the metadata of the instance's role contains no keys".to_owned()))?;
        let Keys { access_key_id, secret_access_key, token } = keys;
        Ok(Credentials::new(
            access_key_id,
            secret_access_key.expose(),
            Some(token.expose().to_owned()),
            None,
            "metadata",
        ))
    }
}

/// Signs a request to AWS' token service, and returns its headers, sorted by name.
fn signed(url: &str, region: &str, keys: Credentials, audience: &str) -> Result<Vec<(String, String)>, String> {
    let host = url.parse::<Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string));
    let host = host.ok_or("AWS: regional_cred_verification_url is not a URL")?;
    // The signed header `x-goog-cloud-target-resource` binds the token to this audience: other pools reject it.
    let own = [("host", &*host), ("x-goog-cloud-target-resource", audience)];
    let identity = keys.into();
    let settings = SigningSettings::default();
    let params = SigningParams::builder().identity(&identity).region(region).name("sts").settings(settings);
    let params = params.time(SystemTime::now()).build().map_err(|error| format!("AWS: {error}"))?.into();
    let request = SignableRequest::new("POST", url, own.into_iter(), SignableBody::Bytes(&[]));
    let request = request.map_err(|error| format!("AWS: {error}"))?;
    let (signed, _) = sign(request, &params).map_err(|error| format!("AWS: {error}"))?.into_parts();
    let all = own.into_iter().chain(signed.headers()).map(|(key, value)| (key.to_owned(), value.to_owned()));
    let mut all: Vec<_> = all.collect();
    all.sort_unstable();
    Ok(all)
}
