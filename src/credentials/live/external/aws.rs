//! A workload on AWS: its signature under a question that only it could have asked is the token. Google asks AWS the same
//! question with it, and so learns who signed.

use crate::credentials::failure::Failure;
use crate::credentials::live::file::Plan;
use crate::credentials::live::sts::required;
use crate::credentials::live::upstream::{Upstream, unavailable};
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use gce_metadata_routes::token::Secret;
use http::{Method, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use std::time::SystemTime;

/// What AWS' own variables say. It goes before what the instance's metadata say.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AwsEnvironment {
    /// `AWS_REGION`, or `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// `AWS_ACCESS_KEY_ID`
    pub access_key_id: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret_access_key: Option<Secret>,
    /// `AWS_SESSION_TOKEN`
    pub session_token: Option<Secret>,
}

/// What `credential_source` says beside its `environment_id`.
pub(super) struct AwsUrls {
    pub(super) region_url: Option<String>,
    /// Where the instance's role and its keys are.
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
    pub(super) fn new(environment_id: &str, mut urls: AwsUrls, audience: &str, plan: &Plan) -> Result<Self, String> {
        if environment_id != "aws1" {
            return Err("credential_source.environment_id: `aws1` is expected".to_owned());
        }
        let verification_url = urls.verification_url.take();
        let verification_url =
            verification_url.ok_or("credential_source: missing field `regional_cred_verification_url`")?;
        let (environment, upstream) = (plan.aws.clone(), plan.upstream.clone());
        Ok(Self { urls, verification_url, environment, audience: audience.to_owned(), upstream })
    }

    /// The signed question, as a text.
    pub(super) async fn token(&self) -> Result<Secret, Failure> {
        let session = self.session().await?;
        let region = self.region(session.as_ref()).await?;
        let keys = self.keys(session.as_ref()).await?;
        let url = self.verification_url.replace("{region}", &region);
        let headers = signed(&url, &region, keys, &self.audience).map_err(unavailable)?;
        let headers = headers.iter().map(|(key, value)| serde_json::json!({"key": key, "value": value}));
        let token = serde_json::json!({"url": url, "method": "POST", "headers": headers.collect::<Vec<_>>()});
        Ok(utf8_percent_encode(&token.to_string(), NON_ALPHANUMERIC).to_string().into())
    }

    /// What the instance's metadata server wants to see, if it is asked at all.
    async fn session(&self) -> Result<Option<Secret>, Failure> {
        let needs = self.environment.region.is_none() || self.keys_of_environment().is_none();
        let Some(url) = self.urls.session_url.as_ref().filter(|_| needs) else { return Ok(None) };
        let headers = [("x-aws-ec2-metadata-token-ttl-seconds", "300")];
        let token = self.upstream.fetch(Method::PUT, url, headers).await?;
        Ok(Some(String::from_utf8_lossy(&token).trim().into()))
    }

    async fn ask(&self, url: &str, session: Option<&Secret>) -> Result<String, Failure> {
        let headers = session.map(|session| ("x-aws-ec2-metadata-token", session.expose()));
        let body = self.upstream.fetch(Method::GET, url, headers).await?;
        Ok(String::from_utf8_lossy(&body).trim().to_owned())
    }

    async fn region(&self, session: Option<&Secret>) -> Result<String, Failure> {
        if let Some(region) = &self.environment.region {
            return Ok(region.clone());
        }
        let url = self.urls.region_url.as_ref();
        let url =
            url.ok_or_else(|| unavailable("AWS: neither AWS_REGION nor region_url says the region".to_owned()))?;
        // A zone is its region and a letter.
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

    async fn keys(&self, session: Option<&Secret>) -> Result<Credentials, Failure> {
        if let Some(keys) = self.keys_of_environment() {
            return Ok(keys);
        }
        let url = self.urls.url.as_ref();
        let url = url.ok_or_else(|| {
            unavailable("AWS: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor url say the keys".to_owned())
        })?;
        let role = self.ask(url, session).await?;
        let keys: Secret = self.ask(&format!("{}/{role}", url.trim_end_matches('/')), session).await?.into();
        let keys: Keys = serde_json::from_str(keys.expose())
            // Without the role: it comes from a host that may have echoed the session token instead.
            .map_err(|_| unavailable("AWS: the metadata of the instance's role have no keys".to_owned()))?;
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

/// The headers of a signed request to AWS' token service, in the order of their names.
fn signed(url: &str, region: &str, keys: Credentials, audience: &str) -> Result<Vec<(String, String)>, String> {
    let host = url.parse::<Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string));
    let host = host.ok_or("AWS: regional_cred_verification_url is no URL")?;
    // Without it, whoever sees the token could show it to another pool.
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
