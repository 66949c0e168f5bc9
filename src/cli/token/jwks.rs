//! A JSON Web Key Set (RFC 7517): where it is, and the verification of a token with its keys.

use super::jwt::{Decoded, printable};
use crate::cli::file;
use crate::cli::http_client::{self, FLAVOR};
use crate::cli::target::Target;
use anyhow::{Context, bail};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gce_metadata_server::tokens::get_document;
use http::Uri;
use http::uri::Scheme;
use jwt_simple::JWTError;
use jwt_simple::prelude::{
    Duration as Seconds, HashSet, NoCustomClaims, PS256PublicKey, RS256PublicKey, RSAPublicKeyLike, VerificationOptions,
};
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The path of the server's own keys.
const OWN_PATH: &str = "/oauth2/v3/certs";

/// How long a server may take to answer. A server that has just started may have to generate its key first.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The place of a key set.
#[derive(Debug)]
pub(super) enum Place {
    /// A server over HTTP, and the path.
    Http(Target, String),
    Https(Uri),
    File(PathBuf),
}

/// Without the query, which may contain a secret.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(target, path) => write!(f, "http://{target}{}", path.split('?').next().unwrap_or_default()),
            Self::Https(uri) => write!(f, "https://{}{}", uri.authority().map_or("", |it| it.as_str()), uri.path()),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Place {
    /// The keys of the server itself.
    pub(super) fn of_server(server: Target) -> Self {
        Self::Http(server, OWN_PATH.to_owned())
    }

    /// A URL or the path of a file.
    pub(super) fn from_option(place: &str) -> anyhow::Result<Self> {
        if !place.starts_with("http://") && !place.starts_with("https://") {
            return Ok(Self::File(place.into()));
        }
        // The URL is not quoted, because it may contain a password.
        let uri = place.parse::<Uri>().context("--jwks: the URL is invalid")?;
        let authority = uri.authority().context("--jwks: the URL has no host")?;
        if authority.as_str().contains('@') {
            bail!("--jwks: the URL has a user name or password, which is not supported");
        }
        if uri.scheme() == Some(&Scheme::HTTPS) {
            return Ok(Self::Https(uri));
        }
        let target = Target::from_host(authority.as_str()).context("--jwks: the URL has no valid host and port")?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self::Http(target, path.to_owned()))
    }

    /// Reads the key set.
    pub(super) async fn load(&self) -> anyhow::Result<KeySet> {
        let text = match self {
            Self::Http(target, path) => {
                let answer = http_client::get(target, path, [FLAVOR], ANSWER_LIMIT).await?;
                if answer.status() == 404 && path == OWN_PATH {
                    bail!(
                        "{self} answered 404: the server does not sign tokens itself; name the issuer's keys with --jwks"
                    );
                }
                if !answer.status().is_success() {
                    bail!("{self} answered {}", answer.status());
                }
                answer.into_body().to_vec()
            }
            Self::Https(uri) => get_document(&uri.to_string()).await?.to_vec(),
            Self::File(path) => file::read(path).with_context(|| path.display().to_string())?.as_bytes().to_vec(),
        };
        KeySet::from_json(&text)
            .with_context(|| format!("{self}: not a JSON Web Key Set: an object with `keys` is expected"))
    }
}

/// The RSA keys of a set.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

/// The result of a verification.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verified {
    /// The signature verifies and all claims are as required. The ID of the key, if it has one.
    Valid(Option<String>),
    /// The signature verifies, but not the claims.
    InvalidClaims(Option<String>, Problem),
    /// The reason why the signature does not verify.
    InvalidSignature(String),
}

/// Why the claims of a token are refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    Expired,
    NotYetValid,
    OtherAudience,
    NoAudience,
    Malformed,
}

impl KeySet {
    fn from_json(text: &[u8]) -> Option<Self> {
        let json: Value = serde_json::from_slice(text).ok()?;
        let component =
            |key: &Value, name: &str| BASE64_URL_SAFE_NO_PAD.decode(key[name].as_str()?.trim_end_matches('=')).ok();
        let key = |key: &Value| {
            let (modulus, exponent) = (component(key, "n")?, component(key, "e")?);
            let is_rsa = key["kty"] == "RSA";
            is_rsa.then(|| Key { id: key["kid"].as_str().map(str::to_owned), modulus, exponent })
        };
        // Keys of other types are left out: none of Google's tokens for VMs is signed by one.
        Some(Self(json["keys"].as_array()?.iter().filter_map(key).collect()))
    }

