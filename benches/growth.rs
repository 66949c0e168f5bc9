//! How costs grow with the size of what the server holds: attributes, service accounts, waiting requests, connections, faults.
//!
//! Everything runs on one thread, so that the allocations of each operation can be counted. Prints a table for each kind, with the
//! exponent of a power law that is fitted to each row: 0 is a constant cost, 1 a linear one. Allocations repeat exactly from run to run;
//! times are medians and depend on the machine's load.
//!
//! Sections (attributes, accounts, waiters, connections, faults, journal) may be named on the command line; all run by default.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use allocation_counter::measure;
use bytes::Bytes;
use gce_metadata_server::{
    CredentialSource, Fault, Matching, Metadata, Publisher, Server, ServerBuilder, metadata_stack,
};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;
use tower::util::BoxCloneService;

/// The longest time in which an operation is repeated.
const REPEATING: Duration = Duration::from_millis(300);
const MAX_REPETITIONS: usize = 1_000;

/// What one operation costs.
#[derive(Clone, Copy)]
struct Cost {
    micros: f64,
    bytes: u64,
}

/// The cost of `run` on a new value of `prepare` each time, after a first one that fills caches.
fn cost_of<T, R>(mut prepare: impl FnMut() -> T, mut run: impl FnMut(T) -> R) -> Cost {
    drop(run(prepare()));
    let mut input = Some(prepare());
    let bytes = measure(|| drop(run(input.take().unwrap()))).bytes_total;
    let (start, mut times) = (Instant::now(), Vec::new());
    while times.is_empty() || (times.len() < MAX_REPETITIONS && start.elapsed() < REPEATING) {
        let input = prepare();
        let begun = Instant::now();
        let output = run(input);
        times.push(begun.elapsed().as_secs_f64() * 1e6);
        drop(output);
    }
    times.sort_by(f64::total_cmp);
    Cost { micros: times[times.len() / 2], bytes }
}

fn cost<R>(mut run: impl FnMut() -> R) -> Cost {
    cost_of(|| (), |()| run())
}

/// A table with a column for each size.
struct Table {
    sizes: Vec<usize>,
    rows: Vec<(String, Vec<f64>)>,
}

impl Table {
    fn new(sizes: &[usize]) -> Self {
        Self { sizes: sizes.to_vec(), rows: Vec::new() }
    }

    /// Adds the value for the next size to the row of this name.
    fn add(&mut self, name: &str, value: f64) {
        match self.rows.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => self.rows.push((name.to_owned(), vec![value])),
        }
    }

    fn add_cost(&mut self, name: &str, cost: Cost) {
        self.add(&format!("{name}, µs"), cost.micros);
        self.add(&format!("{name}, bytes allocated"), cost.bytes as f64);
    }

    fn print(&self, of: &str) {
        let head: String = self.sizes.iter().map(|size| format!(" {} |", thousands(*size as f64))).collect();
        println!("\n| {of} |{head} exponent |\n|---|{}---:|", "---:|".repeat(self.sizes.len()));
        for (name, values) in &self.rows {
            let cells: String = values.iter().map(|value| format!(" {} |", thousands(*value))).collect();
            println!("| {name} |{cells} {:.2} |", exponent(&self.sizes, values));
        }
    }
}

/// The slope of a line through the logarithms, by least squares. Values below 1 count as 1, because 0 has no logarithm.
fn exponent(sizes: &[usize], values: &[f64]) -> f64 {
    let points: Vec<_> =
        sizes.iter().zip(values).map(|(size, value)| ((*size as f64).ln(), value.max(1.0).ln())).collect();
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|it| it.0), mean(|it| it.1));
    let covariance: f64 = points.iter().map(|it| (it.0 - x) * (it.1 - y)).sum();
    let variance: f64 = points.iter().map(|it| (it.0 - x).powi(2)).sum();
    covariance / variance
}

