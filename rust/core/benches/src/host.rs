//! A host as small as one can be: it does what the engine's steps say, and knows its tasks by number.

use durabletask_core::wire::{Corrupt, Event, Request, Span};
use durabletask_core::{Error, Host, Orchestration, Step};
use durabletask_proto::prost::Message;

/// Tasks are numbers, in the order in which the orchestrator made them; arguments are numbers too.
#[derive(Debug)]
pub(crate) enum Counting {}

impl Host for Counting {
    type Task = u32;
    type Input = u32;
}

pub(crate) type Engine = Orchestration<Counting>;

/// An orchestrator as a state machine.
pub(crate) trait Orchestrator {
    /// It begins.
    fn start(&mut self, engine: &mut Engine);
    /// A task of its has completed.
    fn resume(&mut self, engine: &mut Engine, task: u32);
}

/// Plays the turn of a serialized `OrchestratorRequest`; returns the serialized response.
///
/// # Panics
///
/// If the history is none that the orchestrator could have had: what is measured then is worth nothing.
#[must_use]
pub fn replay(request: &[u8], workload: &super::Workload, steps: u32) -> Vec<u8> {
    let mut orchestrator = workload.orchestrator(steps);
    let request = Request::decode(Span::whole(request)).expect("a history that was built can be read");
    let mut engine = Engine::new(request.instance_id);
    engine.set_replaying(true);
    apply(&mut engine, orchestrator.as_mut(), request.past_events()).expect("the past fits the orchestrator");
    engine.set_replaying(false);
    apply(&mut engine, orchestrator.as_mut(), request.new_events()).expect("the new events fit the orchestrator");
    let response = engine.response("", |input| Ok::<_, Error>(input.to_string()));
    response.expect("numbers can be encoded").encode_to_vec()
}

fn apply<'a>(
    engine: &mut Engine,
    orchestrator: &mut dyn Orchestrator,
    events: impl Iterator<Item = Result<Span<'a>, Corrupt>>,
) -> Result<(), Error> {
    for event in events {
        let event = Event::decode(event?)?;
        match engine.apply(&event)? {
            Step::Continue | Step::Ignored(_) => {}
            Step::Start(_) => orchestrator.start(engine),
            Step::Complete(task, _) => orchestrator.resume(engine, task),
            Step::Fail(task, ..) | Step::GiveUp(task, _) | Step::TimeOut(task, _) => {
                unreachable!("task {task} failed, and no workload has one that does")
            }
        }
    }
    Ok(())
}
