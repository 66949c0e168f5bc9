//! Google, as far as tokens go: a real HTTP server that checks what Google checks and answers in Google's shapes, refusals
//! included. Every access token it makes is signed, and [`Google::api`] takes no other.

pub(crate) mod aws;
#[cfg(feature = "cli")]
mod tls;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use jwt_simple::prelude::*;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

pub(crate) const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
pub(crate) const AUDIENCE: &str =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q";
pub(crate) const SUBJECT_TOKEN: &str = "made-up-subject-token";
pub(crate) const REFRESH_TOKEN: &str = "made-up-refresh-token";
/// The client that people and workforces may come by, and its secret.
pub(crate) const CLIENT: (&str, &str) = ("c.apps.example.com", "made-up-client-secret");
const SERVICE_ACCOUNTS: &str = "projects/-/serviceAccounts/";

/// A running one. It stops with the test's runtime.
#[derive(Clone)]
pub(crate) struct Google {
    pub(crate) url: String,
    state: Arc<State>,
}

struct State {
    key: RS256KeyPair,
    /// Public keys of service accounts by e-mail.
    keys: Mutex<HashMap<String, RS256PublicKey>>,
    /// Accounts that may be acted as, and by way of which others.
    actable: Mutex<HashMap<String, Vec<String>>>,
    /// Paths of all requests, in their order.
    asked: Mutex<Vec<String>>,
    /// Statuses with which the next requests fail, and when they may come again.
    failures: Mutex<Vec<(u16, Option<&'static str>)>>,
    /// How many access tokens there are.
    made: AtomicU64,
    /// How many of them are no good any more.
    revoked: AtomicU64,
}

#[derive(Serialize, Deserialize)]
struct Grant {
    email: String,
    scope: String,
}

/// A made-up key: its PEM (PKCS#8), and the public half in DER.
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

/// The same key in the older format: PKCS#8 is an envelope of 26 bytes around it.
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
            actable: Mutex::default(),
            asked: Mutex::default(),
            failures: Mutex::default(),
            made: AtomicU64::new(0),
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