/// Three significant digits, or the whole number, in groups of three.
fn thousands(value: f64) -> String {
    if value < 100.0 && value.fract() != 0.0 {
        return format!("{value:.*}", if value < 10.0 { 2 } else { 1 });
    }
    let digits = format!("{value:.0}");
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

type Body = Full<Bytes>;

fn request(path: &str) -> Request<Body> {
    let request = Request::get(format!("/computeMetadata/v1/{path}")).header("Metadata-Flavor", "Google");
    request.body(Body::default()).unwrap()
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// A service that answers from the tree of a publisher, without sockets.
fn service(publisher: &Publisher, runtime: &Runtime) -> BoxCloneService<Request<Body>, Response<Bytes>, Infallible> {
    let tokens = runtime.block_on(async { CredentialSource::default().token_sources().unwrap() });
    let stack = metadata_stack::<Body>(publisher.clone(), tokens).and_then(with_whole_body);
    BoxCloneService::new(stack)
}

async fn with_whole_body<B: http_body::Body<Data = Bytes>>(
    response: Response<B>,
) -> Result<Response<Bytes>, Infallible> {
    let (parts, body) = response.into_parts();
    let Ok(body) = body.collect().await else { panic!("a body of the tree has no errors") };
    Ok(Response::from_parts(parts, body.to_bytes()))
}

fn attributes(count: usize) -> Value {
    let attributes: Map<_, _> = (0..count).map(|number| (format!("key-{number}"), json!("a value"))).collect();
    json!({"instance": {"attributes": attributes, "id": 1}, "project": {"projectId": "my-project"}})
}

fn publisher(config: Value) -> Publisher {
    Publisher::new(Metadata::from_json(config).unwrap().tree())
}

/// The cost of a change and of its inverse in turns, so that each of them changes the tree.
fn cost_of_change(mut change: impl FnMut(bool)) -> Cost {
    let mut is_set = false;
    cost(|| {
        is_set = !is_set;
        change(is_set);
    })
}

fn attributes_table(sizes: &[usize]) -> Table {
    let (runtime, mut table) = (runtime(), Table::new(sizes));
    for &size in sizes {
        let config = attributes(size);
        let publisher = publisher(config.clone());
        let service = service(&publisher, &runtime);
        let ask = |path: &'static str| {
            cost_of(|| request(path), |request| runtime.block_on(service.clone().oneshot(request)).unwrap())
        };
        let root = runtime.block_on(service.clone().oneshot(request("?recursive=true"))).unwrap().into_body();
        table.add("recursive root, bytes of the answer", root.len() as f64);
        table.add_cost("leaf", ask("instance/attributes/key-7"));
        table.add_cost("recursive root, unchanged", ask("?recursive=true"));
        table.add_cost("listing, unchanged", ask("instance/attributes/"));
        let value = |is_set| json!(if is_set { "another" } else { "a value" });
        let rendered = cost_of_change(|is_set| {
            publisher.set("project/project-id", value(is_set)).unwrap();
            runtime.block_on(service.clone().oneshot(request("?recursive=true"))).unwrap();
        });
        table.add_cost("recursive root after a change elsewhere", rendered);
        let set = |is_set| publisher.set("instance/attributes/key-7", value(is_set)).unwrap();
        table.add_cost("set one attribute", cost_of_change(set));
        let patch = |is_set| publisher.merge("instance/attributes", json!({"key-7": value(is_set)})).unwrap();
        table.add_cost("PATCH of one attribute", cost_of_change(patch));
        let patch = |is_set| publisher.merge("", json!({"project": {"projectId": value(is_set)}})).unwrap();
        table.add_cost("PATCH of the root, elsewhere", cost_of_change(patch));
        let text = [false, true].map(|is_set| {
            let mut config = config.clone();
            config["instance"]["attributes"]["key-7"] = value(is_set);
            config.to_string()
        });
        let reload = |is_set| {
            let config: Value = serde_json::from_str(&text[usize::from(is_set)]).unwrap();
            assert!(publisher.publish(Metadata::from_json(config).unwrap().tree()));
        };
        table.add_cost("reload with one change", cost_of_change(reload));
    }
    table
}

fn accounts_table(sizes: &[usize]) -> Table {
    let (runtime, mut table) = (runtime(), Table::new(sizes));
    for &size in sizes {
        let email = |number: usize| format!("account-{number}@my-project.iam.gserviceaccount.com");
        let account = |number| (email(number), json!({"email": email(number), "aliases": [], "scopes": ["a-scope"]}));
        let accounts: Map<_, _> = (0..size).map(account).collect();
        let publisher =
            publisher(json!({"instance": {"serviceAccounts": accounts}, "project": {"projectId": "my-project"}}));
        let service = service(&publisher, &runtime);
        let last = format!("instance/service-accounts/{}", email(size - 1));
        let ask = |path: &str| {
            cost_of(
                || request(path),
                |request| {
                    let response = runtime.block_on(service.clone().oneshot(request)).unwrap();
                    assert_eq!(response.status(), 200);
                },
            )
        };
        table.add_cost("email", ask(&format!("{last}/email")));
        table.add_cost("cached token", ask(&format!("{last}/token")));
        table.add_cost("all accounts, unchanged", ask("instance/service-accounts/?recursive=true"));
        let scopes = |is_set| json!({"scopes": [if is_set { "another-scope" } else { "a-scope" }]});
        table
            .add_cost("PATCH of one account", cost_of_change(|is_set| publisher.merge(&last, scopes(is_set)).unwrap()));
    }
    table
}

/// Counts the times when a task was woken and not polled yet.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(1, Ordering::Relaxed);
    }
}

