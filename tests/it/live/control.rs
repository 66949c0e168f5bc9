//! Run-time control of live tokens.

use super::{EMAIL, access, file, key, server, status};
use crate::support::get;
use crate::support::google::Google;
use gce_metadata_server::routes::token::AccessToken;
use gce_metadata_server::tokens::{Behaviour, ControlError, Given};
use std::time::Duration;
use tempfile::TempDir;

#[tokio::test]
async fn live_tokens_are_given_and_rotated_at_run_time() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let server = server(&google, key(file(&folder, "key.json", &google.service_account(EMAIL)))).await;
    let control = server.vm().tokens();
    access(&server, &google, "default/token").await;
    assert_eq!(google.asked("/token"), 1);
    let given = AccessToken::new("ya29.given", Duration::from_secs(3600));
    control.give(EMAIL, Given { access_token: Some(given), ..Given::default() });
    let answer = get(&server, "instance/service-accounts/default/token").await.json();
    assert_eq!(answer["access_token"], "ya29.given");
    control.clear(EMAIL);
    access(&server, &google, "default/token").await;
    assert_eq!(google.asked("/token"), 1, "the token of the source is still cached");
    control.rotate(EMAIL);
    access(&server, &google, "default/token").await;
    assert_eq!(google.asked("/token"), 2);
    let error = control.behave(EMAIL, Behaviour { reuse: Some(false), ..Behaviour::default() }).unwrap_err();
    assert_eq!(error, ControlError::NotOffline { source_type: "serviceAccountKey" });
}

#[tokio::test]
async fn the_token_status_has_the_last_error_of_a_live_source() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let server = server(&google, key(file(&folder, "key.json", &google.service_account(EMAIL)))).await;
    let control = server.vm().tokens();
    access(&server, &google, "default/token").await;
    assert_eq!(control.status(EMAIL).access.last_error, None);
    google.fail_with(&[400]);
    control.rotate(EMAIL);
    assert_eq!(status(&server, "default/token").await, 403);
    let shown = control.status(EMAIL);
    let error = shown.access.last_error.unwrap();
    assert!(error.starts_with("token refused: ") && !error.contains("ya29"), "{error}");
    assert_eq!((shown.source, shown.id.last_error), ("serviceAccountKey", None));
    access(&server, &google, "default/token").await;
    assert_eq!(control.status(EMAIL).access.last_error, None);
}
