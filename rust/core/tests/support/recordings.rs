//! The recorded turns of `tests/recordings`: what real sidecars sent, and what was answered.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use durabletask_proto as pb;
use pb::prost::Message;

/// One turn as it went over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// File and place in it, for messages.
    pub(crate) title: String,
    pub(crate) work_item: Vec<u8>,
    pub(crate) response: Vec<u8>,
}

impl Recorded {
    /// The request, decoded by prost.
    pub(crate) fn request(&self) -> pb::OrchestratorRequest {
        let item = pb::WorkItem::decode(self.work_item.as_slice()).unwrap_or_else(|e| panic!("{}: {e}", self.title));
        match item.request {
            Some(pb::work_item::Request::OrchestratorRequest(request)) => request,
            other => panic!("{}: expected an orchestrator's request, found {other:?}", self.title),
        }
    }

    /// The response, decoded by prost.
    pub(crate) fn response(&self) -> pb::OrchestratorResponse {
        pb::OrchestratorResponse::decode(self.response.as_slice()).unwrap_or_else(|e| panic!("{}: {e}", self.title))
    }
}

/// All recorded turns.
pub(crate) fn recordings() -> &'static [Recorded] {
    static RECORDINGS: LazyLock<Vec<Recorded>> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recordings");
        let entries = std::fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("{}: {e}; the tests need the whole repository", folder.display()));
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.expect("a folder that can be listed").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "turns"))
            .collect();
        files.sort();
        files.iter().flat_map(|file| read(file)).collect()
    });
    assert!(!RECORDINGS.is_empty(), "tests/recordings holds no .turns files");
    &RECORDINGS
}

fn read(file: &Path) -> Vec<Recorded> {
    let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let mut rest = bytes.as_slice();
    let mut next = || -> Option<Vec<u8>> {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).expect("a length that fits the address space");
        let (message, after) = after.split_at_checked(length).unwrap_or_else(|| panic!("{name} is cut short"));
        rest = after;
        Some(message.to_vec())
    };
    let mut turns = Vec::new();
    while let Some(work_item) = next() {
        let response = next().unwrap_or_else(|| panic!("{name} ends with a work item that has no response"));
        turns.push(Recorded { title: format!("{name}, turn {}", turns.len() + 1), work_item, response });
    }
    turns
}
