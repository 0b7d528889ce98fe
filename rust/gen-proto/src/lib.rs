//! Compiles the .proto files with protox and writes the Rust code of `durabletask-proto`.
//!
//! Kept apart from `durabletask-proto` so that users of the messages do not build a proto compiler.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;

/// The file that holds the protocol, relative to `proto/`.
pub const PROTO_FILE: &str = "orchestrator_service.proto";
/// The file that holds what our own sidecar offers beside it.
const SIDECAR_FILE: &str = "sidecar.proto";

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

/// Generates what `durabletask-proto` is made of and returns it as (file name, content).
pub fn generate() -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let set = without_comments(descriptors()?);
    let protocol = Source { file: PROTO_FILE, package: "_", what: "the sidecar protocol" };
    let sidecar = Source { file: SIDECAR_FILE, package: "durabletask.sidecar.v1", what: "our own sidecar" };
    let messages = protocol.messages(&set)?;
    let service = protocol.service(&set)?.replace("super::", "super::super::messages::");

    let own = without_comments(protox::compile([SIDECAR_FILE], [repository_root().join("proto")])?);
    // From inside its package the protocol's messages are at the root.
    let protocol_at_root = |text: String| text.replace("super::super::super::", "super::messages::");
    let own_messages = protocol_at_root(sidecar.messages(&own)?);
    let own_service = sidecar.service(&own)?.replace("super::", "super::super::sidecar_messages::");

    Ok(vec![
        ("messages.rs", messages),
        ("service.rs", service),
        ("sidecar_messages.rs", own_messages),
        ("sidecar_service.rs", own_service),
        ("descriptor.hex", hex_descriptor(&set)?),
    ])
}

/// Comments belong to the .proto file; as rustdoc they would say everything twice.
fn without_comments(mut set: prost_types::FileDescriptorSet) -> prost_types::FileDescriptorSet {
    for file in &mut set.file {
        file.source_code_info = None;
    }
    set
}

/// One .proto file that code is generated from.
struct Source {
    file: &'static str,
    /// As prost names the file of its code.
    package: &'static str,
    what: &'static str,
}

impl Source {
    fn messages(&self, set: &prost_types::FileDescriptorSet) -> Result<String, Box<dyn Error>> {
        let out = tempfile::tempdir()?;
        let mut messages = prost_build::Config::new();
        messages.out_dir(out.path()).include_file("mod.rs");
        messages.compile_fds(set.clone())?;
        Ok(self.header("messages") + &self.read(out.path())?)
    }

    fn service(&self, set: &prost_types::FileDescriptorSet) -> Result<String, Box<dyn Error>> {
        let out = tempfile::tempdir()?;
        tonic_prost_build::configure()
            .out_dir(out.path())
            .build_transport(false)
            .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
            .client_mod_attribute(".", "#[cfg(feature = \"client\")]")
            .compile_fds(self.services_only(set.clone()))?;
        Ok(self.header("service") + &self.read(out.path())?)
    }

    /// Drops the messages, which are generated apart.
    fn services_only(&self, mut set: prost_types::FileDescriptorSet) -> prost_types::FileDescriptorSet {
        for file in &mut set.file {
            file.message_type.clear();
            file.enum_type.clear();
            if file.name() != self.file {
                file.service.clear();
            }
        }
        set
    }

    fn header(&self, what: &str) -> String {
        let Self { file, what: whose, .. } = self;
        format!("// The {what} of {whose}, generated from proto/{file} by `make gen-proto`: do not edit.\n\n")
    }

    fn read(&self, dir: &Path) -> Result<String, Box<dyn Error>> {
        Ok(fs::read_to_string(dir.join(format!("{}.rs", self.package)))?)
    }
}

/// The `FileDescriptorProto` of the protocol itself, in hexadecimal digits, from which Python's protobuf makes its classes.
fn hex_descriptor(set: &prost_types::FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let file =
        set.file.iter().find(|file| file.name() == PROTO_FILE).ok_or("the protocol is not among its own files")?;
    let digits: Vec<String> = file.encode_to_vec().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(digits.chunks(60).map(|line| line.concat() + "\n").collect())
}
