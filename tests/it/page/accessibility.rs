//! axe-core examines the page: roles, names, contrast. It is Deque's rules for WCAG, from npm.

use super::browser::{Page, Theme};
use crate::admin;
use crate::support::{get, repository};
use gce_metadata_server::Fault;
use serde_json::Value;

/// The serious and critical findings, each as text.
const RUN: &str = "axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations
    .filter((it) => ['serious', 'critical'].includes(it.impact))
    .map((it) => `${it.id}: ${it.help}: ${it.nodes.map((node) => node.html + ' ' + node.failureSummary).join('; ')}`))";

#[tokio::test]
#[ignore = "needs chromium, chromium-driver and axe-core, which scripts/test installs"]
async fn axe_finds_nothing_serious_in_the_light_theme() {
    examine(Theme::Light).await;
}

#[tokio::test]
#[ignore = "needs chromium, chromium-driver and axe-core, which scripts/test installs"]
async fn axe_finds_nothing_serious_in_the_dark_theme() {
    examine(Theme::Dark).await;
}

/// Examines each tab, a form and a dialog.
async fn examine(theme: Theme) {
    let server = admin::builder().start().await.unwrap();
    let page = Page::open_with(&server, theme).await;
    let dark = page.run("return matchMedia('(prefers-color-scheme: dark)').matches").await;
    assert_eq!(dark, matches!(theme, Theme::Dark));
    for path in ["instance/id", "instance/none", "instance/service-accounts/default/token"] {
        get(&server, path).await;
    }
    server.publisher().set("instance/preempted", "TRUE").unwrap();
    page.wait_for_text("#request-rows", "instance/none").await;
    page.wait_for_text("#changed-count", "1").await;
    let axe = std::fs::read_to_string(repository("target/clients/node/node_modules/axe-core/axe.min.js"));
    page.run(&axe.expect("axe-core; scripts/test installs it")).await;
    let check = async |what: &str| {
        let findings = page.run_async(RUN).await;
        assert_eq!(findings, Value::Array(vec![]), "{what}: {findings:#}");
    };
    page.select("instance/preempted").await;
    page.click("#request-rows button").await;
    check("a value and a request are open").await;
    server.faults().add(Fault::on("instance/id").status(503)).unwrap().keep();
    page.wait_for_text("#tab-faults", "1").await;
    for tab in ["waiting", "tokens", "scenarios", "faults"] {
        page.click(&format!("#tab-{tab}")).await;
        if tab == "scenarios" {
            page.press("[data-key='preemption']", "Run").await;
            page.wait_for_text("[data-key='preemption'] .now", "Preempted").await;
            page.click("[data-key='live-migration'] summary").await;
        }
        check(tab).await;
    }
    page.press("#metadata", "Add key").await;
    page.click("#connect").await;
    check("a form and a dialog are open").await;
    page.close().await;
}
