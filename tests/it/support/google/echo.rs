//! Refusals that echo a secret of the request: each answer echoes another secret or uses another encoding.

use super::{Google, Refusal, oauth};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::request::Parts;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

const ENCODINGS: [fn(&str) -> String; 6] = [
    str::to_owned,
    |text| form_urlencoded::byte_serialize(text.as_bytes()).collect(),
    |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(),
    |text| json!(json!(text).to_string()).to_string(),
    |text| text.chars().flat_map(|char| [char, '\u{1}']).collect(),
    // Truncated.
    |text| text.chars().take(text.len().min(60)).collect(),
];

impl Google {
    /// Refuses requests below this path with an echo of their secrets.
    pub(crate) fn echoes_below(&self, path: &'static str) {
        *self.state.echoed.lock().unwrap() = Some(path);
    }

    /// The secrets of the echoed requests.
    pub(crate) fn echoed(&self) -> Vec<String> {
        self.state.secrets.lock().unwrap().concat()
    }

    pub(super) fn echoes(&self, path: &str) -> bool {
        self.state.echoed.lock().unwrap().is_some_and(|echoed| path.starts_with(echoed))
    }

    pub(super) fn echo(&self, parts: &Parts, body: &[u8]) -> Refusal {
        let names = ["authorization", "x-api-key", "x-aws-ec2-metadata-token"];
        let headers = names.iter().filter_map(|name| parts.headers.get(*name)?.to_str().ok());
        let mut secrets: Vec<_> = headers.map(|value| value.rsplit(' ').next().unwrap().to_owned()).collect();
        let basic = secrets.first().and_then(|secret| String::from_utf8(BASE64_STANDARD.decode(secret).ok()?).ok());
        secrets.extend(basic.and_then(|basic| Some(basic.split_once(':')?.1.to_owned())));
        let query = parts.uri.query().unwrap_or_default();
        for (name, value) in form_urlencoded::parse(body).chain(form_urlencoded::parse(query.as_bytes())) {
            if ["assertion", "refresh_token", "client_secret", "subject_token", "key"].contains(&&*name) {
                secrets.push(value.into_owned());
            }
        }
        let mut echoed = self.state.secrets.lock().unwrap();
        // One secret per answer, because log lines are truncated.
        let (encoding, secret) = (echoed.len() % ENCODINGS.len(), echoed.len() / ENCODINGS.len() % secrets.len());
        let echo = ENCODINGS[encoding](&secrets[secret]);
        echoed.push(secrets);
        oauth("invalid_request", &echo)
    }
}
