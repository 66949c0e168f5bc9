//! The cost of trees by size: a leaf should cost the same in a tree of any size, other requests in proportion to their answers.

#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gce_metadata_layers::{Query, Represent};
use gce_metadata_routes::{Metadata, Publisher};
use serde_json::{Map, Value, json};
use std::hint::black_box;

fn config(attributes: usize) -> Value {
    let attributes: Map<_, _> = (0..attributes).map(|number| (format!("key-{number}"), json!("a value"))).collect();
    json!({"instance": {"attributes": attributes, "id": 1}})
}

fn growth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("attributes");
    group.sample_size(20);
    for size in [10, 1_000, 100_000] {
        let config = config(size);
        let text = config.to_string();
        let tree = Metadata::from_json(config).unwrap().tree();
        group.bench_with_input(BenchmarkId::new("leaf", size), &tree, |bencher, tree| {
            let query = Query::default();
            bencher.iter(|| tree.get(black_box("instance/attributes/key-7")).unwrap().represent(&query));
        });
        for (name, query) in [("listing", None), ("recursion", Some("recursive=true"))] {
            let query = Query::parse(query);
            group.bench_with_input(BenchmarkId::new(name, size), &size, |bencher, _| {
                // Rendered forms are cached, so each iteration needs a new tree.
                bencher.iter_batched(
                    || Metadata::from_json(config_again(&text)).unwrap().tree(),
                    |tree| {
                        black_box(tree.get("instance/attributes").unwrap().represent(&query).unwrap());
                        tree
                    },
                    criterion::BatchSize::PerIteration,
                );
            });
        }
        group.bench_with_input(BenchmarkId::new("reload", size), &text, |bencher, text| {
            let publisher = Publisher::new(tree.clone());
            bencher.iter(|| publisher.publish(Metadata::from_json(config_again(text)).unwrap().tree()));
        });
        group.bench_with_input(BenchmarkId::new("edit", size), &tree, |bencher, tree| {
            bencher.iter(|| tree.with("instance/attributes/key-7", &json!("another")).unwrap());
        });
    }
    group.finish();
}

fn config_again(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

criterion_group!(benches, growth);
criterion_main!(benches);
