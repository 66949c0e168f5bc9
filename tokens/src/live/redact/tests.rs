//! Tests of redaction: each kind of secret in each encoding, alone and among other words.

use super::*;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

/// The encodings of the secret in a request or in its echo.
fn encodings(secret: &str) -> Vec<(&'static str, String)> {
    let form = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let json = |text: &str| json!(text).to_string().trim_matches('"').to_owned();
    let lower = |text: String| text.replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d");
    let with = |separator: &str| secret.chars().map(String::from).collect::<Vec<_>>().join(separator);
    vec![
        ("raw", secret.to_owned()),
        ("form-encoded", form(secret)),
        ("form-encoded in lower case", lower(form(secret))),
        ("form-encoded twice", form(&form(secret))),
        (
            "percent-encoded",
            percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string(),
        ),
        ("JSON", json(secret)),
        ("JSON in JSON", json(&json(secret))),
        ("JSON with escaped slashes", json(secret).replace('/', "\\/")),
        ("JSON in a form", form(&json(secret))),
        ("JSON with escapes alone", secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()),
        ("with controls", with("\u{7}")),
        ("with line breaks", with("\r\n")),
        ("with percent-encoded line breaks", with("%0D%0A")),
    ]
}

const SECRETS: [&str; 5] = [
    "1//0made-up_refresh~token.1234567890",
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJtYWRlLXVwQGV4YW1wbGUuY29tIn0.bWFkZSt1cC9zaWduYXR1cmU_-=",
    "made+up/secret==with \"quotes\" and \\n back\\slashes",
    "pässwörter-€-pässe",
    "8letters",
];

#[test]
fn a_secret_is_redacted_in_every_encoding() {
    for secret in SECRETS {
        let redactions = Redactions::default().secret(&secret.into());
        for (encoding, encoded) in encodings(secret) {
            for (before, after) in
                [("", ""), ("no such token: ", ", try again"), ("token=", "&more=1"), ("{\"t\":\"", "\"}")]
            {
                let quoted = redactions.quote(&format!("{before}{encoded}{after}"));
                assert_eq!(quoted, format!("{before}[redacted]{after}"), "{encoding}: {encoded}");
            }
        }
    }
}

#[test]
fn the_base64_of_basic_credentials_is_redacted_in_every_encoding() {
    let basic = BASE64_STANDARD.encode("client:made-up>?secret");
    let redactions = Redactions::default().secret(&basic.as_str().into());
    for (encoding, encoded) in encodings(&basic) {
        assert_eq!(redactions.quote(&format!("Basic {encoded}.")), "Basic [redacted].", "{encoding}");
    }
}

#[test]
fn a_part_of_a_secret_is_redacted() {
    let redactions = Redactions::default().secret(&SECRETS[1].into());
    for part in [&SECRETS[1][..16], &SECRETS[1][22..40], &SECRETS[1][30..]] {
        assert_eq!(redactions.quote(&format!("Invalid JWT {part}…")), "Invalid JWT [redacted]…");
    }
    // Redaction precedes truncation, so that a quote does not end with a part of a secret.
    for padding in 280..305 {
        let quoted = redactions.quote(&format!("{}{}", "x".repeat(padding), SECRETS[1]));
        assert!(quoted.chars().count() <= MAX_QUOTED_CHARS && !quoted.contains("eyJ"), "{quoted}");
    }
}

#[test]
fn ordinary_words_are_not_redacted() {
    let redactions = SECRETS.iter().fold(Redactions::default(), |it, secret| it.secret(&(*secret).into()));
    for text in [
        "Token has been expired or revoked.",
        "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).",
        "100% wrong: %zz \\u12 café",
        "",
    ] {
        assert_eq!(redactions.quote(text), text);
    }
    assert_eq!(redactions.quote("no\nsuch\u{1b} account"), "nosuch account");
}

#[test]
fn a_text_that_contains_a_short_secret_is_not_quoted() {
    let redactions = Redactions::default().secret(&"hunter2".into()).secret(&"".into());
    for text in ["wrong password: hunter2", "hunter%32", "h\nunter2"] {
        assert_eq!(redactions.quote(text), REDACTED, "{text}");
    }
    assert_eq!(redactions.quote("wrong password"), "wrong password");
}

#[test]
fn texts_that_may_contain_secrets_are_redacted_with_each_of_their_words() {
    let redactions = Redactions::default().text("Bearer made-up-token; a=b").text("key=made-up-key&v=1");
    assert_eq!(redactions.quote("no such token: made-up-token"), "no such token: [redacted]");
    let quoted = redactions.quote("a=1: Bearer made-up-token, ?v=1&key=made-up-key");
    assert_eq!(quoted, "a=1: [redacted], ?v=1&key=[redacted]");
}

#[test]
fn words_that_look_like_tokens_are_redacted() {
    let redactions = Redactions::default().tokens();
    let hex = "0123456789abcdef".repeat(2);
    for token in [SECRETS[1], &hex, &BASE64_STANDARD.encode([0x5a; 300]), &hex.replace('8', "8\u{7}")] {
        assert_eq!(
            redactions.quote(&format!("refused \"{token}\", sorry")),
            "refused \"[redacted]\", sorry",
            "{token}"
        );
    }
    for text in [
        "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider",
        "a-service-account@a-project-of-some-length.iam.gserviceaccount.com",
    ] {
        assert_eq!(redactions.quote(text), text);
    }
}

#[test]
fn a_text_above_the_size_limit_is_not_quoted() {
    assert_eq!(Redactions::default().quote(&"x".repeat(MAX_BYTES + 1)), "[too long to be quoted]");
}
