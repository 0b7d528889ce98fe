//! The machine against real sidecars: the history that the next recorded turn shows is the one we would have committed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use durabletask_proto::prost::Message as _;
use durabletask_proto::{
    HistoryEvent, OrchestrationStatus, OrchestratorRequest, OrchestratorResponse, WorkItem, work_item,
};

use super::story::{entry, with_environment};
use crate::machine::{Instance, RawEvent, Turn, complete_turn};

struct Recorded {
    request: OrchestratorRequest,
    response: OrchestratorResponse,
}

fn recordings() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/recordings");
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files
        .map(|file| file.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "turns"))
        .collect()
}

fn turns(path: &Path) -> Vec<Recorded> {
    let bytes = std::fs::read(path).expect("a readable recording");
    let mut rest = bytes.as_slice();
    let mut next = || {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (message, tail) = tail.split_at(u32::from_le_bytes(*length) as usize);
        rest = tail;
        Some(message)
    };
    let mut turns = Vec::new();
    while let Some(item) = next() {
        let response = next().expect("a response for every work item");
        let item = WorkItem::decode(item).expect("a recorded work item");
        if let Some(work_item::Request::OrchestratorRequest(request)) = item.request {
            let response = OrchestratorResponse::decode(response).expect("a recorded response");
            turns.push(Recorded { request, response });
        }
    }
    turns
}

/// What can not be the same: our clock and our application's id.
fn comparable(mut event: HistoryEvent) -> HistoryEvent {
    if event.event_id >= 0 {
        event.timestamp = None;
    }
    if let Some(router) = &mut event.router {
        router.source_app_id.clear();
    }
    event
}

#[test]
fn every_recorded_history_is_the_one_that_we_would_have_written() {
    let mut compared = 0;
    for path in recordings() {
        let mut before: HashMap<(String, Option<String>), Recorded> = HashMap::new();
        for turn in turns(&path) {
            let execution = (turn.request.instance_id.clone(), turn.request.execution_id.clone());
            // Dapr gives a sub-orchestration that is tried again the execution id of the first attempt.
            let follows = !turn.request.past_events.is_empty();
            if let Some(earlier) = before.remove(&execution).filter(|_| follows) {
                compare(&path, earlier, &turn);
                compared += 1;
            }
            before.insert(execution, turn);
        }
    }
    assert!(compared > 100, "only {compared} pairs of turns were found; are the recordings in tests/recordings?");
}

fn compare(path: &Path, earlier: Recorded, later: &Recorded) {
    let Recorded { request, response } = earlier;
    let known = request.past_events.len();
    let mut new = request.new_events.into_iter();
    let started = new.next().expect("a turn begins with orchestratorStarted");
    let turn = Turn { started, events: new.map(|event| RawEvent::from(&event)).collect() };
    let instance = Instance { id: request.instance_id, status: OrchestrationStatus::Running, ..Instance::default() };

    let outcome = with_environment(|environment| complete_turn(&instance, turn, response, environment));

    let ours: Vec<HistoryEvent> = outcome.history.iter().map(|it| comparable(entry(it))).collect();
    let theirs: Vec<HistoryEvent> = later.request.past_events[known..].iter().cloned().map(comparable).collect();
    assert_eq!(ours, theirs, "{}", path.display());
}
