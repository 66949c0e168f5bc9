//! Ten thousand long polls: memory per waiter, and the time until all are answered after a change.
//!
//! The server runs in this process and the clients in a child process, so that their memory is measured apart. Prints one line of
//! JSON: KiB per waiter including its connection, milliseconds from the change to the answers, and the server's CPU time.
//!
//! `--threads N` sets the number of the server's threads; by default there is one for each processor.
//!
//! With the argument `simulated`, the server keeps a journal; with `scenario`, a scenario's state is the change on such a server. The
//! two are to be compared: `scripts/bench scenarios`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use gce_metadata_server::{Metadata, Server, ServerBuilder};
use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const WAITERS: usize = 10_000;
const REQUEST: &str = "GET /computeMetadata/v1/instance/maintenance-event?wait_for_change=true HTTP/1.1\r\n\
                       Host: metadata.google.internal\r\nMetadata-Flavor: Google\r\n\r\n";

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    stat.rsplit(')')
        .next()
        .unwrap()
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum()
}

/// Starts the long polls and prints the time of each answer in nanoseconds since 1970. Stays connected until the end of standard
/// input, as real clients do, so that closing connections is not measured.
async fn clients(address: String) {
    let mut waiting = JoinSet::new();
    for _ in 0..WAITERS {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(REQUEST.as_bytes()).await.unwrap();
        waiting.spawn(async move {
            let read = stream.read(&mut [0; 1024]).await.unwrap();
            assert!(read > 0, "the server left");
            (now().as_nanos(), stream)
        });
    }
    println!("connected");
    let arrivals = waiting.join_all().await;
    let mut out = std::io::stdout().lock();
    arrivals.iter().for_each(|(arrival, _)| writeln!(out, "{arrival}").unwrap());
    let _ = std::io::stdin().read_line(&mut String::new());
}

/// What changes the value.
#[derive(Clone, Copy, PartialEq)]
enum Change {
    /// An edit on a server that keeps no journal.
    Edit,
    /// An edit on a server that simulates.
    EditOfSimulated,
    /// The first state of a scenario.
    Scenario,
}

impl Change {
    async fn make(self, server: &Server) {
        if self == Self::Scenario {
            server.scenario("live-migration").run().await.unwrap();
        } else {
            server.publisher().set("instance/maintenance-event", "MIGRATE_ON_HOST_MAINTENANCE").unwrap();
        }
    }
}

async fn measure(change: Change, threads: NonZeroUsize) {
    let builder = Server::builder()
        .metadata(Metadata::sample())
        .metrics("127.0.0.1:0", "/metrics")
        .max_waiters(WAITERS)
        .threads(threads);
    let builder = if change == Change::Edit { builder } else { builder.simulate() };
    let server = builder.start().await.unwrap();
    let (url, before) = (server.address().to_string(), resident_kib());
    let mut clients = Command::new(std::env::current_exe().unwrap());
    let mut child = clients.args(["clients", &url]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    tokio::task::block_in_place(|| assert_eq!(lines.next().unwrap(), "connected"));
    let waiting = format!("metadata_waiters {WAITERS}\n");
    while !scrape(&server).await.contains(&waiting) {}
    let each = (resident_kib() - before) / WAITERS as f64;

    let idle_from = cpu_ticks();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle_ticks = cpu_ticks() - idle_from;

    let (changed, waking_from) = (now().as_nanos(), cpu_ticks());
    change.make(&server).await;
    let mut late: Vec<f64> = tokio::task::block_in_place(|| {
        lines.take(WAITERS).map(|line| (line.parse::<u128>().unwrap() - changed) as f64 / 1e6).collect()
    });
    let waking_ticks = cpu_ticks() - waking_from;
    late.sort_by(f64::total_cmp);
    assert_eq!(late.len(), WAITERS);
    let (p50, p99) = (late[WAITERS / 2], late[WAITERS * 99 / 100]);
    println!(
        "{{\"kib_each\": {each:.1}, \"p50_ms\": {p50:.1}, \"p99_ms\": {p99:.1}, \"wake_cpu_ms\": {}, \"idle_cpu_ms_in_5_s\": {}}}",
        waking_ticks * 10,
        idle_ticks * 10
    );
    drop(child.stdin.take());
    child.wait().unwrap();
}

async fn scrape(server: &Server) -> String {
    let mut stream = TcpStream::connect(server.metrics_address().unwrap().to_string()).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[tokio::main]
async fn main() {
    // Each process needs one file descriptor per connection.
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let args: Vec<String> = std::env::args().collect();
    let after = |name: &str| args.iter().position(|arg| arg == name).map(|at| args[at + 1].clone());
    // As in the program.
    let threads = after("--threads").map_or_else(ServerBuilder::default_threads, |number| number.parse().unwrap());
    match after("clients") {
        Some(address) => clients(address).await,
        None if args.iter().any(|arg| arg == "scenario") => measure(Change::Scenario, threads).await,
        None if args.iter().any(|arg| arg == "simulated") => measure(Change::EditOfSimulated, threads).await,
        None => measure(Change::Edit, threads).await,
    }
}
