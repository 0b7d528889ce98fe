//! Puts a load on a sidecar that is running and prints what it took, as one JSON object.
//!
//! Worker and client are one thread, know no orchestrator code and keep no histories, so that a sidecar reaches its own
//! limits first. What processor time the sidecar took, `benches/sidecar_load.py` asks of the system.

#![forbid(unsafe_code)]

mod client;
mod script;
mod worker;

use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use serde_json::json;

use crate::client::Load;
use crate::worker::Worker;

/// Put a load on a sidecar and print what it took.
#[derive(Parser)]
struct Arguments {
    /// Where the sidecar listens, as host:port.
    #[arg(long)]
    address: String,
    /// What each instance does.
    #[arg(long, value_enum)]
    workload: Workload,
    /// How many activities an instance calls; unused by the others.
    #[arg(long, default_value_t = 10)]
    steps: u32,
    /// How many instances there are.
    #[arg(long, default_value_t = 500)]
    instances: u32,
    /// How many of them are under way at once.
    #[arg(long, default_value_t = 50)]
    concurrency: usize,
    /// Seconds for all of it.
    #[arg(long, default_value_t = 600)]
    timeout: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Activities one after the other.
    Chain,
    /// Activities all at once.
    FanOut,
    /// Wait for an event, which is raised once all instances wait.
    Wait,
    /// Wait for an event that never comes: what is open stays open.
    Open,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::parse();
    let limit = Duration::from_secs(arguments.timeout);
    match tokio::time::timeout(limit, run(&arguments)).await {
        Ok(Ok(found)) => println!("{found}"),
        Ok(Err(problem)) => fail(&problem),
        Err(_) => fail(&format!("not done after {} seconds; --timeout gives it more", arguments.timeout)),
    }
}

fn fail(problem: &str) -> ! {
    eprintln!("sidecar-load: {problem}");
    std::process::exit(1)
}

async fn run(arguments: &Arguments) -> Result<serde_json::Value, String> {
    let channel = client::connect(&arguments.address).await?;
    let mut worker = Worker::start(channel.clone());
    let load = Load::new(channel, arguments.instances, arguments.concurrency);
    let script = match arguments.workload {
        Workload::Chain => script::Script::Chain(arguments.steps),
        Workload::FanOut => script::Script::FanOut(arguments.steps),
        Workload::Wait | Workload::Open => script::Script::Wait,
    };

    let start = Instant::now();
    let latencies = match arguments.workload {
        Workload::Chain | Workload::FanOut => load.complete_all(script).await?,
        Workload::Wait => {
            load.start_all(script).await?;
            worker.turns_reached(u64::from(arguments.instances)).await;
            load.raise_all().await?
        }
        Workload::Open => {
            load.start_all(script).await?;
            worker.turns_reached(u64::from(arguments.instances)).await;
            Vec::new()
        }
    };
    let wall = start.elapsed();
    worker.check()?;
    let counts = worker.counts();
    Ok(json!({
        "wall_s": wall.as_secs_f64(),
        "turns": counts.turns,
        "activities": counts.activities,
        "latency_ms": percentiles(latencies),
    }))
}

/// The median, the 99th percentile and the longest, in milliseconds.
fn percentiles(mut latencies: Vec<Duration>) -> serde_json::Value {
    latencies.sort_unstable();
    let at = |share: usize| {
        let index = latencies.len().saturating_sub(1) * share / 100;
        latencies.get(index).map(|latency| latency.as_secs_f64() * 1e3)
    };
    json!({ "p50": at(50), "p99": at(99), "max": at(100) })
}
