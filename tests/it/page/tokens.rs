//! The tokens of the accounts: their state, never the token.

use super::open;
use crate::support::get;

const TOKEN: &str = "instance/service-accounts/default/token";

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn tokens_count_down_expire_in_ten_seconds_and_rotate_and_are_never_shown() {
    let (server, page) = open().await;
    let token = async || get(&server, TOKEN).await.json();
    let first = token().await;
    page.click("#tab-tokens").await;
    page.wait_for_text("#accounts", "59 min").await;
    page.press("#accounts", "Rotate").await;
    page.wait_for_text("#message", "new token").await;
    let second = token().await;
    assert_ne!(first["access_token"], second["access_token"]);
    page.press("#accounts", "Expire in 10 s").await;
    page.wait_for_text("#accounts", "lifetime 10").await;
    let third = token().await;
    assert!(third["expires_in"].as_u64().unwrap() <= 10, "{}", third["expires_in"]);
    page.wait_until(
        "the end of the token is counted down",
        "return /\\b[0-9] s/.test(document.querySelector('#accounts').innerText)",
    )
    .await;
    let shown = page.run("return document.documentElement.outerHTML").await;
    for token in [first, second, third] {
        assert!(!shown.as_str().unwrap().contains(token["access_token"].as_str().unwrap()));
    }
    page.press("#accounts", "Back to normal").await;
    page.wait_until(
        "the lifetime is the usual one",
        "return !document.querySelector('#accounts').innerText.includes('lifetime')",
    )
    .await;
    page.close().await;
}
