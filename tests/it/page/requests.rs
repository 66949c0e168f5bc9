//! The requests of programs, and the programs that wait.

use super::open;
use crate::support::{Client, eventually, get};

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn a_request_appears_with_its_headers() {
    let (server, page) = open().await;
    get(&server, "instance/zone?alt=json").await;
    page.wait_for_text("#request-rows tr", "instance/zone?alt=json").await;
    page.click("#request-rows button").await;
    page.wait_for_text("#request-rows .details", "Metadata-Flavor").await;
    get(&server, "instance/id").await;
    page.press("#requests", "Resume").await;
    page.wait_for_text("#request-rows tr", "instance/id").await;
    page.fill("#request-filter", "alt=json").await;
    page.wait_until("one request matches", "return document.querySelectorAll('#request-rows tr').length === 1").await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn a_key_that_a_program_did_not_find_is_added() {
    let (server, page) = open().await;
    for path in ["instance/id", "instance/attributes/wanted"] {
        get(&server, path).await;
    }
    page.click("#only-unmatched").await;
    page.wait_for_text("#request-rows", "instance/attributes/wanted").await;
    page.wait_until("found ones are hidden", "return document.querySelectorAll('#request-rows tr').length === 1").await;
    page.click("#request-rows button").await;
    page.press("#request-rows", "Add this key").await;
    page.fill("#add-form [name=value]", "here").await;
    page.press("#add-form", "Add").await;
    eventually("the key is served", async || get(&server, "instance/attributes/wanted").await.body == "here").await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn a_program_that_waits_is_shown_until_it_is_answered() {
    let (server, page) = open().await;
    page.click("#tab-waiting").await;
    page.wait_for_text("#waiting-note", "No program waits").await;
    let mut client = Client::connect(&server).await;
    let waiting = client.get("instance/preempted?wait_for_change=true&timeout_sec=60");
    let looking = async {
        page.wait_for_text("#waiting-rows", "instance/preempted").await;
        page.wait_for_text("#tab-waiting", "1").await;
        // The button leads to the value in the tree.
        page.press("#waiting-rows", "Change").await;
        page.fill("#tree .editor textarea", "TRUE").await;
        page.press("#tree", "Save").await;
    };
    let (answer, ()) = tokio::join!(waiting, looking);
    assert_eq!(answer.body, "TRUE");
    page.wait_for_text("#waiting-note", "No program waits").await;
    page.click("#tab-requests").await;
    page.wait_for_text("#request-rows .notes", "ended by change").await;
    page.close().await;
}
