//! Replays each workload once where callgrind can count it: `benches/instructions.py` runs this under valgrind, which
//! writes a count whenever `counted_replay` returns, and reads here which workload that was.
//!
//! Names of workloads as arguments leave out the others; with one, `callgrind_annotate` says where its instructions are.

#![forbid(unsafe_code)]

use std::hint::black_box;

use durabletask_core_benches::{WORKLOADS, Workload, replay};

const STEPS: u32 = 10_000;

fn main() {
    let names: Vec<String> = std::env::args().skip(1).collect();
    for workload in WORKLOADS.iter().filter(|each| names.is_empty() || names.iter().any(|name| name == each.name)) {
        let request = workload.request(STEPS);
        // Once uncounted: the allocator tidies up what building the history has left, as it does at some time or other.
        black_box(replay(&request, workload, STEPS));
        black_box(counted_replay(&request, workload));
        println!("{} {STEPS}", workload.name);
    }
}

/// A function of its own, so that there is a name to count by.
#[inline(never)]
fn counted_replay(request: &[u8], workload: &Workload) -> Vec<u8> {
    black_box(replay(black_box(request), workload, STEPS))
}
