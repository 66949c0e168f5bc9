//! A fake of Google's token endpoints: an HTTP server that verifies requests as Google does and answers in Google's shapes,
//! errors included. Its access tokens are signed, and [`Google::api`] verifies them.

pub(crate) mod aws;
mod echo;
mod endpoints;
#[cfg(feature = "cli")]
mod tls;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use hyper_util::rt::TokioIo;
use jwt_simple::prelude::*;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

pub(crate) const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
pub(crate) const AUDIENCE: &str =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q";
pub(crate) const SUBJECT_TOKEN: &str = "made-up-subject-token";
pub(crate) const REFRESH_TOKEN: &str = "made-up-refresh-token";
/// OAuth client ID and secret of user credentials and workforce pools.
pub(crate) const CLIENT: (&str, &str) = ("c.apps.example.com", "made-up-client-secret");
const SERVICE_ACCOUNTS: &str = "projects/-/serviceAccounts/";

/// A running fake; it stops with the test's runtime.
#[derive(Clone)]
pub(crate) struct Google {
    pub(crate) url: String,
    state: Arc<State>,
}

struct State {
    key: RS256KeyPair,
    /// Public keys of service accounts by e-mail.
    keys: Mutex<HashMap<String, RS256PublicKey>>,
    /// Accounts that may be impersonated, each with the delegates that a request must name.
    impersonable: Mutex<HashMap<String, Vec<String>>>,
    /// Paths of all requests, in order.
    asked: Mutex<Vec<String>>,
    /// Statuses of the next requests, in reverse order, each with its `Retry-After`.
    failures: Mutex<Vec<(u16, Option<&'static str>)>>,
    /// Requests below this path are refused with an echo of their secrets.
    echoed: Mutex<Option<&'static str>>,
    /// The secrets of each echoed request.
    secrets: Mutex<Vec<Vec<String>>>,
    /// Number of access tokens issued so far.
    issued: AtomicU64,
    /// Access tokens with a lower number are revoked.
    revoked: AtomicU64,
}

#[derive(Serialize, Deserialize)]
struct Grant {
    email: String,
    scope: String,
}

/// Generates an RSA key: PEM (PKCS#8), and the public key in DER.
pub(crate) fn new_key() -> (String, Vec<u8>) {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let spki: PublicKeyX509Der<'_> = key.public_key().as_der().unwrap();
    let base64 = BASE64_STANDARD.encode(pkcs8.as_ref());
    let lines = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap());
    let label = "PRIVATE KEY";
    let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.collect::<Vec<_>>().join("\n"));
    (pem, spki.as_ref().to_vec())
}

/// Converts a key from PKCS#8 to PKCS#1 by removing the PKCS#8 header of 26 bytes.
pub(crate) fn pkcs1(pkcs8: &str) -> String {
    let base64: String = pkcs8.lines().filter(|line| !line.starts_with('-')).collect();
    let body = BASE64_STANDARD.encode(&BASE64_STANDARD.decode(base64).unwrap()[26..]);
    format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n")
}

type Refusal = (StatusCode, Value);

fn oauth(error: &str, description: &str) -> Refusal {
    (StatusCode::BAD_REQUEST, json!({"error": error, "error_description": description}))
}

fn api(code: u16, status: &str, message: &str) -> Refusal {
    (StatusCode::from_u16(code).unwrap(), json!({"error": {"code": code, "message": message, "status": status}}))
}

