//! How long a test waits for a server: starting one and dropping it, in async code and in a plain test.
//!
//! `cargo bench --bench start`. The CPU time of a start can be more than its duration, because other threads work for it: compare
//! `user` of `time` with the number of iterations.

#![allow(clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use gce_metadata_server::Server;
use tokio::runtime::Builder;

fn start(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    criterion.bench_function("start().await and drop", |bencher| {
        bencher.iter(|| runtime.block_on(async { drop(Server::builder().start().await.unwrap()) }));
    });
    criterion.bench_function("start_blocking() and drop", |bencher| {
        bencher.iter(|| drop(Server::builder().start_blocking().unwrap()));
    });
    criterion.bench_function("start_blocking() and shutdown_blocking()", |bencher| {
        bencher.iter(|| assert!(Server::builder().start_blocking().unwrap().shutdown_blocking()));
    });
}

criterion_group!(benches, start);
criterion_main!(benches);
