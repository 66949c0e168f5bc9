//! A large tree and many requests: what is drawn is bounded.

use super::open;
use crate::support::Client;
use serde_json::{Map, Value};

const KEYS: usize = 10_000;
const REQUESTS: usize = 3_000;

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn ten_thousand_keys_and_thousands_of_requests_leave_the_page_usable() {
    let (server, page) = open().await;
    let attributes: Map<String, Value> = (0..KEYS).map(|key| (format!("key-{key:05}"), "value".into())).collect();
    server.publisher().set("instance/attributes", Value::Object(attributes)).unwrap();
    page.wait_for_text("#tree-more", "more rows").await;
    let rows = "return document.querySelectorAll('#tree li').length";
    assert!(page.run(rows).await.as_u64().unwrap() <= 400);
    // A frame that takes long is one in which the page does not react.
    page.run("window.longest = 0; new PerformanceObserver((list) => { for (const it of list.getEntries()) longest = Math.max(longest, it.duration) }).observe({type: 'longtask'})").await;
    let mut client = Client::connect(&server).await;
    for number in 0..REQUESTS {
        client.get(&format!("instance/attributes/key-{:05}?number={number}", number % KEYS)).await;
    }
    page.wait_for_text("#request-rows", &format!("number={}", REQUESTS - 1)).await;
    let drawn = page.run("return document.querySelectorAll('#request-rows tr').length").await;
    assert_eq!(drawn, 200, "the newest requests are drawn");
    page.fill("#tree-filter", "key-09999").await;
    page.wait_until("the filter finds the last key", "return document.querySelectorAll('#tree li').length === 3").await;
    let longest = page.run("return longest").await.as_f64().unwrap();
    assert!(longest < 2000.0, "the page did not react for {longest} ms");
    page.close().await;
}