    /// Verifies the signature, the times and the audience of a token.
    pub(super) fn verify(&self, token: &str, decoded: &Decoded, audience: Option<&str>, now: SystemTime) -> Verified {
        let invalid = |reason: String| Verified::InvalidSignature(reason);
        let algorithm = match decoded.algorithm() {
            Some("RS256") => Algorithm::Rs256,
            Some("PS256") => Algorithm::Ps256,
            other => {
                let name = printable(other.unwrap_or("none"));
                return invalid(format!("the algorithm {name} is not supported; Google's tokens for VMs have RS256"));
            }
        };
        // Tokens without the ID of a key may be signed by any of them.
        let keys: Vec<_> =
            self.0.iter().filter(|key| decoded.key_id().is_none() || key.id.as_deref() == decoded.key_id()).collect();
        if let (Some(id), true) = (decoded.key_id(), keys.is_empty()) {
            return invalid(format!("there is no RSA key with the ID {}", printable(id)));
        }
        let mut results = keys.iter().map(|key| (key, algorithm.verify(key, token, audience, now)));
        // The first key that the signature fits.
        let found = results.find(|(_, result)| !matches!(result, Outcome::OtherSignature));
        match found {
            Some((key, Outcome::Valid)) if decoded.is_before_its_time(now) => {
                Verified::InvalidClaims(key.id.clone(), Problem::NotYetValid)
            }
            Some((key, Outcome::Valid)) => Verified::Valid(key.id.clone()),
            Some((key, Outcome::Claims(problem))) => Verified::InvalidClaims(key.id.clone(), problem),
            Some((_, Outcome::Failed(reason))) => invalid(reason.to_owned()),
            Some((_, Outcome::OtherSignature)) | None => {
                invalid("the token was changed, or another key signed it".to_owned())
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Algorithm {
    Rs256,
    Ps256,
}

/// The result of the verification with one key.
enum Outcome {
    Valid,
    Claims(Problem),
    OtherSignature,
    Failed(&'static str),
}

impl Algorithm {
    fn verify(self, key: &Key, token: &str, audience: Option<&str>, now: SystemTime) -> Outcome {
        let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let options = VerificationOptions {
            allowed_audiences: audience.map(|audience| HashSet::from([audience.to_owned()])),
            // The clock of the issuer may be ahead.
            accept_future: true,
            time_tolerance: Some(Seconds::from_secs(0)),
            artificial_time: Some(Seconds::from_secs(seconds)),
            ..VerificationOptions::default()
        };
        let verified = match self {
            Self::Rs256 => RS256PublicKey::from_components(&key.modulus, &key.exponent)
                .map(|key| key.verify_token::<NoCustomClaims>(token, Some(options))),
            Self::Ps256 => PS256PublicKey::from_components(&key.modulus, &key.exponent)
                .map(|key| key.verify_token::<NoCustomClaims>(token, Some(options))),
        };
        let Ok(verified) = verified else {
            return Outcome::Failed(
                "the key can't be used: an RSA key of 2048 to 4096 bits with the exponent 65537 is expected",
            );
        };
        let error = match verified {
            Ok(_) => return Outcome::Valid,
            Err(error) => error,
        };
        match error.downcast_ref::<JWTError>() {
            Some(JWTError::TokenHasExpired) => Outcome::Claims(Problem::Expired),
            Some(JWTError::RequiredAudienceMismatch) => Outcome::Claims(Problem::OtherAudience),
            Some(JWTError::RequiredAudienceMissing) => Outcome::Claims(Problem::NoAudience),
            Some(JWTError::UnknownCriticalExtension) => {
                Outcome::Failed("its header has `crit`, which is not supported")
            }
            Some(JWTError::NotJWT) => Outcome::Failed("the `typ` of its header is not JWT"),
            Some(_) => Outcome::OtherSignature,
            // Claims are parsed after the signature has been verified.
            None if error.is::<serde_json::Error>() => Outcome::Claims(Problem::Malformed),
            None => Outcome::OtherSignature,
        }
    }
}

#[cfg(test)]
mod tests;