    /// One connection, of a client with this certificate.
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Option<Vec<u8>>) {
        let service = hyper::service::service_fn(move |request| {
            let (google, peer) = (self.clone(), peer.clone());
            async move { Ok::<_, std::convert::Infallible>(google.answer(request, peer).await) }
        });
        // A client that leaves early is no business of this side's.
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    /// A service account with a new key: the key file that Google would give out.
    pub(crate) fn service_account(&self, email: &str) -> Value {
        let (pem, spki) = new_key();
        self.state.keys.lock().unwrap().insert(email.to_owned(), RS256PublicKey::from_der(&spki).unwrap());
        json!({
            "type": "service_account", "project_id": "sample-project", "private_key_id": "0123456789abcdef",
            "private_key": pem, "client_email": email, "client_id": "1", "token_uri": format!("{}/token", self.url),
        })
    }

    /// A service account with this key of its own, in PEM.
    #[cfg(feature = "tpm")]
    pub(crate) fn knows(&self, email: &str, pem: &str) {
        let key = RS256KeyPair::from_pem(pem).unwrap().public_key();
        self.state.keys.lock().unwrap().insert(email.to_owned(), key);
    }

    pub(crate) fn person(&self) -> Value {
        json!({
            "type": "authorized_user", "client_id": CLIENT.0, "client_secret": CLIENT.1,
            "refresh_token": REFRESH_TOKEN, "token_uri": format!("{}/token", self.url),
        })
    }

    /// A workload whose subject token comes from there.
    pub(crate) fn workload(&self, credential_source: Value) -> Value {
        json!({
            "type": "external_account", "audience": AUDIENCE, "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("{}/v1/token", self.url), "credential_source": credential_source,
        })
    }

    pub(crate) fn impersonation_url(&self, email: &str) -> String {
        format!("{}/v1/projects/-/serviceAccounts/{email}:generateAccessToken", self.url)
    }

    /// Whom federated identities and people may act as.
    pub(crate) fn lets_act_as(&self, email: &str) {
        self.lets_act_by(&[], email);
    }

    /// The same, if these are named as those in between.
    pub(crate) fn lets_act_by(&self, delegates: &[&str], email: &str) {
        let delegates = delegates.iter().map(|delegate| format!("{SERVICE_ACCOUNTS}{delegate}")).collect();
        self.state.actable.lock().unwrap().insert(email.to_owned(), delegates);
    }

    /// Fails the next requests with these statuses.
    pub(crate) fn fail_with(&self, statuses: &[u16]) {
        *self.state.failures.lock().unwrap() = statuses.iter().rev().map(|status| (*status, None)).collect();
    }

    /// Fails the next request with this status, and says when another one may come.
    pub(crate) fn puts_off(&self, status: u16, retry_after: &'static str) {
        *self.state.failures.lock().unwrap() = vec![(status, Some(retry_after))];
    }

    /// Takes back all access tokens that it has made.
    pub(crate) fn revoke(&self) {
        self.state.revoked.store(self.state.made.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// How many requests have come for this path.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.state.asked.lock().unwrap().iter().filter(|asked| *asked == path).count()
    }

    /// Whose token it is and what for, if it is one of Google's, or signed by a service account itself.
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

    /// The audience and account of an identity token of Google's.
    pub(crate) fn id_token(&self, token: &str) -> (String, String) {
        let claims = self.id_claims(token);
        let audience = claims.audiences.unwrap().into_string().unwrap();
        (audience, claims.custom["azp"].as_str().unwrap().to_owned())
    }

    /// All that it says.
    pub(crate) fn id_claims(&self, token: &str) -> JWTClaims<Value> {
        self.state.key.public_key().verify_token::<Value>(token, None).unwrap()
    }

    /// The claims of an assertion that is signed with its issuer's key and within its time.
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
        // No two are the same, as with Google.
        let number = self.state.made.fetch_add(1, Ordering::Relaxed).to_string();
        let claims = Claims::with_custom_claims(grant, Duration::from_secs(3600)).with_jwt_id(number);
        self.state.key.sign(claims).unwrap()
    }

    fn new_id_token(&self, email: &str, audience: &str, says_email: bool) -> String {
        let custom = if says_email { json!({"azp": email, "email": email}) } else { json!({"azp": email}) };
        let claims = Claims::with_custom_claims(custom, Duration::from_secs(3600));
        self.state.key.sign(claims.with_audience(audience).with_issuer("https://accounts.google.com")).unwrap()
    }

    async fn answer(&self, request: Request<Incoming>, peer: Option<Vec<u8>>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        self.state.asked.lock().unwrap().push(path.clone());
        let body = body.collect().await.unwrap().to_bytes();
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let bearer = header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let amazons = path
            .strip_prefix("/latest/")
            .and_then(|path| aws::metadata(&parts.method, path, |name| header(name).into()));
        let failure = self.state.failures.lock().unwrap().pop();
        let outcome = match (&parts.method, &*path) {
            _ if failure.is_some() => Err(api(failure.unwrap().0, "UNAVAILABLE", "told to fail")),
            _ if amazons.is_some() => Ok(amazons.unwrap()),
            (&Method::POST, "/token") => self.token(&body),
            (&Method::POST, "/v1/token") => self.exchange(&body, peer, header("authorization")),
            (&Method::GET, "/subject") if header("x-wanted") == "yes" => Ok(json!({"token": SUBJECT_TOKEN})),
            (&Method::GET, "/api") => self
                .api(bearer)
                .map(|(email, scope)| json!({"email": email, "scope": scope}))
                .map_err(|problem| api(401, "UNAUTHENTICATED", &problem)),
            (&Method::POST, path) => self.iam(path, bearer, &body),
            _ => Err(api(404, "NOT_FOUND", "no such thing")),
        };
        let (status, json) = outcome.map_or_else(|refusal| refusal, |json| (StatusCode::OK, json));
        let mut response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
        if let Some((_, Some(retry_after))) = failure {
            response = response.header(header::RETRY_AFTER, retry_after);
        }
        let text = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
        response.body(Full::from(text)).unwrap()
    }

    /// `oauth2.googleapis.com/token`
    fn token(&self, form: &[u8]) -> Result<Value, Refusal> {
        let form: HashMap<String, String> = form_urlencoded::parse(form).into_owned().collect();
        let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
        match field("grant_type") {
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                let claims = self.assertion(field("assertion")).map_err(|problem| oauth("invalid_grant", &problem))?;
                let audience = claims.audiences.and_then(|it| it.into_string().ok());
                if audience != Some(format!("{}/token", self.url)) {
                    return Err(oauth("invalid_grant", "Invalid JWT: Failed audience check."));
                }
                let email = claims.issuer.unwrap();
                match (claims.custom["scope"].as_str(), claims.custom["target_audience"].as_str()) {
                    (Some(scope), None) if !scope.is_empty() => {
                        let token = self.access_token(&email, scope);
                        Ok(json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}))
                    }
                    (None, Some(audience)) => Ok(json!({"id_token": self.new_id_token(&email, audience, true)})),
                    _ => Err(oauth("invalid_scope", "Invalid OAuth scope or ID token audience provided.")),
                }
            }
            "refresh_token" if field("client_secret") != CLIENT.1 => Err(oauth("invalid_client", "Unauthorized")),
            "refresh_token" if field("refresh_token") == REFRESH_TOKEN && field("client_id") == CLIENT.0 => {
                let token = self.access_token("person@example.com", CLOUD_PLATFORM);
                Ok(json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}))
            }
            "refresh_token" => Err(oauth("invalid_grant", "Token has been expired or revoked.")),
            _ => Err(oauth("unsupported_grant_type", "Invalid grant_type")),
        }
    }

    /// `sts.googleapis.com/v1/token`
    fn exchange(&self, form: &[u8], peer: Option<Vec<u8>>, authorization: &str) -> Result<Value, Refusal> {
        let client = match authorization {
            "" => String::new(),
            basic if basic == format!("Basic {}", BASE64_STANDARD.encode([CLIENT.0, CLIENT.1].join(":"))) => {
                format!(" by {}", CLIENT.0)
            }
            _ => return Err((StatusCode::UNAUTHORIZED, json!({"error": "invalid_client"}))),
        };
        let form: HashMap<String, String> = form_urlencoded::parse(form).into_owned().collect();
        for (name, wanted) in [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", AUDIENCE),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ] {
            if form.get(name).map(String::as_str) != Some(wanted) {
                return Err(oauth("invalid_request", &format!("Invalid value for \"{name}\"")));
            }
        }
        let subject = match (&*form["subject_token_type"], &*form["subject_token"]) {
            (_, SUBJECT_TOKEN) => "principal://workload".to_owned(),
            ("urn:ietf:params:aws:token-type:aws4_request", token) => {
                aws::verify(token).map_err(|problem| oauth("invalid_grant", &problem))?
            }
            ("urn:ietf:params:oauth:token-type:mtls", chain) => {
                let chain: Vec<String> = serde_json::from_str(chain).unwrap();
                if peer.map(|peer| BASE64_STANDARD.encode(peer)).as_ref() != chain.first() {
                    return Err(oauth("invalid_grant", "The certificate is not the client's."));
                }
                format!("principal://certificate/{}", chain.len())
            }
            _ => return Err(oauth("invalid_grant", "Invalid subject token.")),
        };
        // Workforce pools say who pays.
        let options = form.get("options").map(|options| serde_json::from_str::<Value>(options).unwrap());
        let payer = options.and_then(|options| options["userProject"].as_str().map(|it| format!(" for {it}")));
        let token = self.access_token(&(subject + &client + &payer.unwrap_or_default()), &form["scope"]);
        Ok(json!({
            "access_token": token, "expires_in": 3599, "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }))
    }

    /// `iamcredentials.googleapis.com`
    fn iam(&self, path: &str, bearer: &str, body: &[u8]) -> Result<Value, Refusal> {
        let (_, scope) = self
            .api(bearer)
            .map_err(|_| api(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."))?;
        let named = path.strip_prefix("/v1/").and_then(|path| path.strip_prefix(SERVICE_ACCOUNTS)?.split_once(':'));
        let (email, method) = named.ok_or_else(|| api(404, "NOT_FOUND", "no such method"))?;
        let body: Value = serde_json::from_slice(body).map_err(|_| api(400, "INVALID_ARGUMENT", "no JSON"))?;
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
        };
        let may = self.state.actable.lock().unwrap().get(email) == Some(&texts(&body["delegates"]));
        if !may || !scope.split(' ').any(|it| it == CLOUD_PLATFORM) {
            return Err(api(403, "PERMISSION_DENIED", "Permission 'iam.serviceAccounts.getAccessToken' denied"));
        }
        match method {
            "generateAccessToken" => {
                let seconds = body["lifetime"].as_str().and_then(|it| it.strip_suffix('s')?.parse().ok());
                let seconds = seconds.filter(|seconds| (1..=43_200).contains(seconds));
                let seconds = seconds.ok_or_else(|| api(400, "INVALID_ARGUMENT", "no such lifetime"))?;
                let expiry = OffsetDateTime::now_utc() + std::time::Duration::from_secs(seconds);
                Ok(json!({
                    "accessToken": self.access_token(email, &texts(&body["scope"]).join(" ")),
                    "expireTime": expiry.format(&Rfc3339).unwrap(),
                }))
            }
            "generateIdToken" => {
                let says_email = body["includeEmail"].as_bool().unwrap();
                Ok(json!({"token": self.new_id_token(email, body["audience"].as_str().unwrap(), says_email)}))
            }
            _ => Err(api(404, "NOT_FOUND", "no such method")),
        }
    }
}
