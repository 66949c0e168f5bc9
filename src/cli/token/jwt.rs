//! A JSON Web Token, decoded but not verified. Errors and `Debug` texts never contain the token.

use super::times::in_words;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// Why a text is not a JSON Web Token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotJwt {
    #[error("the token is empty")]
    Empty,
    #[error(
        "this is an opaque access token, which Google alone can verify; a JSON Web Token has three parts, separated by points"
    )]
    Opaque,
    #[error("this is not a JSON Web Token, which has three parts, separated by points; the number of parts is {0}")]
    Parts(usize),
    #[error("this is not a JSON Web Token: its {0} is not a JSON object in base64url")]
    Part(&'static str),
}

/// The header and the claims of a token.
#[derive(Debug)]
pub(super) struct Decoded {
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl Decoded {
    pub(super) fn from_token(token: &str) -> Result<Self, NotJwt> {
        let parts: Vec<_> = token.split('.').collect();
        match parts[..] {
            [""] => Err(NotJwt::Empty),
            [header, claims, _] if !token.starts_with("ya29.") => {
                Ok(Self { header: object("header", header)?, claims: object("payload", claims)? })
            }
            _ if token.starts_with("ya29.") => Err(NotJwt::Opaque),
            _ => Err(NotJwt::Parts(parts.len())),
        }
    }

    pub(super) fn algorithm(&self) -> Option<&str> {
        self.header.get("alg")?.as_str()
    }

    pub(super) fn key_id(&self) -> Option<&str> {
        self.header.get("kid")?.as_str()
    }

    /// A claim that is text.
    pub(super) fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// A claim that is a time, in words.
    pub(super) fn time(&self, claim: &str, now: SystemTime) -> Option<String> {
        in_words(claim, self.claims.get(claim)?.as_f64()?, now)
    }

    /// Whether the time from which the token is valid (`nbf`) is in the future.
    pub(super) fn is_before_its_time(&self, now: SystemTime) -> bool {
        let now = now.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        self.claims.get("nbf").and_then(Value::as_f64).is_some_and(|not_before| now < not_before)
    }

    /// The header and the claims, one on each line, with times in words.
    pub(super) fn describe(&self, now: SystemTime) -> String {
        let mut lines = String::new();
        let width = self.header.keys().chain(self.claims.keys()).map(|name| name.chars().count()).max().unwrap_or(0);
        for (title, members) in [("header", &self.header), ("claims", &self.claims)] {
            let _ = writeln!(lines, "{title}:");
            for (name, value) in members {
                let time = value.as_f64().and_then(|time| in_words(name, time, now));
                let time = time.map(|words| format!("  ({words})")).unwrap_or_default();
                let _ = writeln!(lines, "  {:width$}  {}{time}", printable(name), printable(&value.to_string()));
            }
        }
        lines
    }
}

fn object(part: &'static str, base64: &str) -> Result<Map<String, Value>, NotJwt> {
    let json = BASE64_URL_SAFE_NO_PAD.decode(base64).map_err(|_| NotJwt::Part(part))?;
    serde_json::from_slice(&json).map_err(|_| NotJwt::Part(part))
}

/// Escapes control characters, which a terminal would obey: the token is not verified yet.
pub(super) fn printable(text: &str) -> String {
    let escape = |character: char| {
        if character.is_control() { character.escape_default().collect() } else { character.to_string() }
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn token(header: &str, claims: &str) -> String {
        let [header, claims] = [header, claims].map(|json| BASE64_URL_SAFE_NO_PAD.encode(json));
        format!("{header}.{claims}.c2ln")
    }

    #[test]
    fn claims_are_described_with_times_in_words() {
        let token = token(r#"{"alg":"RS256"}"#, r#"{"aud":"https://a.example.com","exp":3600,"google":{"zone":"z"}}"#);
        let described = Decoded::from_token(&token).unwrap().describe(UNIX_EPOCH + Duration::from_secs(60));
        assert_eq!(
            described,
            "header:\n  alg     \"RS256\"\nclaims:\n  aud     \"https://a.example.com\"\n  \
             exp     3600  (1970-01-01 01:00:00 UTC, expires in 59 minutes)\n  google  {\"zone\":\"z\"}\n"
        );
    }

    #[test]
    fn control_characters_are_escaped() {
        let token = token("{}", "{\"a\u{9b}2J\": \"\u{9b}31m\\u001b[31m\"}");
        let described = Decoded::from_token(&token).unwrap().describe(UNIX_EPOCH);
        assert!(described.lines().all(|line| !line.contains(char::is_control)), "{described:?}");
        assert!(described.contains("\\u{9b}31m\\u001b[31m"), "{described}");
    }

    #[test]
    fn other_texts_are_errors_that_do_not_quote_them() {
        for (text, expected) in [
            ("", NotJwt::Empty),
            ("ya29.c.made-up", NotJwt::Opaque),
            ("made-up", NotJwt::Parts(1)),
            ("a.b.c.d.e", NotJwt::Parts(5)),
            ("made-up.e30.c2ln", NotJwt::Part("header")),
            ("e30.W10.c2ln", NotJwt::Part("payload")),
        ] {
            let error = Decoded::from_token(text).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains("made-up"), "{error}");
        }
    }
}