impl Google {
    pub(crate) async fn start() -> Self {
        let (pem, _) = new_key();
        let state = Arc::new(State {
            key: RS256KeyPair::from_pem(&pem).unwrap(),
            keys: Mutex::default(),
            impersonable: Mutex::default(),
            asked: Mutex::default(),
            failures: Mutex::default(),
            echoed: Mutex::default(),
            secrets: Mutex::default(),
            issued: AtomicU64::new(0),
            revoked: AtomicU64::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let google = Self { url: format!("http://{}", listener.local_addr().unwrap()), state };
        let served = google.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(served.clone().serve(stream, None));
            }
        });
        google
    }

    /// Serves one connection; `peer` is the client's certificate.
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Option<Vec<u8>>) {
        let service = hyper::service::service_fn(move |request| {
            let (google, peer) = (self.clone(), peer.clone());
            async move { Ok::<_, std::convert::Infallible>(google.answer(request, peer).await) }
        });
        // A client may close the connection early.
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    /// Creates a service account with a new key; returns the JSON key file.
    pub(crate) fn service_account(&self, email: &str) -> Value {
        let (pem, spki) = new_key();
        self.state.keys.lock().unwrap().insert(email.to_owned(), RS256PublicKey::from_der(&spki).unwrap());
        json!({
            "type": "service_account", "project_id": "sample-project", "private_key_id": "0123456789abcdef",
            "private_key": pem, "client_email": email, "client_id": "1", "token_uri": format!("{}/token", self.url),
        })
    }

    /// Creates a service account with this key in PEM.
    #[cfg(any(feature = "tpm", all(feature = "cli", feature = "pkcs11")))]
    pub(crate) fn add_service_account(&self, email: &str, pem: &str) {
        let key = RS256KeyPair::from_pem(pem).unwrap().public_key();
        self.state.keys.lock().unwrap().insert(email.to_owned(), key);
    }

    pub(crate) fn user_credentials(&self) -> Value {
        json!({
            "type": "authorized_user", "client_id": CLIENT.0, "client_secret": CLIENT.1,
            "refresh_token": REFRESH_TOKEN, "token_uri": format!("{}/token", self.url),
        })
    }

    /// Credentials of a federated workload whose subject token comes from this source.
    pub(crate) fn workload(&self, credential_source: Value) -> Value {
        json!({
            "type": "external_account", "audience": AUDIENCE, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("{}/v1/token", self.url), "credential_source": credential_source,
        })
    }

    pub(crate) fn impersonation_url(&self, email: &str) -> String {
        format!("{}/v1/projects/-/serviceAccounts/{email}:generateAccessToken", self.url)
    }

    /// Lets users and federated identities impersonate this account.
    pub(crate) fn allow_impersonation(&self, email: &str) {
        self.allow_impersonation_by(&[], email);
    }

    /// Lets them impersonate this account if they name these delegates.
    pub(crate) fn allow_impersonation_by(&self, delegates: &[&str], email: &str) {
        let delegates = delegates.iter().map(|delegate| format!("{SERVICE_ACCOUNTS}{delegate}")).collect();
        self.state.impersonable.lock().unwrap().insert(email.to_owned(), delegates);
    }

    /// Fails the next requests with these statuses.
    pub(crate) fn fail_with(&self, statuses: &[u16]) {
        *self.state.failures.lock().unwrap() = statuses.iter().rev().map(|status| (*status, None)).collect();
    }

    /// Fails the next request with this status and this `Retry-After`.
    pub(crate) fn fail_with_retry_after(&self, status: u16, retry_after: &'static str) {
        *self.state.failures.lock().unwrap() = vec![(status, Some(retry_after))];
    }

    /// Revokes all access tokens issued so far.
    pub(crate) fn revoke(&self) {
        self.state.revoked.store(self.state.issued.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Number of requests for this path so far.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.state.asked.lock().unwrap().iter().filter(|asked| *asked == path).count()
    }

    /// Verifies an access token, issued by the fake or self-signed by a service account; returns its owner and scopes.
    pub(crate) fn api(&self, token: &str) -> Result<(String, String), String> {
        let own = self.state.key.public_key().verify_token::<Grant>(token, None);
        if let Ok(claims) = own {
            let number: u64 = claims.jwt_id.unwrap().parse().unwrap();
            if number < self.state.revoked.load(Ordering::Relaxed) {
                return Err("revoked".to_owned());
            }
            return Ok((claims.custom.email, claims.custom.scope));
        }
        self.assertion(token)
            .map(|claims| (claims.issuer.unwrap(), claims.custom["scope"].as_str().unwrap_or("").into()))
    }

    /// Verifies an identity token; returns its audience and account.
    pub(crate) fn id_token(&self, token: &str) -> (String, String) {
        let claims = self.id_claims(token);
        let audience = claims.audiences.unwrap().into_string().unwrap();
        (audience, claims.custom["azp"].as_str().unwrap().to_owned())
    }

    /// Verifies an identity token; returns all its claims.
    pub(crate) fn id_claims(&self, token: &str) -> JWTClaims<Value> {
        self.state.key.public_key().verify_token::<Value>(token, None).unwrap()
    }

    /// Verifies the signature and lifetime of a service account's assertion; returns its claims.
    fn assertion(&self, jwt: &str) -> Result<JWTClaims<Value>, String> {
        let payload = jwt.split('.').nth(1).ok_or("no JWT")?;
        let payload = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(payload).map_err(|error| error.to_string())?;
        let payload: Value = serde_json::from_slice(&payload).map_err(|error| error.to_string())?;
        let keys = self.state.keys.lock().unwrap();
        let key = keys.get(payload["iss"].as_str().unwrap_or_default()).ok_or("account not found")?;
        let claims = key.verify_token::<Value>(jwt, None).map_err(|_| "Invalid JWT Signature.")?;
        let (issued, expires) = (claims.issued_at.ok_or("no iat")?, claims.expires_at.ok_or("no exp")?);
        if expires.as_secs() - issued.as_secs() > 3600 {
            return Err("Token must be a short-lived token".to_owned());
        }
        match claims.subject == claims.issuer {
            true => Ok(claims),
            false => Err("Unauthorized client or scope in request.".to_owned()),
        }
    }

    fn access_token(&self, email: &str, scope: &str) -> String {
        let grant = Grant { email: email.to_owned(), scope: scope.to_owned() };
        // A number makes each token unique.
        let number = self.state.issued.fetch_add(1, Ordering::Relaxed).to_string();
        let claims = Claims::with_custom_claims(grant, Duration::from_secs(3600)).with_jwt_id(number);
        self.state.key.sign(claims).unwrap()
    }

    fn new_id_token(&self, email: &str, audience: &str, include_email: bool) -> String {
        let custom = if include_email { json!({"azp": email, "email": email}) } else { json!({"azp": email}) };
        let claims = Claims::with_custom_claims(custom, Duration::from_secs(3600));
        self.state.key.sign(claims.with_audience(audience).with_issuer("https://accounts.google.com")).unwrap()
    }
}