/// A request that waits for a change.
struct Waiting {
    answer: Pin<Box<dyn Future<Output = Result<Response<Bytes>, Infallible>>>>,
    woken: Arc<Woken>,
}

impl Waiting {
    fn new(service: &BoxCloneService<Request<Body>, Response<Bytes>, Infallible>, path: &str) -> Self {
        let request = request(&format!("{path}?wait_for_change=true"));
        let mut waiting = Self { answer: Box::pin(service.clone().oneshot(request)), woken: Arc::default() };
        assert!(waiting.poll().is_pending());
        waiting
    }

    fn poll(&mut self) -> Poll<Result<Response<Bytes>, Infallible>> {
        self.answer.as_mut().poll(&mut Context::from_waker(&Arc::clone(&self.woken).into()))
    }
}

/// Polls the woken requests until none is woken. Returns how often one was woken, and removes the answered ones.
fn run(waiting: &mut Vec<Waiting>) -> usize {
    let (mut wakes, mut is_woken) = (0, true);
    while is_woken {
        is_woken = false;
        waiting.retain_mut(|waiting| {
            if waiting.woken.0.swap(0, Ordering::Relaxed) == 0 {
                return true;
            }
            (wakes, is_woken) = (wakes + 1, true);
            waiting.poll().is_pending()
        });
    }
    wakes
}

fn waiters_table(sizes: &[usize]) -> Table {
    let (runtime, mut table) = (runtime(), Table::new(sizes));
    for &size in sizes {
        let publisher = publisher(attributes(size));
        let service = service(&publisher, &runtime);
        let key = |number: usize| format!("instance/attributes/key-{number}");
        for (name, is_spread) in [("all on one key", false), ("each on another key", true)] {
            // Allocated before the measurement.
            let mut waiting = Vec::with_capacity(size);
            let held = measure(|| {
                waiting
                    .extend((0..size).map(|number| Waiting::new(&service, &key(if is_spread { number } else { 0 }))));
            });
            table.add(&format!("{name}: bytes held for each"), held.bytes_current as f64 / size as f64);
            let begun = Instant::now();
            publisher.set(&key(0), name).unwrap();
            let wakes = run(&mut waiting);
            let micros = begun.elapsed().as_secs_f64() * 1e6;
            assert_eq!(waiting.len(), if is_spread { size - 1 } else { 0 });
            table.add(&format!("{name}: requests woken by a change of one key"), wakes as f64);
            table.add(&format!("{name}: µs until all are answered"), micros);
            publisher.set("project/project-id", name).unwrap();
            table.add(&format!("{name}: requests woken by a change elsewhere"), run(&mut waiting) as f64);
        }
    }
    table
}

/// A server in this thread, with a client.
struct Sockets {
    runtime: Runtime,
    server: Server,
}

impl Sockets {
    fn new(builder: ServerBuilder) -> Self {
        let runtime = runtime();
        let server = runtime.block_on(builder.on_current_runtime().start()).unwrap();
        Self { runtime, server }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.address().to_string()).await.unwrap()
    }

    /// Reads an answer to the end of its head and of its body.
    async fn ask(&self, stream: &mut TcpStream, path: &str) {
        stream.write_all(&head(path)).await.unwrap();
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 "), "a whole answer in one packet");
    }

    /// The value of a gauge.
    async fn gauge(&self, name: &str) -> usize {
        let mut stream = TcpStream::connect(self.server.metrics_address().unwrap().to_string()).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap()
    }
}

fn head(path: &str) -> Vec<u8> {
    format!(
        "GET /computeMetadata/v1/{path} HTTP/1.1\r\nHost: metadata.google.internal\r\nMetadata-Flavor: Google\r\n\r\n"
    )
    .into()
}

