//! The answers of OAuth token endpoints, and deserializers for credentials.

use super::form::Form;
use super::upstream::{Upstream, unavailable};
use crate::fetch_error::FetchError;
use gce_metadata_routes::token::{AccessToken, IdToken, Secret};
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::time::Duration;

pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub(super) const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The lifetime of a token whose answer has no `expires_in`.
const LIFETIME: Duration = Duration::from_secs(3600);
/// The longest lifetime of Google's access tokens. A larger number is an error of the endpoint.
const MAX_LIFETIME: Duration = Duration::from_secs(43_200);

#[derive(Deserialize)]
struct Granted {
    #[serde(default, deserialize_with = "token")]
    access_token: Option<Secret>,
    #[serde(default, deserialize_with = "token")]
    id_token: Option<Secret>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<Duration>,
}

/// Deserializes an optional token; an empty token is `None`.
pub(super) fn token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    secret(deserializer).map(|token| token.filter(|token| !token.expose().is_empty()))
}

/// Deserializes an optional number of whole seconds. Some endpoints answer with a string or a float, and clients accept
/// both.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let number = match Option::<Value>::deserialize(deserializer)? {
        None => return Ok(None),
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.parse().ok(),
        Some(_) => None,
    };
    let whole = number.filter(|number: &f64| *number >= 0.0 && number.fract() == 0.0);
    let whole = whole.ok_or_else(|| D::Error::custom("a whole number of seconds is expected"))?;
    Ok(Some(Duration::from_secs_f64(whole.min(MAX_LIFETIME.as_secs_f64()))))
}

/// An access token with its lifetime limited to that of Google's tokens. A lifetime below a second is an error, because
/// the `expires_in` of the answer would be 0.
pub(super) fn granted(token: Secret, lifetime: Duration) -> Result<AccessToken, FetchError> {
    if lifetime < Duration::from_secs(1) {
        return Err(unavailable("an answer with a token that has expired".to_owned()));
    }
    Ok(AccessToken::new(token, lifetime.min(MAX_LIFETIME)))
}

/// Deserializes an optional secret, which is wiped from memory when dropped.
pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|secret| secret.map(Secret::from))
}

/// Deserializes a required secret.
pub(super) fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::from)
}

/// Deserializes an optional name, such as that of a universe; an empty name is `None`.
pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|name| name.filter(|name| !name.is_empty()))
}

/// Exchanges the form for an access token.
pub(super) async fn access_token(upstream: &Upstream, url: &str, form: Form) -> Result<AccessToken, FetchError> {
    let granted: Granted = upstream.post_form(url, form).await?;
    let token = granted.access_token.ok_or_else(|| unavailable("an answer without access_token".to_owned()))?;
    self::granted(token, granted.expires_in.unwrap_or(LIFETIME))
}

/// Exchanges the form for an identity token.
pub(super) async fn id_token(upstream: &Upstream, url: &str, form: Form) -> Result<IdToken, FetchError> {
    let granted: Granted = upstream.post_form(url, form).await?;
    let token = granted.id_token.ok_or_else(|| unavailable("an answer without id_token".to_owned()))?;
    Ok(IdToken::new(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(answer: Value) -> Option<Granted> {
        serde_json::from_value(answer).ok()
    }

    #[test]
    fn expires_in_may_be_a_number_a_string_or_a_float_and_is_limited() {
        let seconds = |value: Value| parsed(json!({"expires_in": value})).map(|granted| granted.expires_in);
        for value in [json!(3599), json!("3599"), json!(3599.0), json!("3599.0")] {
            assert_eq!(seconds(value.clone()), Some(Some(Duration::from_secs(3599))), "{value}");
        }
        for value in [json!(43_201), json!("99999999"), json!(u64::MAX), json!(1e300)] {
            assert_eq!(seconds(value.clone()), Some(Some(MAX_LIFETIME)), "{value}");
        }
        for value in
            [json!(3599.5), json!("soon"), json!(""), json!("inf"), json!("NaN"), json!(-1), json!("-1"), json!([])]
        {
            assert_eq!(seconds(value.clone()), None, "{value}");
        }
        assert_eq!(seconds(json!(null)), Some(None));
        assert_eq!(parsed(json!({})).unwrap().expires_in, None);
    }

    #[test]
    fn an_empty_token_is_no_token() {
        let granted = parsed(json!({"access_token": "", "id_token": ""})).unwrap();
        assert!(granted.access_token.is_none() && granted.id_token.is_none());
        assert!(parsed(json!({"access_token": "ya29.made-up"})).unwrap().access_token.is_some());
    }

    #[test]
    fn a_token_with_less_than_a_second_to_live_is_an_error() {
        let lifetime = |lifetime| granted("ya29.made-up".into(), lifetime).map(|token| token.expires_in).ok();
        assert_eq!(lifetime(Duration::from_millis(999)), None);
        assert_eq!(lifetime(Duration::from_secs(1)), Some(Duration::from_secs(1)));
        assert_eq!(lifetime(Duration::MAX), Some(MAX_LIFETIME));
    }
}
