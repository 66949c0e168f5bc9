//! A real Prometheus scrapes the server, and each query of the Grafana dashboard returns data.

use crate::support::{Client, ask_metrics, eventually, get, repository, request};
use gce_metadata_server::{Address, Server, Simulation};
use serde_json::Value;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use tokio::net::TcpStream;

async fn server() -> Server {
    let builder = Server::builder().metrics((Ipv4Addr::LOCALHOST, 0), "/metrics");
    let server = builder.simulation(Simulation::default()).start().await.unwrap();
    traffic(&server).await;
    server
}

/// Requests that give every metric of the dashboard a sample.
async fn traffic(server: &Server) {
    let account = "instance/service-accounts/default";
    for path in ["instance/id", "instance/none", &format!("{account}/token"), &format!("{account}/identity?audience=a")]
    {
        get(server, path).await;
    }
}

#[tokio::test]
#[ignore = "needs promtool, which scripts/test installs"]
async fn promtool_reports_only_the_counter_name_kept_for_compatibility() {
    let metrics = ask_metrics(&server().await, "/metrics").await.1;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool; scripts/test installs it");
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    // Dashboards and alerts of the Go emulator use the counter by this name.
    assert_eq!(said.trim(), r#"metadata_endpoint_path_requests counter metrics should have "_total" suffix"#);
}

/// Killed when dropped.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Prometheus {
    /// The port of Prometheus, which listens at port 0 and does not print the port; `/proc` has it.
    fn port(&self) -> Option<u16> {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.0.id())).ok()?;
        let sockets: Vec<String> = files
            .filter_map(|file| file.ok()?.path().read_link().ok()?.to_str().map(str::to_owned))
            .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
        table.lines().skip(1).find_map(|line| {
            let columns: Vec<_> = line.split_whitespace().collect();
            let listens = columns[3] == "0A" && sockets.iter().any(|socket| socket == columns[9]);
            listens.then(|| u16::from_str_radix(columns[1].rsplit(':').next()?, 16).ok())?
        })
    }
}

#[tokio::test]
#[ignore = "needs prometheus, which scripts/test installs"]
async fn every_dashboard_query_returns_data() {
    let server = server().await;
    let Some(Address::Tcp(target)) = server.metrics_address() else { panic!() };
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("prometheus.yml");
    let job = format!(
        "{{job_name: metadata, scrape_interval: 200ms, scrape_timeout: 200ms, static_configs: [{{targets: ['{target}']}}]}}"
    );
    std::fs::write(&config, format!("scrape_configs: [{job}]")).unwrap();
    let prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg("--web.listen-address=127.0.0.1:0")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus; scripts/test installs it");
    let mut prometheus = Prometheus(prometheus);
    let mut port = None;
    eventually("prometheus listens", async || {
        assert!(prometheus.0.try_wait().unwrap().is_none(), "prometheus did not start");
        port = prometheus.port();
        port.is_some()
    })
    .await;
    let port = port.unwrap();

    let dashboard = std::fs::read_to_string(repository("dashboards/gce-metadata-server.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let queries: Vec<_> = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()).collect();
    assert!(queries.len() > 10);
    for query in queries {
        let query = query["expr"].as_str().unwrap().replace("$job", "metadata").replace("$__rate_interval", "1m");
        eventually(&query, async || {
            // `rate()` needs more than one scrape.
            traffic(&server).await;
            let Some(answer) = ask(port, &query).await else { return false };
            assert_eq!(answer["status"], "success", "{query}: {answer}");
            !answer["data"]["result"].as_array().unwrap().is_empty()
        })
        .await;
    }
}

/// The answer to a PromQL query; `None` while Prometheus is starting.
async fn ask(port: u16, query: &str) -> Option<Value> {
    let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let request = request("GET", &format!("/api/v1/query?query={encoded}"), &[]);
    let answer = Client::over(stream, "prometheus").await.send(request, "").await;
    (answer.status != 503).then(|| answer.json())
}
