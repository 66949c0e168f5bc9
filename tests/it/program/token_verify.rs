//! `token verify`: tokens of the server, keys from the server, a file and an HTTPS URL, and the exit status.

use super::{Running, folder, program};
use crate::support::google::new_key;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jwt_simple::prelude::RS256PublicKey;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

const ACCOUNT: &str = "instance/service-accounts/default";
const EMAIL: &str = "sa@my-project.iam.gserviceaccount.com";

/// Exit status, standard output and standard error of `token verify`.
struct Verified {
    status: Option<i32>,
    out: String,
    err: String,
}

/// Runs the command with this standard input. Asserts that the output has no token.
fn run(mut command: Command, token: &str, input: &str) -> Verified {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // The command does not read standard input if it has another token.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    for part in token.split('.').filter(|part| part.len() > 10) {
        assert!(!out.contains(part) && !err.contains(part), "a part of the token is printed: {out}{err}");
    }
    Verified { status: output.status.code(), out, err }
}

/// Verifies a token from standard input.
fn verify(folder: &Path, args: &str, token: &str) -> Verified {
    run(program(folder, &format!("token verify {args}")), token, &format!("{token}\n"))
}

#[test]
fn an_identity_token_of_the_server_is_verified_with_its_own_keys() {
    let folder = folder();
    let running = Running::start(program(folder.path(), "--port 0"));
    let token = running.get(&format!("{ACCOUNT}/identity?audience=https://a.example.com&format=full"));
    let url = format!("--url {}", running.url);

    let verified = verify(folder.path(), &format!("- --audience https://a.example.com {url}"), &token);
    assert_eq!((verified.status, &*verified.err), (Some(0), ""), "{}", verified.out);
    assert!(verified.out.contains("  aud             \"https://a.example.com\"\n"), "{}", verified.out);
    assert!(verified.out.contains(" UTC, expires in 59 minutes)\n"), "{}", verified.out);
    let last = verified.out.lines().last().unwrap();
    assert!(last.starts_with("signature: verified with key ") && last.ends_with("/oauth2/v3/certs"), "{last}");

    let mut command = program(folder.path(), &format!("token verify {token}"));
    command.env("GCE_METADATA_HOST", running.url.strip_prefix("http://").unwrap());
    assert_eq!(run(command, &token, "").status, Some(0));

    let refused = verify(folder.path(), &format!("--audience https://b.example.com {url}"), &token);
    assert_eq!(refused.status, Some(1));
    assert_eq!(refused.err, "error: the token is not valid: its audience is not https://b.example.com\n");
    assert!(refused.out.contains("signature: verified"), "{}", refused.out);
}

#[test]
fn a_token_of_another_server_does_not_verify() {
    let folder = folder();
    let (one, other) =
        (Running::start(program(folder.path(), "--port 0")), Running::start(program(folder.path(), "--port 0")));
    let token = one.get(&format!("{ACCOUNT}/identity?audience=a"));
    let refused = verify(folder.path(), &format!("--url {}", other.url), &token);
    assert_eq!(refused.status, Some(1));
    assert!(refused.err.contains("there is no RSA key with the ID "), "{}", refused.err);
    assert!(refused.err.contains("add --jwks https://www.googleapis.com/oauth2/v3/certs"), "{}", refused.err);
    assert!(refused.out.contains("claims:\n"), "the claims are printed all the same: {}", refused.out);
}

#[test]
fn keys_that_can_not_be_read_are_an_error_after_the_claims() {
    let folder = folder();
    let token = format!("{}.{}.made-up-signature", "eyJhbGciOiJSUzI1NiJ9", BASE64_URL_SAFE_NO_PAD.encode("{\"a\":1}"));
    let mut fixed = program(folder.path(), "--port 0");
    fixed.env("GOOGLE_ID_TOKEN", &token);
    let running = Running::start(fixed);
    let served = verify(folder.path(), &format!("--url {}", running.url), &token);
    assert_eq!(served.status, Some(1));
    assert!(served.out.contains("  a    1\n"), "{}", served.out);
    assert!(
        served.err.contains("/oauth2/v3/certs answered 404: the server does not sign tokens itself"),
        "{}",
        served.err
    );
    let missing = verify(folder.path(), "--jwks none.json", &token);
    assert_eq!(missing.status, Some(1));
    assert!(
        missing.err.starts_with("error: the signature is not verified: none.json: No such file"),
        "{}",
        missing.err
    );
}

