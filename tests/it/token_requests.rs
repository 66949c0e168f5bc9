//! The data of a request for a token that token sources and the log get.

use crate::support::get;
use gce_metadata_server::routes::token::{AccessToken, AccessTokenRequest, TokenError};
use gce_metadata_server::{Server, TokenSources};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::service_fn;

const TOKEN: &str = "instance/service-accounts/default/token";
const EMAIL_SCOPE: &str = "https://www.googleapis.com/auth/userinfo.email";

#[tokio::test]
async fn a_source_learns_the_requested_scopes_beside_the_granted_ones() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let source = service_fn(move |request: AccessTokenRequest| {
        record.lock().unwrap().push(request);
        std::future::ready(Ok::<_, TokenError>(AccessToken::new("ya29.made-up", Duration::from_secs(60))))
    });
    let server = Server::builder().token_sources(TokenSources::default().with_access(source)).start().await.unwrap();
    for query in ["", "?scopes=", "?scopes=https://not.granted/,https://www.googleapis.com/auth/userinfo.email"] {
        assert_eq!(get(&server, &format!("{TOKEN}{query}")).await.status, 200);
    }
    let seen = seen.lock().unwrap();
    assert_eq!((seen[0].requested.as_deref(), seen[1].requested.as_deref()), (None, None));
    assert_eq!(seen[0].scopes.len(), 2, "all scopes of the account");
    assert_eq!(*seen[2].scopes, [EMAIL_SCOPE]);
    assert_eq!(seen[2].requested.as_deref().unwrap(), ["https://not.granted/", EMAIL_SCOPE]);
}
