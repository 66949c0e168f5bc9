//! `/__admin/tokens`.

use super::{Admin, builder, problem};
use crate::events::EventStream;
use crate::support::{Client, get};
use gce_metadata_server::{CredentialSource, Server};
use serde_json::{Value, json};

const ACCOUNT: &str = "tokens/default";
const TOKEN: &str = "instance/service-accounts/default/token";
const IDENTITY: &str = "instance/service-accounts/default/identity?audience=https://a.example.com";

async fn start() -> (Server, Admin) {
    let server = builder().start().await.unwrap();
    let admin = Admin::of(&server).await;
    (server, admin)
}

#[tokio::test]
async fn the_state_has_cached_scopes_and_audiences_but_no_token() {
    let (server, mut admin) = start().await;
    let token = get(&server, TOKEN).await.json()["access_token"].as_str().unwrap().to_owned();
    let identity = get(&server, IDENTITY).await.body;
    let shown = admin.get(ACCOUNT).await;
    assert!(!shown.body.contains(&token) && !shown.body.contains(&identity), "{}", shown.body);
    let state = shown.json();
    assert_eq!(
        (&state["source"], &state["account"]),
        (&"Offline".into(), &"vm-1@sample-project.iam.gserviceaccount.com".into())
    );
    assert_eq!(state["accessTokens"]["cached"][0]["scopes"][0], "https://www.googleapis.com/auth/cloud-platform");
    let id = &state["idTokens"]["cached"][0];
    assert_eq!((&id["audience"], &id["format"]), (&"https://a.example.com".into(), &"standard".into()));
    assert_eq!(admin.get("tokens").await.json()["accounts"][0], state);
    let by_email = format!("tokens/{}", state["account"].as_str().unwrap());
    assert_eq!(admin.get(&by_email).await.json(), state, "an account has its e-mail and its aliases");
}

#[tokio::test]
async fn given_tokens_are_served_until_they_are_cleared() {
    let (server, mut admin) = start().await;
    let given = json!({"access_token": "ya29.given", "expires_in": 60, "id_token": "e30.e30.e30"});
    admin.expect(204, "PUT", ACCOUNT, given).await;
    let answer = get(&server, TOKEN).await.json();
    assert_eq!(answer["access_token"], "ya29.given");
    assert!((30..=60).contains(&answer["expires_in"].as_u64().unwrap()), "{answer}");
    assert_eq!(get(&server, IDENTITY).await.body, "e30.e30.e30");
    let state = admin.get(ACCOUNT).await;
    assert!(!state.body.contains("ya29") && !state.body.contains("e30"), "{}", state.body);
    assert_eq!(state.json()["accessTokens"]["given"]["then"], "source");
    admin.expect(204, "DELETE", ACCOUNT, Value::Null).await;
    assert_ne!(get(&server, TOKEN).await.json()["access_token"], "ya29.given");
}

#[tokio::test]
async fn a_given_token_that_has_ended_is_503_if_the_source_is_to_be_unavailable() {
    let (server, mut admin) = start().await;
    let ended = json!({"access_token": "ya29.ended", "expires_in": 0, "then": "unavailable"});
    admin.expect(204, "PUT", ACCOUNT, ended).await;
    assert_eq!(get(&server, TOKEN).await.status, 503);
    admin.expect(200, "POST", "reset", Value::Null).await;
    assert_eq!(get(&server, TOKEN).await.status, 200, "a reset clears tokens");
}

#[tokio::test]
async fn the_offline_issuer_follows_the_behaviour() {
    let (server, mut admin) = start().await;
    let mut client = Client::connect(&server).await;
    let mut token = async || client.get(TOKEN).await.json();
    let first = token().await;
    assert_eq!(token().await["access_token"], first["access_token"]);
    admin.expect(204, "PUT", ACCOUNT, json!({"lifetime": 100, "skew": 1000, "reuse": false})).await;
    let (second, third) = (token().await, token().await);
    assert_ne!(second["access_token"], third["access_token"]);
    assert!((1095..=1100).contains(&third["expires_in"].as_u64().unwrap()), "{third}");
    assert_eq!(admin.get(ACCOUNT).await.json()["behaviour"], json!({"lifetime": 100, "skew": 1000, "reuse": false}));
    admin.expect(204, "DELETE", ACCOUNT, Value::Null).await;
    let fourth = token().await;
    assert_eq!(token().await["access_token"], fourth["access_token"]);
}

#[tokio::test]
async fn rotation_makes_a_new_token() {
    let (server, mut admin) = start().await;
    let before = get(&server, TOKEN).await.body;
    admin.expect(204, "POST", "tokens/default/rotate", Value::Null).await;
    assert_ne!(get(&server, TOKEN).await.body, before);
}

