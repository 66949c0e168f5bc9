//! The endpoints of the fake Google: what each verifies and how it answers.

use super::{
    AUDIENCE, CLIENT, CLOUD_PLATFORM, Google, REFRESH_TOKEN, Refusal, SERVICE_ACCOUNTS, SUBJECT_TOKEN, api, aws, oauth,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::collections::HashMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

impl Google {
    pub(super) async fn answer(&self, request: Request<Incoming>, peer: Option<Vec<u8>>) -> Response<Full<Bytes>> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        self.state.asked.lock().unwrap().push(path.clone());
        let body = body.collect().await.unwrap().to_bytes();
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let bearer = header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let aws = path
            .strip_prefix("/latest/")
            .and_then(|path| aws::metadata(&parts.method, path, |name| header(name).into()));
        let failure = self.state.failures.lock().unwrap().pop();
        let outcome = match (&parts.method, &*path) {
            _ if failure.is_some() => Err(api(failure.unwrap().0, "UNAVAILABLE", "failure requested by the test")),
            _ if self.echoes(&path) => Err(self.echo(&parts, &body)),
            _ if aws.is_some() => Ok(aws.unwrap()),
            (&Method::POST, "/token") => self.token(&body),
            (&Method::POST, "/v1/token") => self.exchange(&body, peer, header("authorization")),
            (&Method::GET, "/subject") if header("x-wanted") == "yes" => Ok(json!({"token": SUBJECT_TOKEN})),
            (&Method::GET, "/api") => self
                .api(bearer)
                .map(|(email, scope)| json!({"email": email, "scope": scope}))
                .map_err(|problem| api(401, "UNAUTHENTICATED", &problem)),
            (&Method::POST, path) => self.iam(path, bearer, &body),
            _ => Err(api(404, "NOT_FOUND", "no such path")),
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
        // Workforce pools name the project to bill.
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
        let may = self.state.impersonable.lock().unwrap().get(email) == Some(&texts(&body["delegates"]));
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
                let include_email = body["includeEmail"].as_bool().unwrap();
                Ok(json!({"token": self.new_id_token(email, body["audience"].as_str().unwrap(), include_email)}))
            }
            _ => Err(api(404, "NOT_FOUND", "no such method")),
        }
    }
}
