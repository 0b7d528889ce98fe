//! What the engine's tests share: histories that read like a story, a host that plays orchestrators written in Rust,
//! and the responses that they are expected to give.

pub(crate) mod answer;
pub(crate) mod follower;
pub(crate) mod history;
pub(crate) mod host;
pub(crate) mod messages;
pub(crate) mod recordings;
pub(crate) mod script;

use proptest::test_runner::{Config, FileFailurePersistence};

/// How often a property is tried: `PROPTEST_CASES` times, or `usual` times if that is not set. Failures are remembered in
/// `rust/core/proptest-regressions` and tried first from then on.
pub(crate) fn cases(usual: u32) -> Config {
    let remembered = concat!(env!("CARGO_MANIFEST_DIR"), "/proptest-regressions/engine.txt");
    let asked_for = std::env::var("PROPTEST_CASES").ok().map(|text| {
        text.parse().unwrap_or_else(|_| panic!("PROPTEST_CASES is {text:?}; set it to a number of cases, or unset it"))
    });
    Config {
        cases: asked_for.unwrap_or(usual),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(remembered))),
        ..Config::default()
    }
}
