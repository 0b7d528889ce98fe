//! Compiles `proto/orchestrator_service.proto` with protox and writes the Rust code of `durabletask-proto`.
//!
//! Kept apart from `durabletask-proto` so that users of the messages do not build a proto compiler.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;

/// The file that holds the protocol, relative to `proto/`.
pub const PROTO_FILE: &str = "orchestrator_service.proto";

/// The repository's root, from where this crate stands.
#[must_use]
pub fn repository_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Where the generated files are committed.
#[must_use]
pub fn generated_dir() -> PathBuf {
    repository_root().join("rust/proto/src/generated")
}

/// Compiles the protocol into a descriptor set, imports included.
pub fn descriptors() -> Result<prost_types::FileDescriptorSet, Box<dyn Error>> {
    Ok(protox::compile([PROTO_FILE], [repository_root().join("proto")])?)
}

/// Generates `messages.rs`, `service.rs` and `descriptor.hex` and returns them as (file name, content).
pub fn generate() -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let out = tempfile::tempdir()?;
    let mut set = descriptors()?;
    // Comments belong to the .proto file; as rustdoc they would say everything twice.
    for file in &mut set.file {
        file.source_code_info = None;
    }

    let descriptor_text = hex_descriptor(&set)?;
    let mut messages = prost_build::Config::new();
    messages.out_dir(out.path()).include_file("mod.rs");
    messages.compile_fds(set.clone())?;
    let messages_text = read_only_package(out.path())?;

    let services = tempfile::tempdir()?;
    tonic_prost_build::configure()
        .out_dir(services.path())
        .build_transport(false)
        .server_attribute("TaskHubSidecarService", "#[cfg(feature = \"server\")]")
        .client_attribute("TaskHubSidecarService", "#[cfg(feature = \"client\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        .client_mod_attribute(".", "#[cfg(feature = \"client\")]")
        .compile_fds(services_only(set))?;
    let service_text = read_only_package(services.path())?.replace("super::", "super::super::messages::");

    Ok(vec![
        ("messages.rs", header("messages") + &messages_text),
        ("service.rs", header("service") + &service_text),
        ("descriptor.hex", descriptor_text),
    ])
}

/// The `FileDescriptorProto` of the protocol itself, in hexadecimal digits, from which Python's protobuf makes its classes.
fn hex_descriptor(set: &prost_types::FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let file =
        set.file.iter().find(|file| file.name() == PROTO_FILE).ok_or("the protocol is not among its own files")?;
    let digits: Vec<String> = file.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(digits.chunks(60).map(|line| line.concat() + "\n").collect())
}

fn header(what: &str) -> String {
    format!(
        "// The {what} of the sidecar protocol, generated from proto/{PROTO_FILE} by `make gen-proto`: do not edit.\n\n"
    )
}

/// Drops the messages, which `messages.rs` has already.
fn services_only(mut set: prost_types::FileDescriptorSet) -> prost_types::FileDescriptorSet {
    for file in &mut set.file {
        if file.name() == PROTO_FILE {
            file.message_type.clear();
            file.enum_type.clear();
        }
    }
    set
}

/// Reads the one file of the package without a name, which prost calls `_`.
fn read_only_package(dir: &Path) -> Result<String, Box<dyn Error>> {
    Ok(fs::read_to_string(dir.join("_.rs"))?)
}