fn connections_table(sizes: &[usize]) -> Table {
    let mut table = Table::new(sizes);
    for &size in sizes {
        let builder = Server::builder().metadata(Metadata::sample()).metrics("127.0.0.1:0", "/metrics");
        let sockets = Sockets::new(builder.max_connections(2 * size + 10).max_waiters(size));
        // The first request of a server allocates what later ones share.
        let warm_up = async {
            sockets.ask(&mut sockets.connect().await, "instance/id").await;
            while sockets.gauge("metadata_waiters ").await != 0 {}
        };
        sockets.runtime.block_on(warm_up);
        let mut clients = Vec::with_capacity(size);
        let idle = measure(|| {
            sockets.runtime.block_on(async {
                for _ in 0..size {
                    let mut client = sockets.connect().await;
                    sockets.ask(&mut client, "instance/id").await;
                    // Takes no memory that is counted.
                    clients.push(client.into_std().unwrap());
                }
            });
        });
        table.add("idle after an answer: bytes held for each", idle.bytes_current as f64 / size as f64);
        let waiting = measure(|| {
            for client in &mut clients {
                client.write_all(&head("instance/maintenance-event?wait_for_change=true")).unwrap();
            }
            sockets.runtime.block_on(async { while sockets.gauge("metadata_waiters ").await != size {} });
        });
        let held = (idle.bytes_current + waiting.bytes_current) as f64;
        table.add("waiting: bytes held for each", held / size as f64);
    }
    table
}

fn faults_table(sizes: &[usize]) -> Table {
    let mut table = Table::new(sizes);
    for &size in sizes {
        for (name, path) in [("paths", "instance/attributes/key-"), ("paths with *", "*/attributes/key-")] {
            let sockets = Sockets::new(Server::builder().metadata(Metadata::sample()).simulate());
            let faults = (0..size).map(|number| Fault::on(format!("{path}{number}")).status(503));
            let _guards: Vec<_> = faults.map(|fault| sockets.server.faults().add(fault).unwrap()).collect();
            let mut client = sockets.runtime.block_on(sockets.connect());
            let leaf = cost(|| sockets.runtime.block_on(sockets.ask(&mut client, "instance/id")));
            table.add_cost(&format!("leaf that no fault matches, {name}"), leaf);
        }
    }
    table
}

fn journal_table(sizes: &[usize]) -> Table {
    let mut table = Table::new(sizes);
    for &size in sizes {
        let with_requests = |count: usize| {
            let sockets = Sockets::new(Server::builder().metadata(Metadata::sample()).simulate());
            let mut client = sockets.runtime.block_on(sockets.connect());
            (0..count).for_each(|_| sockets.runtime.block_on(sockets.ask(&mut client, "instance/id")));
            (sockets, client)
        };
        let (sockets, mut client) = with_requests(100);
        for number in 0..size {
            let pattern = Matching::path(format!("instance/attributes/key-{number}"));
            sockets.server.requests().matching(pattern).expect(0);
        }
        table.add_cost("verify: patterns on 100 requests", cost(|| sockets.server.verify().unwrap()));
        let leaf = cost(|| sockets.runtime.block_on(sockets.ask(&mut client, "instance/id")));
        table.add_cost("leaf: patterns that are expected", leaf);
        let (sockets, _client) = with_requests(size);
        let one = sockets.server.requests().matching(Matching::path("instance/attributes/*"));
        table.add_cost("count: one pattern on requests", cost(|| one.count()));
    }
    table
}

/// The name, what is counted, and the function with its sizes.
type Section<'a> = (&'a str, &'a str, fn(&[usize]) -> Table, &'a [usize]);

fn main() {
    // Both ends of each connection are in this process.
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let connections = usize::try_from(files / 2).unwrap().saturating_sub(100).min(15_000);
    let sections: [Section; 6] = [
        ("attributes", "attributes", attributes_table, &[10, 100, 1_000, 10_000, 100_000]),
        ("accounts", "service accounts", accounts_table, &[1, 10, 100, 1_000]),
        ("waiters", "waiting requests, without sockets", waiters_table, &[1, 10, 100, 1_000, 15_000, 100_000]),
        ("connections", "connections", connections_table, &[1, 10, 100, 1_000, connections]),
        ("faults", "faults", faults_table, &[1, 10, 100, 1_000]),
        ("journal", "patterns, requests", journal_table, &[1, 10, 100, 1_000]),
    ];
    let asked: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for (name, of, table, sizes) in sections {
        if asked.is_empty() || asked.iter().any(|it| it == name) {
            table(sizes).print(of);
        }
    }
}