#[tokio::test]
async fn errors_do_not_quote_tokens() {
    let (_server, mut admin) = start().await;
    for (body, detail) in [
        (json!({}), "neither a token"),
        (json!({"access_token": {"hidden": "hidden"}}), "wrong type"),
        (json!({"access_token": "hid den"}), "visible ASCII"),
        (json!({"access_token": "a", "then": "hidden"}), "wrong type or value"),
        (json!({"access_token": "a", "lifetime": "hidden"}), "wrong type or value"),
        (json!({"expires_in": 5}), "access_token"),
        (json!({"lifetime": 0}), "from 1 second to 12 hours"),
        (json!({"skew": 43_201}), "from -43200 to 43200 seconds"),
        (json!({"skew": i64::MIN}), "from -43200 to 43200 seconds"),
        (json!({"access_token": "a", "expires_in": 2_147_483_648_u32}), "at most 2147483647 seconds"),
        (json!({"token": "a"}), "unknown field `token`"),
    ] {
        let answer = admin.expect(422, "PUT", ACCOUNT, body.clone()).await;
        let found = problem(&answer, 422);
        assert!(
            found.contains(detail) && !answer.body.contains("hidden") && !answer.body.contains("hid den"),
            "{found}"
        );
    }
    for path in ["tokens/none", "tokens/none/rotate"] {
        let method = if path.ends_with("rotate") { "POST" } else { "DELETE" };
        problem(&admin.expect(404, method, path, Value::Null).await, 404);
    }
}

#[tokio::test]
async fn behaviour_is_for_the_offline_issuer_only() {
    let server = builder().access_token("ya29.fixed").start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    let answer = admin.expect(422, "PUT", ACCOUNT, json!({"lifetime": 30})).await;
    assert!(problem(&answer, 422).contains("offline issuer"), "{}", answer.body);
    admin.expect(204, "PUT", ACCOUNT, json!({"access_token": "ya29.given"})).await;
    assert_eq!(get(&server, TOKEN).await.json()["access_token"], "ya29.given", "tokens can be given to every source");
}

/// Asks every route of the API for each source of tokens, and looks for the tokens in the answers.
#[tokio::test]
async fn no_answer_holds_a_credential() {
    let secret = "made-up-secret";
    let fixed = || CredentialSource::Fixed {
        access_token: Some(format!("ya29.{secret}").into()),
        id_token: Some(format!("e30.{secret}.").into()),
    };
    let options = || gce_metadata_server::AdminOptions::loopback().token(format!("admin-{secret}"));
    for source in [fixed(), CredentialSource::default()] {
        let server = Server::builder().admin(options()).credentials(source).start().await.unwrap();
        let mut admin = Admin::of(&server).await;
        let authorization = format!("Bearer admin-{secret}");
        let headers = [("authorization", authorization.as_str())];
        let made = [
            get(&server, TOKEN).await.json()["access_token"].as_str().unwrap().to_owned(),
            get(&server, IDENTITY).await.body,
        ];
        let given =
            json!({"access_token": format!("ya29.given-{secret}"), "id_token": format!("e30.given-{secret}.e30")});
        let put = [headers[0], ("content-type", "application/json")];
        assert_eq!(admin.send("PUT", ACCOUNT, &put, &given.to_string()).await.status, 204);
        let (_, events) = EventStream::try_open(&server, "", &[headers[0], ("last-event-id", "0")]).await;
        let mut asked = 0;
        for (path, item) in admin.get_described(&headers).await {
            for method in item.as_object().unwrap().keys().filter(|it| *it != "parameters") {
                let path = path.replace("{account}", "default").replace("{path}", "instance/service-accounts");
                // One ends the server's listeners, the other has an answer without an end, which is read below.
                if path.ends_with("shutdown") || path.ends_with("events") {
                    continue;
                }
                let path = path.strip_prefix("/__admin/").unwrap();
                let body = if matches!(method.as_str(), "put" | "patch") { "{" } else { "" };
                let answer = admin.send(&method.to_uppercase(), path, &put, body).await;
                let text = format!("{:?} {}", answer.headers, answer.body);
                let is_known = |token: &String| text.contains(token.as_str());
                assert!(!text.contains(secret) && !made.iter().any(is_known), "{method} {path}: {text}");
                asked += 1;
            }
        }
        assert!(asked >= 19, "{asked}");
        for path in [TOKEN, IDENTITY] {
            get(&server, path).await;
        }
        let (text, _) = tokio::join!(events.text(), server.shutdown());
        assert!(text.contains("event: request") && text.contains("event: token"), "{text}");
        assert!(!text.contains(secret) && !made.iter().any(|token| text.contains(token.as_str())), "{text}");
    }
}

impl Admin {
    /// The paths of the API with their methods.
    async fn get_described(&mut self, headers: &[(&str, &str)]) -> Vec<(String, Value)> {
        let described = self.send("GET", "openapi.json", headers, "").await.json();
        let paths = described["paths"].as_object().unwrap().clone();
        paths.into_iter().collect()
    }
}
