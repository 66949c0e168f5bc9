//! Tests with a host that echoes requests in its errors: for every request and encoding of the echo, no part of a
//! secret is quoted.

use super::*;
use crate::live::form::Form;
use http_body_util::BodyExt;
use serde_json::json;
use tower::service_fn;

const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJtYWRlLXVwIn0.bWFkZSt1cC9zaWduYXR1cmU_-=";
const PASSWORD: &str = "made+up/pass word%\"=";

/// The encodings of an echo.
const ECHOES: [fn(&str) -> String; 7] = [
    str::to_owned,
    |text| form_urlencoded::byte_serialize(text.as_bytes()).collect(),
    |text| percent_encoding::percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned(),
    |text| json!(text).to_string(),
    |text| json!(json!(text).to_string()).to_string(),
    |text| text.chars().flat_map(|char| [char, '\u{1}']).collect(),
    |text| text.chars().flat_map(|char| [char, '\n']).collect(),
];

/// An upstream whose host echoes the secret headers, the end of the body and the query.
fn echoing(echo: fn(&str) -> String) -> Upstream {
    Upstream::over(service_fn(move |request: UpstreamRequest| async move {
        let (parts, body) = request.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let secret = parts.headers.values().filter(|value| value.is_sensitive());
        let headers: Vec<_> = secret.map(|value| value.to_str().unwrap()).collect();
        let end = &body[body.len().saturating_sub(250)..];
        let text = echo(&format!("{} {end} {}", headers.join(" "), parts.uri.query().unwrap_or_default()));
        let answer = json!({"error": "invalid_request", "error_description": text});
        Ok(Response::builder().status(400).body(Bytes::from(answer.to_string())).unwrap())
    }))
}

/// The text of the error, decoded.
fn decoded(error: FetchError) -> String {
    let text = error.to_string().replace("\\u0001", "").replace(['\\', '+', ' '], "");
    percent_encoding::percent_decode_str(&text.replace("%25", "%")).decode_utf8_lossy().replace(['\\', '+', ' '], "")
}

fn assert_redacted(error: FetchError, secrets: &[&str]) {
    let text = decoded(error);
    assert!(text.contains("answered400:invalid_request:") && text.contains("[redacted]"), "{text}");
    for secret in secrets {
        let secret: Vec<_> = secret.chars().filter(|char| !"+ \\".contains(*char)).collect();
        for part in secret.windows(secret.len().min(12)) {
            let part: String = part.iter().collect();
            assert!(!text.contains(&part), "{part} of {secret:?} is in {text}");
        }
    }
}

const URL: &str = "http://sts.example.com/token";

#[tokio::test]
async fn secrets_of_a_form_are_not_quoted() {
    for echo in ECHOES {
        for name in ["assertion", "refresh_token", "client_secret", "subject_token"] {
            for secret in [TOKEN, PASSWORD] {
                let form = Form::new("grant").field("client_id", "c").secret(name, &secret.into());
                let error = echoing(echo).post_form::<serde_json::Value>(URL, form).await.unwrap_err();
                assert_redacted(error, &[secret]);
            }
        }
    }
}

#[tokio::test]
async fn basic_credentials_are_not_quoted() {
    use base64::Engine;
    let base64 = base64::prelude::BASE64_STANDARD.encode(format!("id:{PASSWORD}"));
    let decoded: fn(&str) -> String = |text| {
        let basic = text.split(' ').nth(1).unwrap();
        String::from_utf8(base64::prelude::BASE64_STANDARD.decode(basic).unwrap()).unwrap()
    };
    for echo in ECHOES.into_iter().chain([decoded]) {
        let form = Form::new("grant").client("id", &PASSWORD.into());
        let error = echoing(echo).post_form::<serde_json::Value>(URL, form).await.unwrap_err();
        assert_redacted(error, &[PASSWORD, &base64]);
    }
}

#[tokio::test]
async fn bearer_tokens_and_audiences_are_not_quoted() {
    let audience = "https://made-up-audience.invalid/?made=up";
    for echo in ECHOES {
        let body = json!({"audience": audience, "includeEmail": true});
        let error = echoing(echo).post_json::<serde_json::Value>(URL, &TOKEN.into(), &body).await.unwrap_err();
        assert_redacted(error, &[TOKEN, audience]);
    }
}

#[tokio::test]
async fn headers_and_queries_are_not_quoted() {
    for echo in ECHOES {
        let url = format!("{URL}?v=1&key=made-up-url-key");
        let headers = [("x-api-key", "made-up-api-key"), ("authorization", &*format!("Custom {TOKEN}"))];
        let error = echoing(echo).fetch(Method::GET, &url, headers).await.unwrap_err();
        assert_redacted(error, &["made-up-api-key", TOKEN, "made-up-url-key"]);
    }
}

#[tokio::test(start_paused = true)]
async fn connection_errors_are_redacted() {
    let upstream = Upstream::over(service_fn(|_: UpstreamRequest| async {
        Err(NoAnswer::Unreachable(format!("no such header: {TOKEN}")))
    }));
    let form = Form::new("grant").secret("assertion", &TOKEN.into());
    let error = upstream.post_form::<serde_json::Value>(URL, form).await.unwrap_err().to_string();
    assert!(error.ends_with("sts.example.com: no such header: [redacted]"), "{error}");
}
