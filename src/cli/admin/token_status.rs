//! The text of `token status`.

use serde_json::Value;
use std::fmt::Write;

/// The state of one account or of all accounts, from the JSON of the admin API.
pub(super) fn text(status: &Value) -> String {
    match status["accounts"].as_array() {
        Some(accounts) if accounts.is_empty() => "The metadata has no service account.\n".to_owned(),
        Some(accounts) => accounts.iter().map(account).collect::<Vec<_>>().join("\n"),
        None => account(status),
    }
}

fn account(status: &Value) -> String {
    let mut lines = format!("{}\n", word(&status["account"]));
    // Writing to a string can't fail.
    let _ = writeln!(lines, "  source: {}", word(&status["source"]));
    if let Some(behaviour) = status["behaviour"].as_object() {
        let settings: Vec<_> = behaviour.iter().map(|(name, value)| format!("{name} {}", word(value))).collect();
        let _ = writeln!(lines, "  behaviour: {}", settings.join(", "));
    }
    lines + &kind("access tokens", &status["accessTokens"]) + &kind("identity tokens", &status["idTokens"])
}

fn kind(name: &str, status: &Value) -> String {
    let given = Some(&status["given"]).filter(|given| given.is_object()).map(given);
    let error = status["lastError"].as_str().map(|error| format!("last error: {error}"));
    let cached = status["cached"].as_array().into_iter().flatten().map(cached);
    let lines: Vec<_> = given.into_iter().chain(error).chain(cached).collect();
    match &lines[..] {
        [] => format!("  {name}: none cached\n"),
        lines => format!("  {name}:\n    {}\n", lines.join("\n    ")),
    }
}

/// A given token.
fn given(given: &Value) -> String {
    let then = match given["then"].as_str() {
        Some("unavailable") => "then 503",
        _ => "then the source answers",
    };
    match given["expiresIn"].as_u64() {
        Some(0) => format!("given, ended, {then}"),
        Some(seconds) => format!("given, expires in {seconds} s, {then}"),
        None => "given, without an end".to_owned(),
    }
}

/// A cached token.
fn cached(token: &Value) -> String {
    let subject = match (token["scopes"].as_array(), token["audience"].as_str()) {
        (Some(scopes), _) => scopes.iter().map(word).collect::<Vec<_>>().join(" "),
        (None, Some(audience)) => format!("audience {audience}, format {}", word(&token["format"])),
        (None, None) => String::new(),
    };
    format!("cached, expires in {} s: {subject}", word(&token["expiresIn"]))
}

/// A string without quotes, or another value as JSON.
fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_text_has_given_and_cached_tokens_errors_and_behaviour() {
        let status = json!({
            "account": "sa@p.iam.gserviceaccount.com", "source": "offline",
            "behaviour": {"lifetime": 30, "reuse": false},
            "accessTokens": {
                "given": {"expiresIn": 59, "then": "unavailable"},
                "lastError": "HTTP 500",
                "cached": [{"scopes": ["a", "b"], "expiresIn": 10}],
            },
            "idTokens": {"cached": [{"audience": "https://a", "format": "full", "expiresIn": 20}]},
        });
        let expected = "\
sa@p.iam.gserviceaccount.com
  source: offline
  behaviour: lifetime 30, reuse false
  access tokens:
    given, expires in 59 s, then 503
    last error: HTTP 500
    cached, expires in 10 s: a b
  identity tokens:
    cached, expires in 20 s: audience https://a, format full
";
        assert_eq!(text(&status), expected);
        let all = text(&json!({"accounts": [status, {"account": "b", "source": "offline"}]}));
        assert_eq!(
            all,
            format!("{expected}\nb\n  source: offline\n  access tokens: none cached\n  identity tokens: none cached\n")
        );
    }
}
