//! Times replay in the engine alone: `make bench-core`, or `cargo bench --package durabletask-core-benches`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use durabletask_core::fingerprint::Fingerprint;
use durabletask_core::wire::{Request, Span};
use durabletask_core_benches::{WORKLOADS, replay};

/// A whole turn of an orchestrator that starts over: request bytes in, response bytes out.
fn cold(criterion: &mut Criterion) {
    for workload in WORKLOADS {
        let mut group = criterion.benchmark_group(workload.name);
        for steps in [100, 10_000] {
            let request = workload.request(steps);
            group.throughput(Throughput::Elements(steps.into()));
            group.bench_with_input(BenchmarkId::from_parameter(steps), &request, |bencher, request| {
                bencher.iter(|| replay(black_box(request), workload, steps));
            });
        }
        group.finish();
    }
}

/// Recognizing a history of which everything is known: what a warm turn costs when the sidecar sends all of it again.
fn recognize(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recognize");
    let chain = &WORKLOADS[0];
    for steps in [100, 10_000] {
        let bytes = chain.request(steps);
        let request = Request::decode(Span::whole(&bytes)).expect("a history that was built can be read");
        let fingerprint = Fingerprint::of(&request)
            .expect("a history that was built can be read")
            .expect("the events of a history that was built stand side by side");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(steps), &bytes, |bencher, bytes| {
            bencher.iter(|| {
                let request =
                    Request::decode_after(Span::whole(black_box(bytes)), |_, history| fingerprint.begins(history))
                        .expect("a history that was built can be read");
                assert!(request.known_count > 0, "the history was not recognized");
                request.new_count
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(50)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = cold, recognize
}
criterion_main!(benches);
