//! What is committed under `rust/proto/src/generated` is what the .proto file generates today.

use std::collections::BTreeSet;
use std::fs;

use durabletask_gen_proto::{generate, generated_dir, repository_root};

#[test]
fn the_committed_files_are_what_the_generator_writes() {
    for (name, text) in generate().expect("the .proto generates") {
        let path = generated_dir().join(name);
        let committed =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        let line = committed
            .lines()
            .zip(text.lines())
            .position(|(old, new)| old != new)
            .unwrap_or_else(|| committed.lines().count().min(text.lines().count()));
        assert!(
            committed == text,
            "rust/proto/src/generated/{name} differs from the generator's output from line {} on: run `make gen-proto` and commit the result",
            line + 1
        );
    }
}

#[test]
fn nothing_else_is_committed_beside_them() {
    let expected: BTreeSet<_> =
        generate().expect("the .proto generates").into_iter().map(|(name, _)| name.to_owned()).collect();
    for entry in fs::read_dir(generated_dir()).expect("the generated directory") {
        let name = entry.expect("an entry").file_name();
        let name = name.to_string_lossy();
        assert!(expected.contains(name.as_ref()), "rust/proto/src/generated/{name} comes from no generator: remove it");
    }
}

#[test]
fn the_upstream_revision_is_the_one_the_contract_was_taken_from() {
    let path = repository_root().join("proto/PROTO_SOURCE_COMMIT_HASH");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    assert!(
        text.trim().starts_with("68be09e"),
        "proto/PROTO_SOURCE_COMMIT_HASH names {:?}; contract.json was taken from 68be09e of dapr/durabletask-protobuf: change both together",
        text.trim()
    );
}
