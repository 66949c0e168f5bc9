//! `token status`, `set`, `clear` and `rotate`.

use super::{builder, error, ok, program, with_input};
use crate::support::get;
use gce_metadata_server::Server;
use serde_json::{Value, json};

const ACCOUNT: &str = "instance/service-accounts/default";
const ACCESS: &str = "made-up-access-token";
const ID: &str = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJhIn0.made-up-signature";

async fn access_token(server: &Server) -> Value {
    get(server, &format!("{ACCOUNT}/token")).await.json()
}

fn status(server: &Server) -> Value {
    serde_json::from_str(&ok(program(server, &["token", "status", "default", "--format", "json"]))).unwrap()
}

#[tokio::test]
async fn given_tokens_are_served_until_they_are_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let id_file = folder.path().join("id");
    std::fs::write(&id_file, format!("{ID}\n")).unwrap();
    let server = builder().start().await.unwrap();
    let args = ["token", "set", "default", "--access-token-file", "-", "--expires-in", "60s", "--then", "unavailable"];
    let mut command = program(&server, &args);
    command.args(["--id-token-file", id_file.to_str().unwrap()]);
    assert_eq!(with_input(command, &format!("{ACCESS}\n")), "");
    let served = access_token(&server).await;
    assert_eq!(served["access_token"], ACCESS);
    assert!(served["expires_in"].as_u64().unwrap() <= 60, "{served}");
    assert_eq!(get(&server, &format!("{ACCOUNT}/identity?audience=a")).await.body, ID);

    let shown = status(&server);
    assert_eq!(shown["accessTokens"]["given"]["then"], "unavailable");
    let text = ok(program(&server, &["token", "status"]));
    assert!(text.contains("then 503\n") && text.contains("\n  identity tokens:\n    given, "), "{text}");
    for shown in [shown.to_string(), text] {
        assert!(!shown.contains(ACCESS) && !shown.contains(ID), "{shown}");
    }

    assert_eq!(ok(program(&server, &["token", "clear", "default"])), "");
    assert_ne!(access_token(&server).await["access_token"], ACCESS);
    assert_eq!(status(&server)["accessTokens"].get("given"), None);
}

#[tokio::test]
async fn reset_also_clears_given_tokens() {
    let server = builder().start().await.unwrap();
    with_input(program(&server, &["token", "set", "default", "--access-token-file", "-"]), ACCESS);
    assert_eq!(access_token(&server).await["access_token"], ACCESS);
    ok(program(&server, &["reset"]));
    assert_ne!(access_token(&server).await["access_token"], ACCESS);
}

#[tokio::test]
async fn the_offline_issuer_gets_a_lifetime_and_a_skew() {
    let server = builder().start().await.unwrap();
    let args = ["token", "set", "default", "--lifetime", "10m", "--skew=-300", "--reuse", "false"];
    ok(program(&server, &args));
    let behaviour = json!({"lifetime": 600, "skew": -300, "reuse": false});
    assert_eq!(status(&server)["behaviour"], behaviour);
    let stated = access_token(&server).await["expires_in"].as_u64().unwrap();
    assert!((290..=300).contains(&stated), "{stated}");
    ok(program(&server, &["token", "set", "default", "--skew", "-10"]));
    assert_eq!(status(&server)["behaviour"], json!({"skew": -10}), "a behaviour replaces the one before");
}

#[tokio::test]
async fn rotate_replaces_the_cached_token() {
    let server = builder().start().await.unwrap();
    let before = access_token(&server).await["access_token"].clone();
    assert_eq!(access_token(&server).await["access_token"], before);
    let email = get(&server, &format!("{ACCOUNT}/email")).await.body;
    assert_eq!(ok(program(&server, &["token", "rotate", &email])), "");
    assert_ne!(access_token(&server).await["access_token"], before);
    let text = ok(program(&server, &["token", "status", &email]));
    assert!(text.starts_with(&format!("{email}\n  source: ")) && text.contains("cached, expires in "), "{text}");
}

#[tokio::test]
async fn errors_do_not_print_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "made-up two-words").unwrap();
    let server = builder().start().await.unwrap();
    let path = file.to_str().unwrap();
    for (args, status, expected) in [
        (
            &["token", "set", "default", "--access-token-file", path][..],
            1,
            "visible ASCII and not empty (at /access_token)",
        ),
        (
            &["token", "set", "none@example.com", "--access-token-file", path],
            1,
            "none@example.com: the metadata has no",
        ),
        (&["token", "set", "default", "--id-token-file", "/no/such/file"], 1, "--id-token-file /no/such/file: No such"),
        (&["token", "set", "default"], 2, "--access-token-file"),
        (&["token", "set", "default", ID], 2, "TOKEN"),
        (&["token", "set", "default", "--access-token-file", "-", "--id-token-file", "-"], 2, "one token, not two"),
        (&["token", "set", "default", "--then", "source", "--lifetime", "1"], 2, "--access-token-file"),
        (&["token", "set", "default", "--expires-in", "1", "--lifetime", "1"], 2, "--access-token-file"),
        (&["token", "clear", "none"], 1, "none: the metadata has no account"),
        (&["token", "rotate"], 2, "<ACCOUNT>"),
    ] {
        let error = error(program(&server, args), status);
        assert!(error.contains(expected), "{args:?}: {error}");
        assert!(!error.contains("two-words") && !error.contains(ID), "{error}");
    }
}