#[test]
fn texts_that_are_no_token_exit_with_1_and_wrong_command_lines_with_2() {
    let folder = folder();
    let opaque = verify(folder.path(), "", "ya29.c.made-up-opaque-token");
    assert_eq!(opaque.status, Some(1));
    assert!(opaque.err.contains("opaque access token"), "{}", opaque.err);
    assert_eq!(verify(folder.path(), "", "made-up-secret").status, Some(1));
    assert_eq!(verify(folder.path(), "", "").err, "error: the token is empty\n");

    let token = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJhIn0.made-up-signature";
    for args in [
        format!("token {token}"),
        format!("token verify - {token}"),
        format!("token verify --url {token}"),
        format!("token verify --{token}"),
        format!("token verify --jwks {token} --url http://a"),
        "token".to_owned(),
    ] {
        let wrong = run(program(folder.path(), &args), token, "");
        assert_eq!(wrong.status, Some(2), "{args}: {}", wrong.err);
        assert_eq!(wrong.err.lines().count(), 1, "{}", wrong.err);
    }
}

/// A key set with the public part of a service account's key.
fn jwks(spki: &[u8]) -> String {
    let key = RS256PublicKey::from_der(spki).unwrap().to_components();
    let [n, e] = [key.n, key.e].map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes));
    json!({"keys": [{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "0123456789abcdef", "n": n, "e": e}]})
        .to_string()
}

/// A self-signed access token, made by the server.
fn self_signed_token(folder: &Path, private_key: &str) -> String {
    let file = json!({
        "type": "service_account", "project_id": "my-project", "private_key_id": "0123456789abcdef",
        "private_key": private_key, "client_email": EMAIL, "client_id": "1", "token_uri": "http://127.0.0.1:9/token",
    });
    std::fs::write(folder.join("key.json"), file.to_string()).unwrap();
    let options = "--port 0 --service-account-file key.json --access-token-kind jwt";
    let running = Running::start(program(folder, options));
    let answer: Value = serde_json::from_str(&running.get(&format!("{ACCOUNT}/token"))).unwrap();
    answer["access_token"].as_str().unwrap().trim_end_matches('.').to_owned()
}

#[test]
fn a_self_signed_access_token_is_verified_with_keys_from_a_file() {
    let folder = folder();
    let (key, spki) = new_key();
    let token = self_signed_token(folder.path(), &key);
    std::fs::write(folder.path().join("jwks.json"), jwks(&spki)).unwrap();
    let verified = verify(folder.path(), "--jwks jwks.json", &token);
    assert_eq!(verified.status, Some(0), "{}", verified.err);
    assert!(verified.out.ends_with("signature: verified with key 0123456789abcdef of jwks.json\n"), "{}", verified.out);
    assert!(verified.out.contains(EMAIL), "{}", verified.out);

    std::fs::write(folder.path().join("other.json"), jwks(&new_key().1)).unwrap();
    let refused = verify(folder.path(), "--jwks other.json", &token);
    assert_eq!(refused.status, Some(1));
    assert!(refused.err.contains("another key signed it"), "{}", refused.err);
    let keys_of_account = format!("--jwks https://www.googleapis.com/service_accounts/v1/jwk/{EMAIL}");
    assert!(refused.err.contains(&keys_of_account), "{}", refused.err);
}

/// A server over HTTPS that answers every request with this body. Returns its URL and its certificate in PEM.
async fn https_server(body: String) -> (String, String) {
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(pair.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![pair.cert.der().clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/keys?secret=made-up", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (url, pair.cert.pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_over_https() {
    let folder = folder();
    let (key, spki) = new_key();
    let token = self_signed_token(folder.path(), &key);
    let (url, root) = https_server(jwks(&spki)).await;
    let root_file = folder.path().join("root.pem");
    std::fs::write(&root_file, root).unwrap();
    let mut command = program(folder.path(), &format!("token verify --jwks {url}"));
    command.env("SSL_CERT_FILE", &root_file);
    let verified = run(command, &token, &token);
    assert_eq!(verified.status, Some(0), "{}", verified.err);
    assert!(verified.out.ends_with("/keys\n"), "without the query: {}", verified.out);
    assert!(!verified.out.contains("made-up"), "{}", verified.out);
}
