//! The subject token, from a file, a URL, a program, a certificate, or AWS.

use super::aws::{Aws, AwsUrls};
use super::certificate::{self, CertificateSource};
use super::executable::{Executable, ExecutableSource};
use crate::fetch_error::FetchError;
use crate::live::error::Problem;
use crate::live::open_context::OpenContext;
use crate::live::upstream::{Upstream, unavailable};
use gce_metadata_routes::token::Secret;
use http::Method;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The `credential_source` of a credentials file. Exactly one of its sources must be set.
#[derive(Deserialize)]
pub(super) struct Source {
    file: Option<PathBuf>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    format: Format,
    executable: Option<ExecutableSource>,
    certificate: Option<CertificateSource>,
    environment_id: Option<String>,
    region_url: Option<String>,
    regional_cred_verification_url: Option<String>,
    imdsv2_session_token_url: Option<String>,
}

#[derive(Deserialize, Default)]
struct Format {
    #[serde(rename = "type")]
    kind: Option<String>,
    subject_token_field_name: Option<String>,
}

/// A source of subject tokens.
pub(super) struct Subject {
    kind: Kind,
    /// The client whose TLS certificate is the identity.
    pub(super) certificate: Option<Upstream>,
    /// The files that were read.
    pub(super) files: Vec<PathBuf>,
}

enum Kind {
    File { path: PathBuf, field: Option<String> },
    Url { upstream: Upstream, url: String, headers: BTreeMap<String, String>, field: Option<String> },
    Executable(Executable),
    Certificate { chain: Secret },
    Aws(Aws),
}

impl Subject {
    pub(super) fn new(
        source: Source,
        audience: &str,
        token_type: &str,
        email: Option<String>,
        context: &OpenContext,
    ) -> Result<Self, Problem> {
        let field = match source.format.kind.as_deref() {
            None | Some("text") => None,
            Some("json") => {
                let name = source.format.subject_token_field_name;
                Some(name.ok_or("credential_source.format: `json` needs subject_token_field_name")?)
            }
            Some(_) => return Err("credential_source.format.type: `text` or `json` is expected".into()),
        };
        let upstream = context.upstream.clone();
        let (mut certificate, mut files) = (None, Vec::new());
        let kind = match (source.environment_id, source.file, source.url, source.executable, source.certificate) {
            (Some(id), None, url, None, None) => {
                let region_url = source.region_url;
                let verification_url = source.regional_cred_verification_url;
                let session_url = source.imdsv2_session_token_url;
                let urls = AwsUrls { region_url, url, verification_url, session_url };
                Kind::Aws(Aws::new(&id, urls, audience, context)?)
            }
            (None, Some(path), None, None, None) => Kind::File { path, field },
            (None, None, Some(url), None, None) => Kind::Url { upstream, url, headers: source.headers, field },
            (None, None, None, Some(executable), None) => {
                Kind::Executable(Executable::new(executable, audience, token_type, email, context)?)
            }
            (None, None, None, None, Some(source)) => {
                let identity = certificate::open(&source, context)?;
                (certificate, files) = (Some(identity.upstream), identity.files);
                Kind::Certificate { chain: identity.chain }
            }
            _ => {
                let problem = "one of environment_id, file, url, executable or certificate is expected";
                return Err(Problem::from(problem).at("credential_source"));
            }
        };
        Ok(Self { kind, certificate, files })
    }

    /// The certificate that `upstream` presents, as the subject token.
    #[cfg(feature = "device")]
    pub(super) fn certificate(chain: Secret, upstream: Upstream) -> Self {
        Self { kind: Kind::Certificate { chain }, certificate: Some(upstream), files: Vec::new() }
    }

    /// Gets the current token. It is read for each exchange, because its issuer rotates it.
    pub(super) async fn token(&self) -> Result<Secret, FetchError> {
        match &self.kind {
            Kind::File { path, field } => {
                let place = path.display().to_string();
                let bytes = super::read(path).await.map_err(|error| unavailable(format!("{place}: {error}")))?;
                let text = std::str::from_utf8(&bytes).map_err(|_| unavailable(format!("{place}: not UTF-8")))?;
                extract(text, field.as_deref(), &place)
            }
            Kind::Url { upstream, url, headers, field } => {
                let headers = headers.iter().map(|(name, value)| (&**name, &**value));
                let body = upstream.fetch(Method::GET, url, headers).await?;
                extract(&String::from_utf8_lossy(&body), field.as_deref(), "the subject token's URL")
            }
            Kind::Executable(executable) => executable.token().await,
            Kind::Certificate { chain } => Ok(chain.clone()),
            Kind::Aws(aws) => aws.token().await,
        }
    }
}

fn extract(text: &str, field: Option<&str>, place: &str) -> Result<Secret, FetchError> {
    let token = match field {
        None => text.trim().to_owned(),
        Some(field) => {
            let json: serde_json::Value =
                serde_json::from_str(text).map_err(|_| unavailable(format!("{place}: JSON is expected")))?;
            let token = json[field].as_str().map(str::to_owned);
            token.ok_or_else(|| unavailable(format!("{place}: no string at `{field}`")))?
        }
    };
    if token.is_empty() { Err(unavailable(format!("{place}: the token is empty"))) } else { Ok(token.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_token_is_the_whole_text_or_a_json_field() {
        let token = |text, field| extract(text, field, "token.json").map(|it| it.expose().to_owned());
        assert_eq!(token("abc\n", None).unwrap(), "abc");
        assert_eq!(token(r#"{"t": "abc"}"#, Some("t")).unwrap(), "abc");
        for (text, field) in [("", None), ("hidden", Some("t")), (r#"{"u": "hidden"}"#, Some("t"))] {
            let error = token(text, field).unwrap_err().to_string();
            assert!(error.contains("token.json: ") && !error.contains("hidden"), "{error}");
        }
    }
}
