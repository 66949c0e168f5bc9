//! A headless Chromium that shows the page, driven by Debian's chromium-driver.

use crate::support::{Client as HttpClient, eventually, request};
use fantoccini::key::Key;
use fantoccini::{Client, ClientBuilder, Locator};
use gce_metadata_server::Server;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use tokio::net::TcpStream;

/// The driver. It ends its browser when it is told to stop.
struct Driver {
    child: Child,
    port: u16,
}

impl Driver {
    fn start() -> Self {
        let mut command = Command::new("chromedriver");
        let child = command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.expect("chromedriver; scripts/test installs it");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let port =
            lines.find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok());
        Self { child, port: port.expect("chromedriver prints its port") }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// The theme that the user of the browser prefers, with Chromium's number for it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Theme {
    Dark = 0,
    Light = 1,
}

/// The page in a browser of its own.
pub(super) struct Page {
    browser: Client,
    driver: Driver,
}

impl Page {
    /// Opens the page of this server and waits until it follows the server.
    pub(super) async fn open(server: &Server) -> Self {
        Self::open_with(server, Theme::Light).await
    }

    /// Opens the page in a browser with this theme.
    pub(super) async fn open_with(server: &Server, theme: Theme) -> Self {
        let page = Self::open_at(&server.admin_url().unwrap(), theme).await;
        page.wait_for_text("#connection", "Live").await;
        page.wait_until("the tree is drawn", "return document.querySelectorAll('#tree li').length > 10").await;
        page
    }

    /// Opens the page at this address.
    pub(super) async fn open_at(url: &str, theme: Theme) -> Self {
        let driver = Driver::start();
        let theme = format!("--blink-settings=preferredColorScheme={}", theme as u8);
        // The sandbox does not start as root, as which CI runs.
        let options =
            json!({"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900", theme]});
        let capabilities = json!({"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}});
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities.as_object().unwrap().clone());
        let browser = builder.connect(&format!("http://127.0.0.1:{}", driver.port)).await;
        let page = Self { browser: browser.expect("chromium; scripts/test installs it"), driver };
        page.browser.goto(&format!("{url}/")).await.unwrap();
        page
    }

    /// Runs a script: the body of a function.
    pub(super) async fn run(&self, script: &str) -> Value {
        self.browser.execute(script, vec![]).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Runs a script that returns a promise.
    pub(super) async fn run_async(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1]; ({expression}).then(done, (error) => done(String(error)))"
        );
        self.browser.execute_async(&script, vec![]).await.unwrap()
    }

    /// Waits until a script returns true.
    pub(super) async fn wait_until(&self, what: &str, script: &str) {
        eventually(what, async || self.run(script).await == true).await;
    }

    /// The text of the first element with this selector, as it is shown; empty without one.
    pub(super) async fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({selector:?})?.innerText ?? ''");
        self.run(&script).await.as_str().unwrap().to_owned()
    }

    pub(super) async fn wait_for_text(&self, selector: &str, text: &str) {
        eventually(&format!("{selector} shows {text:?}"), async || self.text(selector).await.contains(text)).await;
    }

    /// Clicks on the first element with this selector once it exists.
    pub(super) async fn click(&self, selector: &str) {
        let element = self.browser.wait().for_element(Locator::Css(selector)).await;
        let element = element.unwrap_or_else(|error| panic!("{selector}: {error}"));
        element.click().await.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Clicks on the button with this text inside of an element.
    pub(super) async fn press(&self, inside: &str, text: &str) {
        let script = format!(
            "const button = [...document.querySelectorAll({inside:?} + ' button')].find((it) => it.textContent.startsWith({text:?}) && it.offsetParent); \
             button?.click(); return Boolean(button)"
        );
        self.wait_until(&format!("{inside} has the button {text}"), &script).await;
    }

    /// Replaces the text of a field.
    pub(super) async fn fill(&self, selector: &str, text: &str) {
        let element = self.browser.wait().for_element(Locator::Css(selector)).await.unwrap();
        element.clear().await.unwrap();
        element.send_keys(text).await.unwrap();
    }

    /// Sends keys to the focused element.
    pub(super) async fn keys(&self, keys: &str) {
        self.browser.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    pub(super) async fn key(&self, key: Key, times: usize) {
        for _ in 0..times {
            self.keys(&char::from(key).to_string()).await;
        }
    }

    /// Selects a node of the tree by a click on its row.
    pub(super) async fn select(&self, path: &str) {
        self.click(&format!("li[data-key='{path}'] > .row")).await;
    }

    /// Asserts that the browser has logged neither an error nor a violation of the page's policy, except for messages with one of these
    /// texts, and closes it.
    pub(super) async fn close_expecting(self, expected: &[&str]) {
        let session = self.browser.session_id().await.unwrap().unwrap();
        let address = ("127.0.0.1", self.driver.port);
        let mut driver = HttpClient::over(TcpStream::connect(address).await.unwrap(), "127.0.0.1").await;
        let request = request("POST", &format!("/session/{session}/se/log"), &[("content-type", "application/json")]);
        let answer = driver.send(request, r#"{"type": "browser"}"#).await.json();
        let messages: Vec<_> = answer["value"].as_array().unwrap_or_else(|| panic!("{answer}")).clone();
        let is_expected =
            |message: &Value| expected.iter().any(|text| message["message"].as_str().unwrap().contains(text));
        let unexpected: Vec<_> = messages.iter().filter(|message| !is_expected(message)).collect();
        assert!(unexpected.is_empty(), "{unexpected:#?}");
        self.browser.close().await.unwrap();
    }

    pub(super) async fn close(self) {
        self.close_expecting(&[]).await;
    }
}
