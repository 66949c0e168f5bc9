//! The tree: edits, conflicts, additions, removals, and the keyboard.

use super::open;
use crate::support::{Client, eventually, get};
use fantoccini::key::Key;
use serde_json::Value;

const VALUE: &str = "#tree .editor textarea";

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn an_edited_value_is_served_and_marked_as_changed() {
    let (server, page) = open().await;
    page.select("instance/maintenance-event").await;
    page.fill(VALUE, "MIGRATE_ON_HOST_MAINTENANCE").await;
    page.press("#tree", "Save").await;
    let served = async || get(&server, "instance/maintenance-event").await.body;
    eventually("the value is served", async || served().await == "MIGRATE_ON_HOST_MAINTENANCE").await;
    page.wait_for_text("li[data-key='instance/maintenance-event']", "changed, was NONE").await;
    page.wait_for_text("#changed-count", "1").await;
    page.press("#tree", "Restore").await;
    eventually("the value of the config is served", async || served().await == "NONE").await;
    page.wait_for_text("#changed-count", "0").await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn a_click_wakes_a_long_poll() {
    let (server, page) = open().await;
    let mut client = Client::connect(&server).await;
    let waiting = client.get("instance/preempted?wait_for_change=true");
    let clicking = async {
        page.select("instance/preempted").await;
        page.fill(VALUE, "TRUE").await;
        page.press("#tree", "Save").await;
    };
    let (answer, ()) = tokio::join!(waiting, clicking);
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "TRUE"));
    page.close().await;
}

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn a_stale_edit_shows_both_values_and_asks() {
    let (server, page) = open().await;
    for (button, expected) in [("Keep the server's", "theirs"), ("Overwrite with mine", "mine")] {
        server.publisher().set("instance/description", "before").unwrap();
        page.wait_for_text("li[data-key='instance/description']", "before").await;
        page.select("instance/description").await;
        page.fill(VALUE, "mine").await;
        server.publisher().set("instance/description", "theirs").unwrap();
        page.press("#tree", "Save").await;
        page.wait_for_text("#tree .conflict", "This value has changed since you began").await;
        let shown = page.text("#tree .conflict").await;
        assert!(shown.contains("theirs") && shown.contains("mine"), "{shown}");
        assert_eq!(get(&server, "instance/description").await.body, "theirs", "nothing was saved");
        page.press("#tree .conflict", button).await;
        eventually(button, async || get(&server, "instance/description").await.body == expected).await;
        page.wait_until("the question is gone", "return !document.querySelector('.conflict')").await;
        page.select("instance/name").await;
    }
    page.close_expecting(&["412 (Precondition Failed)"]).await;
}

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn a_key_is_added_and_deleted() {
    let (server, page) = open().await;
    page.press("#metadata", "Add key").await;
    page.fill("#add-form [name=path]", "instance/attributes/color").await;
    page.fill("#add-form [name=value]", "blue").await;
    page.press("#add-form", "Add").await;
    let status = async || get(&server, "instance/attributes/color").await.status.as_u16();
    eventually("the key is served", async || status().await == 200).await;
    page.wait_for_text("li[data-key='instance/attributes/color']", "added").await;
    page.press("#tree", "Delete").await;
    eventually("the key is gone", async || status().await == 404).await;
    page.wait_until("the row is gone", "return !document.querySelector(\"li[data-key='instance/attributes/color']\")")
        .await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn a_refused_value_is_explained_where_it_was_typed() {
    let (server, page) = open().await;
    page.select("instance/id").await;
    page.fill(VALUE, "no number").await;
    page.press("#tree", "Save").await;
    page.wait_for_text("#tree .problem", "Not JSON").await;
    page.press("#metadata", "Add key").await;
    page.fill("#add-form [name=path]", "instance/id/below").await;
    page.press("#add-form", "Add").await;
    page.wait_for_text("#add-form .problem", "remove the value first").await;
    page.fill(VALUE, "9223372036854775807").await;
    page.press("#tree", "Save").await;
    let served = async || get(&server, "instance/id").await.body;
    eventually("all digits are served", async || served().await == "9223372036854775807").await;
    page.wait_for_text("li[data-key='instance/id']", "9223372036854775807").await;
    page.close_expecting(&["409 (Conflict)"]).await;
}

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn the_keyboard_alone_edits_a_value() {
    let (server, page) = open().await;
    let focus = "return document.activeElement.closest('#tree') !== null && document.activeElement.role === 'row'";
    for _ in 0..20 {
        if page.run(focus).await == true {
            break;
        }
        page.key(Key::Tab, 1).await;
    }
    assert_eq!(page.run(focus).await, true, "the Tab key reaches the tree");
    // Into instance/ and attributes/, to their first value.
    page.key(Key::Right, 2).await;
    let focused = page.run("return document.activeElement.parentElement.dataset.key").await;
    assert_eq!(focused, "instance/attributes/enable-oslogin");
    page.key(Key::Enter, 1).await;
    page.keys(&format!("{}a", char::from(Key::Control))).await;
    page.keys(&format!("TRUE{}", char::from(Key::Enter))).await;
    let served = async || get(&server, "instance/attributes/enable-oslogin").await.body;
    eventually("the value is served", async || served().await == "TRUE").await;
    page.wait_until("the focus is on the row again", focus).await;
    page.key(Key::Up, 1).await;
    page.key(Key::Left, 1).await;
    let state = page.run("return document.activeElement.getAttribute('aria-expanded')").await;
    assert_eq!(state, "false", "attributes/ is closed");
    page.close().await;
}

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn markup_in_a_value_is_text() {
    let (server, page) = open().await;
    let hostile = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>";
    server.publisher().set("instance/attributes/hostile", hostile).unwrap();
    page.wait_for_text("li[data-key='instance/attributes/hostile']", "<img src=x").await;
    page.select("instance/attributes/hostile").await;
    get(&server, "instance/attributes/%3Cb%3Ebold%3C/b%3E").await;
    page.wait_for_text("#request-rows", "%3Cb%3E").await;
    assert_eq!(page.run("return document.querySelectorAll('img, #tree script, #request-rows b').length").await, 0);
    assert_ne!(page.run("return document.title").await, "hacked");
    page.close().await;
}

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn the_filter_finds_paths_and_values_and_a_reset_undoes_all_changes() {
    let (server, page) = open().await;
    server.publisher().set("instance/attributes/color", "ultramarine").unwrap();
    page.fill("#tree-filter", "ultramarine").await;
    page.wait_until(
        "only the value and its directories are drawn",
        "return document.querySelectorAll('#tree li').length === 3",
    )
    .await;
    page.fill("#tree-filter", "nothing-has-this").await;
    page.wait_for_text("#tree-more", "Nothing matches the filter").await;
    page.click("#reset").await;
    page.click("#reset-metadata").await;
    let status = async || get(&server, "instance/attributes/color").await.status.as_u16();
    eventually("the change is undone", async || status().await == 404).await;
    page.close().await;
}

#[tokio::test]
#[ignore = "needs chromium and chromium-driver, which scripts/test installs"]
async fn values_are_copied_as_path_as_curl_and_as_json() {
    let (server, page) = open().await;
    // Headless browsers have no clipboard that a test may read.
    page.run("window.copied = []; navigator.clipboard.writeText = async (text) => void copied.push(text)").await;
    page.select("instance/zone").await;
    for button in ["Copy path", "Copy curl", "Copy JSON"] {
        page.press("#tree", button).await;
    }
    page.wait_until("three texts are copied", "return copied.length === 3").await;
    let copied = page.run("return copied").await;
    let zone = get(&server, "instance/zone").await.body;
    let host = server.address();
    let curl = format!("curl -H 'Metadata-Flavor: Google' 'http://{host}/computeMetadata/v1/instance/zone'");
    assert_eq!(copied, Value::from(vec!["instance/zone".to_owned(), curl, format!("{zone:?}")]));
    page.close().await;
}
